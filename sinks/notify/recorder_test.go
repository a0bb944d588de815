package notify

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// recorder is a channel in memory, for tests of time: a bubble of synctest cannot wait
// for a socket.
type recorder struct {
	mu       sync.Mutex
	messages []Message
	at       []time.Time
	fail     func(m *Message) error
	alert    bool // it keeps alerts, as PagerDuty does
}

func (r *recorder) idempotent() bool { return false }
func (r *recorder) resolves() bool   { return r.alert }

func (r *recorder) send(_ context.Context, m *Message, _ string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(m); err != nil {
			return "", err
		}
	}
	r.messages, r.at = append(r.messages, *m), append(r.at, time.Now())
	return fmt.Sprint(len(r.messages)), nil
}

func (r *recorder) got() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message(nil), r.messages...)
}

func (r *recorder) kinds() string {
	var kinds []string
	for _, m := range r.got() {
		kinds = append(kinds, string(m.Kind))
	}
	return strings.Join(kinds, " ")
}

// options have channels of that name, which start replaces.
func options(t testing.TB, names ...string) Options {
	o := Options{Dir: t.TempDir(), Name: "test", Stream: "s", Mode: func(string) string { return "enforce" }, Channels: map[string]ChannelOptions{}}
	for _, name := range names {
		o.Channels[name] = ChannelOptions{Type: "webhook", URL: "http://127.0.0.1:1/", Token: "key", Limit: 5}
	}
	return o
}

// start runs a Notifier with recorders until the test's stop is called.
func start(t testing.TB, o Options) (n *Notifier, got map[string]*recorder, stop func()) {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	got = make(map[string]*recorder)
	for _, name := range n.names {
		got[name] = new(recorder)
		n.channels[name] = got[name]
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, got, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// teller feeds events with rising sequences.
type teller struct {
	n        *Notifier
	sequence uint64
}

func (s *teller) tell(events ...schemas.Event) {
	for _, e := range events {
		s.sequence++
		stream := schemas.StreamIncidents
		if e.Decision != nil {
			stream = schemas.StreamDecisions
		}
		s.n.Apply(stream, s.sequence, []schemas.Event{e})
	}
}

func signals(rate, stopped, unserved float64) []schemas.Signal {
	return []schemas.Signal{
		{Name: schemas.RequestRate, Group: "volume", Value: rate, Normal: 3.1, Score: 9}, {Name: "unique_clients", Group: "volume", Value: 812, Normal: 40, Score: 8},
		{Name: schemas.StoppedShare, Group: "harm", Value: stopped}, {Name: schemas.UnservedShare, Group: "harm", Value: unserved},
	}
}

func opened(id, site string, kind schemas.Kind, s []schemas.Signal) schemas.Event {
	now := time.Now()
	return schemas.Event{Type: schemas.IncidentOpened, Time: now, Opened: now, Sites: []string{site}, Incident: id, Kind: kind, Signals: s, Cause: "c"}
}

func closed(id, site string, kind schemas.Kind) schemas.Event {
	now := time.Now()
	return schemas.Event{Type: schemas.IncidentClosed, Time: now, Closed: now, Sites: []string{site}, Incident: id, Kind: kind, Signals: signals(3, 0, 0)}
}

func decided(id, incident, site string) schemas.Event {
	now := time.Now()
	return schemas.Event{Type: schemas.DecisionAdded, Time: now, Sites: []string{site}, Incident: incident, Decision: &schemas.Decision{
		ID: id, Action: schemas.Block, Scope: schemas.ScopeSignature, Value: `user_agent="x"`, Expires: now.Add(10 * time.Minute), Collateral: 0.0012, Origin: "weir",
	}}
}

func rows(site string, s []schemas.Signal) []schemas.SignalRow {
	var out []schemas.SignalRow
	for _, g := range s {
		out = append(out, schemas.SignalRow{Time: time.Now(), Site: site, Window: "10s", Signal: g})
	}
	return out
}
