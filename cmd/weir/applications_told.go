package main

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// The pace at which edges tell what they have recognised: where that has changed, and once a
// day so that the message does not come of age. What the process before has told is told
// again for as long.
const (
	applicationsEvery = 10 * time.Second
	applicationsAgain = 24 * time.Hour
)

// telling of applications: collectors -> weir.edges.applications.EDGE -> who enforces.
type applicationsTeller struct {
	apps    *applications
	bus     transport
	edge    string
	log     *slog.Logger
	started time.Time

	before bool   // what the process before has told was read
	last   []byte // what was told
	told   time.Time
}

// tell says what this process recognises, until ctx ends.
func (a *applications) tell(to transport, edge string, log *slog.Logger) func(context.Context) error {
	t := &applicationsTeller{apps: a, bus: to, edge: edge, log: log, started: time.Now()}
	return func(ctx context.Context) error {
		every(ctx, applicationsEvery, func(ctx context.Context) {
			if err := t.step(ctx, time.Now()); err != nil && ctx.Err() == nil {
				log.Debug("what was recognised was not told", "error", err)
			}
		})
		return nil
	}
}

func (t *applicationsTeller) step(ctx context.Context, now time.Time) error {
	b, err := t.bus.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, applicationsEvery)
	defer cancel()
	subject := schemas.SubjectApplications(t.edge)
	if !t.before {
		_, data, err := b.Last(ctx, schemas.StreamEdges, subject)
		if err != nil {
			return err
		}
		if list, err := schemas.DecodeApplications(data); err == nil && list.Edge == t.edge {
			t.apps.heard(list)
		}
		t.before = true
	}
	list := &schemas.Applications{Edge: t.edge, Sites: t.apps.here(t.edge, now.Sub(t.started) < applicationsAgain)}
	list.Time = time.Unix(1<<30, 0).UTC() // the same where they are
	same, err := schemas.EncodeApplications(list)
	if err != nil || bytes.Equal(same, t.last) && now.Sub(t.told) < applicationsAgain || len(list.Sites) == 0 && t.last == nil {
		return err
	}
	list.Time = now.UTC()
	message, err := schemas.EncodeApplications(list)
	if err == nil {
		err = b.Publish(ctx, subject, "", message)
	}
	if err == nil {
		t.last, t.told = same, now
	}
	return err
}

// here is what this edge tells: what this process has recognised, and what was told before of
// sites that it has not yet seen enough of.
func (a *applications) here(edge string, before bool) map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	sites := make(map[string]string)
	if before {
		for site, p := range a.told[edge] {
			if s := a.sites[site]; s == nil || !s.Weighed() {
				sites[site] = p.Name()
			}
		}
	}
	for site, p := range a.found {
		sites[site] = p.Name()
	}
	return sites
}

// heard takes what an edge has recognised.
func (a *applications) heard(list *schemas.Applications) {
	sites := make(map[string]*profile.Profile, len(list.Sites))
	for site, name := range list.Sites {
		if p := a.catalogue.Profile(name); p != nil { // another version of weir may know more
			sites[site] = p
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told[list.Edge] == nil && len(a.told) == maxEdges {
		return
	}
	a.told[list.Edge] = sites
	a.changed()
}

// hear follows what all edges tell, until ctx ends.
func (a *applications) hear(from transport, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		b, err := from.open()
		if err != nil {
			return err
		}
		return b.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamEdges, Subjects: []string{schemas.SubjectApplicationsAll}, Reader: "applications"},
			func(_ context.Context, m *bus.Message) error {
				list, err := schemas.DecodeApplications(m.Data())
				if err != nil || m.Subject() != schemas.SubjectApplications(list.Edge) {
					log.Warn("what an edge has recognised was passed over", "subject", m.Subject(), "sequence", m.Sequence(), "error", err)
					return nil
				}
				a.heard(list)
				return nil
			})
	}
}
