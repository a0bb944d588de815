package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// closeIncidentCommand says that an incident was normal traffic.
type closeIncidentCommand struct {
	Incident string `arg:"" help:"Its id, as weir incidents shows it."`
	As       string `required:"" enum:"normal" help:"normal: what it brought is what this site gets. Its decisions end, it is learned, and traffic like it, and up to twice as much, opens no incident for 30 days."`
	dataFlag
}

// confirmIncidentCommand says that an incident is an attack.
type confirmIncidentCommand struct {
	Incident string `arg:"" help:"Its id, as weir incidents shows it."`
	dataFlag
}

// Run tells the running weir.
func (c *confirmIncidentCommand) Run(ctx context.Context, s screen, p *program) error {
	client, was, err := c.incidentOf(ctx, p, c.Incident)
	if err != nil {
		return err
	}
	if err := client.confirm(ctx, c.Incident); err != nil {
		return err
	}
	if was.Type == schemas.IncidentClosed {
		fmt.Fprintf(s.out, "%s had closed already. Where it is the last of %s, what is decided there from now on is not on probation.\n", c.Incident, sitesText(was.Sites, 60))
		return nil
	}
	fmt.Fprintf(s.out, "%s is confirmed: its decisions on %s are no longer on probation, and are renewed while it goes on.\n", c.Incident, sitesText(was.Sites, 60))
	return nil
}

// incidentOf is the running weir, and the last event of one of its incidents.
func (d *dataFlag) incidentOf(ctx context.Context, p *program, id string) (*controlClient, schemas.Event, error) {
	data, err := d.directory(p)
	if err != nil {
		return nil, schemas.Event{}, err
	}
	client := newControlClient(data)
	was, err := client.incident(ctx, id)
	return client, was, err
}

// confirm has a running weir take an incident for an attack.
func (c *controlClient) confirm(ctx context.Context, incident string) error {
	_, err := c.do(ctx, http.MethodPost, "/api/incidents/"+url.PathEscape(incident)+"/confirm", nil)
	return err
}

// judgedWait is how long the command waits for the detector to do what was said: it judges
// a second when all edges have sent it.
const judgedWait = 15 * time.Second

// Run tells the running weir, and waits until it has closed the incident.
func (c *closeIncidentCommand) Run(ctx context.Context, s screen, p *program) error {
	client, was, err := c.incidentOf(ctx, p, c.Incident)
	if err != nil {
		return err
	}
	if _, err := client.do(ctx, http.MethodPost, "/api/incidents/"+url.PathEscape(c.Incident)+"/close?as="+c.As, nil); err != nil {
		return err
	}
	if was.Type == schemas.IncidentClosed {
		fmt.Fprintf(s.out, "%s had closed already; what people accepted of it has ended. Where it is the last of %s, traffic like it, and up to twice as much, opens no incident for 30 days.\n", c.Incident, sitesText(was.Sites, 60))
		return nil
	}
	for until := time.Now().Add(judgedWait); time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		if now, err := client.incident(ctx, c.Incident); err == nil && now.Type == schemas.IncidentClosed {
			fmt.Fprintf(s.out, "%s is closed, and its decisions have ended, those that people accepted among them. Traffic of %s like it, and up to twice as much, opens no incident for 30 days.\n", c.Incident, sitesText(was.Sites, 60))
			return nil
		}
	}
	fmt.Fprintf(s.out, "It is noted, and %s will be closed with the next second that is judged: no request has come for %s.\n", c.Incident, short(judgedWait))
	return nil
}

// incident is the last event of one.
func (c *controlClient) incident(ctx context.Context, id string) (schemas.Event, error) {
	events, err := c.events(ctx, "/api/incidents")
	if err != nil {
		return schemas.Event{}, err
	}
	for _, e := range events {
		if e.Incident == id {
			return e, nil
		}
	}
	return schemas.Event{}, usagef("no incident %s is known; weir incidents shows those that there are", printable(id, 80))
}

