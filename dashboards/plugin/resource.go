package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"github.com/weir-project/weir/dashboards/query"
	"github.com/weir-project/weir/schemas"
)

// Bounds of what a person asks for.
const (
	maxResource = 64 << 10 // bytes of a body
	maxIDs      = 1000
	maxReason   = 500 // bytes
	actWait     = 15 * time.Second
	defaultFor  = time.Hour
)

// routes are the calls beside queries: what the editor offers, and what a person decides.
// The latter need the role Editor, and go out with the person's name, as the commands of
// weir do.
func (d *source) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /values", d.getValues)
	mux.HandleFunc("GET /decisions", d.getDecisions)
	mux.HandleFunc("POST /decisions/accept", d.editors(d.accept))
	mux.HandleFunc("POST /decisions/lift", d.editors(d.lift))
	mux.HandleFunc("POST /decisions/extend", d.editors(d.extend))
	mux.HandleFunc("POST /decisions/allow", d.editors(d.allow))
	mux.HandleFunc("POST /panic/{state}", d.editors(d.panic))
	return mux
}

// order is what a person asks for.
type order struct {
	// IDs are of decisions; to accept, of incidents as well.
	IDs []string `json:"ids"`
	// For is how long, "1h30m"; empty is an hour.
	For string `json:"for"`
	// Value is whom to allow: an address or a prefix. Reason is why, for those who come after.
	Value  string `json:"value"`
	Reason string `json:"reason"`

	by       string
	duration time.Duration
	state    string // of panic
}

// refused is an answer that is the asker's to mend.
type refused struct {
	status int
	text   string
}

func (r refused) Error() string { return r.text }

func refusef(status int, format string, a ...any) error {
	return refused{status, fmt.Sprintf(format, a...)}
}

// editors lets those do it who may edit, and answers with what was done.
func (d *source) editors(do func(context.Context, *order) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o, err := readOrder(w, r)
		var done any
		if err == nil {
			ctx, cancel := context.WithTimeout(r.Context(), actWait)
			defer cancel()
			done, err = do(ctx, o)
		}
		if err != nil {
			d.refuse(w, err)
			return
		}
		d.log.Info("a person decided", "by", o.by, "path", r.URL.Path, "ids", o.IDs, "value", clean(o.Value), "for", o.duration)
		answer(w, done)
	}
}

func readOrder(w http.ResponseWriter, r *http.Request) (*order, error) {
	user := backend.UserFromContext(r.Context())
	if user == nil || user.Login == "" {
		return nil, refusef(http.StatusUnauthorized, "who are you? Grafana names no user")
	}
	if user.Role != "Editor" && user.Role != "Admin" {
		return nil, refusef(http.StatusForbidden, "%s has the role %s in Grafana; this needs Editor", clean(user.Login), clean(user.Role))
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return nil, refusef(http.StatusUnsupportedMediaType, "want Content-Type: application/json")
	}
	o := &order{by: nameOf(user), state: r.PathValue("state"), duration: defaultFor}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxResource))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(o); err != nil {
		return nil, refusef(http.StatusBadRequest, `want a body such as {"ids": ["i261122-050812-1"], "for": "1h"}: %v`, err)
	}
	if len(o.Value) > schemas.MaxID || len(o.Reason) > maxReason {
		return nil, refusef(http.StatusBadRequest, `"value" or "reason" is too long: at most %d and %d bytes`, schemas.MaxID, maxReason)
	}
	if len(o.IDs) > maxIDs {
		return nil, refusef(http.StatusBadRequest, "%d ids, at most %d", len(o.IDs), maxIDs)
	}
	if o.For != "" {
		duration, err := time.ParseDuration(o.For)
		if err != nil || duration <= 0 || duration > schemas.LongestByHand {
			return nil, refusef(http.StatusBadRequest, `"for" is %q: want more than 0 and at most %v, such as 1h30m`, clean(o.For), schemas.LongestByHand)
		}
		o.duration = duration
	}
	return o, nil
}

// nameOf is who it was, as the record keeps it: within the bound of an origin.
func nameOf(user *backend.User) string {
	name := "grafana:" + strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7F {
			return '_'
		}
		return r
	}, clean(user.Login))
	for len(name) > schemas.MaxID {
		r := []rune(name)
		name = string(r[:len(r)-1])
	}
	return name
}

func (d *source) refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if r, ok := errors.AsType[refused](err); ok {
		status = r.status
	} else if errors.Is(err, query.ErrQuery) {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": oneLine(err)}) // the asker may have gone
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the asker may have gone
}

// done is what became of a person's order: the events, as they are on the stream.
type done struct {
	Events []schemas.Event `json:"events"`
}

// decide makes events of what is in force and publishes them.
func (d *source) decide(ctx context.Context, make func(inForce []schemas.Event, now time.Time) ([]schemas.Event, error)) (any, error) {
	_, state, _, err := d.nats()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	inForce, revision, err := state.InForce(ctx, now)
	if err != nil {
		return nil, err
	}
	events, err := make(inForce, now)
	if err != nil {
		return nil, err
	}
	return done{events}, state.Publish(ctx, revision, events)
}

func (d *source) accept(ctx context.Context, o *order) (any, error) {
	return d.decide(ctx, func(inForce []schemas.Event, now time.Time) ([]schemas.Event, error) {
		events := schemas.Accept(inForce, o.IDs, o.duration, o.by, now)
		if len(events) == 0 {
			return nil, refusef(http.StatusNotFound, "no decision of weir's own in force is or belongs to %s", clean(fmt.Sprint(o.IDs)))
		}
		return events, nil
	})
}

// named are the decisions in force with the ids, all of them.
func named(inForce []schemas.Event, ids []string) ([]schemas.Event, error) {
	if len(ids) == 0 {
		return nil, refusef(http.StatusBadRequest, `want "ids" of decisions`)
	}
	var found []schemas.Event
	for _, id := range ids {
		i := slices.IndexFunc(inForce, func(e schemas.Event) bool { return e.ID == id })
		if i < 0 {
			return nil, refusef(http.StatusNotFound, "no decision %s is in force", clean(id))
		}
		found = append(found, inForce[i])
	}
	return found, nil
}

func (d *source) lift(ctx context.Context, o *order) (any, error) {
	return d.decide(ctx, func(inForce []schemas.Event, now time.Time) ([]schemas.Event, error) {
		events, err := named(inForce, o.IDs)
		for i := range events {
			events[i] = schemas.Lift(events[i], o.by, now)
		}
		return events, err
	})
}

// extend has a person's decisions end later; of weir's own it makes a person's first, which
// end when they are told to.
func (d *source) extend(ctx context.Context, o *order) (any, error) {
	return d.decide(ctx, func(inForce []schemas.Event, now time.Time) ([]schemas.Event, error) {
		events, err := named(inForce, o.IDs)
		if err != nil {
			return nil, err
		}
		var own []string
		var all []schemas.Event
		for _, e := range events {
			if e.Origin == schemas.OriginWeir {
				own = append(own, e.ID)
			} else {
				all = append(all, schemas.Extend(e, o.duration, o.by, now))
			}
		}
		return append(all, schemas.Accept(inForce, own, o.duration, o.by, now)...), nil
	})
}

// allow has nothing touch an address or a prefix, at any edge and on any site, until the
// decision ends or is lifted.
func (d *source) allow(ctx context.Context, o *order) (any, error) {
	return d.decide(ctx, func(_ []schemas.Event, now time.Time) ([]schemas.Event, error) {
		e, err := schemas.AllowByHand(o.Value, o.duration, clean(o.Reason), o.by, now)
		if err != nil {
			return nil, refusef(http.StatusBadRequest, `"value": %s`, clean(err.Error()))
		}
		return []schemas.Event{e}, nil
	})
}

func (d *source) panic(ctx context.Context, o *order) (any, error) {
	if o.state != "off" && o.state != "on" {
		return nil, refusef(http.StatusNotFound, "want /panic/off or /panic/on")
	}
	_, state, _, err := d.nats()
	if err != nil {
		return nil, err
	}
	p := schemas.Panic{Off: o.state == "off", Time: time.Now().UTC(), By: o.by}
	message, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return p, state.Panic(ctx, message)
}

// getDecisions answers what is in force, as NATS has it: also while ClickHouse is away.
func (d *source) getDecisions(w http.ResponseWriter, r *http.Request) {
	_, state, _, err := d.nats()
	if err != nil {
		d.refuse(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actWait)
	defer cancel()
	inForce, _, err := state.InForce(ctx, time.Now())
	if err != nil {
		d.refuse(w, err)
		return
	}
	answer(w, done{inForce})
}

// getValues answers what a picker offers: ?of=sites, signals, incidents, edges, decisions.
func (d *source) getValues(w http.ResponseWriter, r *http.Request) {
	text, err := json.Marshal(query.Query{Kind: query.Values, By: r.URL.Query().Get("of")})
	if err != nil {
		d.refuse(w, err)
		return
	}
	q, err := query.Parse(text)
	if err == nil {
		err = d.wrong
	}
	if err != nil {
		d.refuse(w, err)
		return
	}
	now := time.Now().UTC()
	plan, err := q.Plan(query.Moment{Span: query.Span{From: now.Add(-24 * time.Hour), To: now}, Now: now})
	if err != nil {
		d.refuse(w, err)
		return
	}
	frame, _, err := d.history.ask(r.Context(), plan)
	if err != nil {
		d.refuse(w, err)
		return
	}
	values := make([]string, frame.Rows())
	for i := range values {
		values[i] = cellText(frame, 0, i)
	}
	answer(w, values)
}