// closeIncident passes on a person's word, and ends what people have accepted of that incident: who is called a visitor is
// not to be refused for another hour.
func (s *server) closeIncident(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("as") != "normal" {
		http.Error(w, "want as=normal", http.StatusBadRequest)
		return
	}
	if !s.passOn(w, r, processor.Correction{}) {
		return
	}
	now := time.Now()
	if ends := acceptedOf(s.board.inForce(now), r.PathValue("incident"), peerOf(r.Context()), now); len(ends) > 0 {
		if err := s.publish(r.Context(), ends); err != nil {
			http.Error(w, "it is called normal, and what was accepted of it is still in force: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// acceptedOf are the ends of the decisions that people have accepted of an incident.
func acceptedOf(inForce []schemas.Event, incident, by string, now time.Time) (ends []schemas.Event) {
	if by == "" {
		by = "somebody"
	}
	for i := range inForce {
		if e := &inForce[i]; e.Incident == incident && e.Origin != schemas.OriginWeir {
			ends = append(ends, schemas.Lift(*e, by, now))
		}
	}
	return ends
}

// confirmIncident does likewise.
func (s *server) confirmIncident(w http.ResponseWriter, r *http.Request) {
	if s.passOn(w, r, processor.Correction{Attack: true}) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// passOn reports whether it could; otherwise it has answered.
func (s *server) passOn(w http.ResponseWriter, r *http.Request, c processor.Correction) bool {
	id, by := r.PathValue("incident"), peerOf(r.Context())
	known := false
	for _, e := range s.board.allIncidents() {
		known = known || e.Incident == id
	}
	if !known || !fileID.MatchString(id) {
		http.Error(w, "no such incident is known", http.StatusNotFound)
		return false
	}
	if by == "" {
		by = "somebody"
	}
	c.Incident, c.By, c.Time = id, by, time.Now().UTC()
	if err := s.correct(r.Context(), c); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return false
	}
	s.log.Info("a person's word about an incident", "incident", id, "attack", c.Attack, "by", by)
	return true
}

// rejectedAtOnce is how many decisions one word is about: its text is a value of NATS's KV.
const rejectedAtOnce = 4096

// rejected passes on which of weir's own decisions a person has lifted: it would renew them, and take the like.
func (s *server) rejected(ctx context.Context, events []schemas.Event) error {
	if s.correct == nil {
		return nil
	}
	var ids []string
	for _, e := range events {
		if e.Type == schemas.DecisionRemoved && e.Origin == schemas.OriginWeir && fileID.MatchString(e.ID) {
			ids = append(ids, e.ID)
		}
	}
	by := peerOf(ctx)
	if by == "" {
		by = "somebody"
	}
	for some := range slices.Chunk(ids, rejectedAtOnce) {
		if err := s.correct(ctx, processor.Correction{Decisions: some, By: by, Time: time.Now().UTC()}); err != nil {
			return fmt.Errorf("they are lifted, and weir may take them again: %w", err)
		}
	}
	return nil
}

// A person's word about an incident is kept beside the leases, for the detector of this
// moment and for the next.
const (
	correctionPrefix = "normal."
	confirmedPrefix  = "attack."
	rejectedPrefix   = "rejected." // by the first of its decisions
	correctionKept   = 31 * 24 * time.Hour
)

// noteCorrection keeps a person's word; the first about an incident counts.
func noteCorrection(ctx context.Context, b *bus.Bus, c processor.Correction) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if len(c.Decisions) > 0 { // another word about the first may name others
		if _, err = b.State().Put(ctx, correctionKey(&c), text); err != nil {
			return fmt.Errorf("nats: %w", err)
		}
		return nil
	}
	if _, err = b.State().Create(ctx, correctionKey(&c), text); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("nats: %w", err)
	}
	return nil
}

func correctionKey(c *processor.Correction) string {
	if len(c.Decisions) > 0 {
		return rejectedPrefix + c.Decisions[0]
	}
	if c.Attack {
		return confirmedPrefix + c.Incident
	}
	return correctionPrefix + c.Incident
}

// corrections hands over every word that is kept, and goes on with what comes, until ctx
// ends. known is closed once all that was there has been handed over. The revision is the entry's that keeps it.
func (r *processing) corrections(ctx context.Context, known chan<- struct{}, take func(c processor.Correction, revision uint64) error) error {
	bucket := r.bus.State()
	w, err := bucket.WatchFiltered(ctx, []string{correctionPrefix + "*", confirmedPrefix + "*", rejectedPrefix + "*"}, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("nats: what people said of incidents: %w", err)
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-w.Updates():
			if !open {
				return errors.New("nats: what people say of incidents is not heard any more")
			}
			if entry == nil {
				if known != nil {
					close(known)
					known = nil
				}
				continue
			}
			var c processor.Correction
			if err := json.Unmarshal(entry.Value(), &c); err != nil || correctionKey(&c) != entry.Key() {
				r.log.Warn("what was said of an incident was passed over", "key", printable(entry.Key(), 100), "error", err)
				continue
			}
			if time.Since(c.Time) > correctionKept {
				_ = bucket.Purge(ctx, entry.Key()) // and again the next time, where that fails
				continue
			}
			if err := take(c, entry.Revision()); err != nil {
				return err
			}
		}
	}
}
