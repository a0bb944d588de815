package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/processor/silent"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// edgeWatch is the detector's look at the edges' vitals: it tells of what their logs do not show.
//
//	weir.vitals.EDGE -> a watch of each edge -> desk -> WEIR_INCIDENTS
//
// What the watches have learned is saved every minute, for the next detector.
type edgeWatch struct {
	*detecting
	mu    sync.Mutex
	edges map[string]*silent.Watch
}

// silenceName is the snapshot of what is known of the edges' vitals.
const silenceName = "silence"

// hearEdges follows the vitals, from the newest on, until ctx ends.
func (d *detecting) hearEdges(ctx context.Context) error {
	s := &edgeWatch{detecting: d, edges: make(map[string]*silent.Watch)}
	s.load(ctx)
	var aside sync.WaitGroup
	defer aside.Wait()
	saving, stop := context.WithCancel(ctx)
	defer stop()
	aside.Go(func() { every(saving, knowledgeTick, s.save) })
	newest, _, err := d.bus.Last(ctx, schemas.StreamVitals, schemas.SubjectVitalsAll)
	if err != nil {
		return err
	}
	return d.bus.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamVitals, From: newest, Reader: "silence"}, func(ctx context.Context, m *bus.Message) error {
		v, err := schemas.DecodeVitals(m.Data())
		if err != nil || m.Subject() != schemas.SubjectVitals(v.Edge) {
			return nil // told of by whoever keeps the latest
		}
		return s.take(ctx, v)
	})
}

// take judges an edge's vitals. An edge beyond maxEdges is not watched.
func (s *edgeWatch) take(ctx context.Context, v *schemas.Vitals) error {
	s.mu.Lock()
	w := s.edges[v.Edge]
	if w == nil && len(s.edges) < maxEdges {
		w = s.watch(v.Edge)
	}
	if w == nil {
		s.mu.Unlock()
		return nil
	}
	e, changed := w.Take(v)
	alone := len(s.edges) == 1
	s.mu.Unlock()
	if !changed {
		return nil
	}
	if alone { // all that there is goes through it
		e.Sites = s.processing.sites.names(schemas.MaxEventSites)
	}
	logEvent(s.log, e)
	return s.desk.publishAs(ctx, s.token, []schemas.Event{e})
}

// watch begins one, which takes up what a detector before has opened and not closed.
func (s *edgeWatch) watch(edge string) *silent.Watch {
	w := silent.New(edge)
	s.resume(edge, w)
	s.edges[edge] = w
	return w
}

func (s *edgeWatch) resume(edge string, w *silent.Watch) {
	for _, e := range s.desk.board.allIncidents() {
		if e.Kind == schemas.Silent && e.Type != schemas.IncidentClosed && e.Incident == silent.ID(edge, e.Opened) {
			w.Resume(e.Incident, e.Opened)
		}
	}
}

func (s *edgeWatch) save(ctx context.Context) {
	w := &state.Writer{}
	s.mu.Lock()
	w.Uint(uint64(len(s.edges)))
	for _, watch := range s.edges {
		watch.Write(w)
	}
	s.mu.Unlock()
	s.saving.RLock()
	defer s.saving.RUnlock()
	if err := s.snapshots.Save(ctx, silenceName, s.token, w.Bytes); err != nil && ctx.Err() == nil {
		s.log.Error("what is known of the edges' vitals was not saved", "error", err)
	}
}

// load takes up what was saved; what cannot be used is learned anew.
func (s *edgeWatch) load(ctx context.Context) {
	hurry, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	data, err := s.snapshots.Load(hurry, silenceName)
	if errors.Is(err, cluster.ErrNoSnapshot) {
		return
	}
	edges := make(map[string]*silent.Watch)
	if err == nil {
		in := state.NewReader(data)
		for n := in.Uint(maxEdges); n > 0 && in.Err() == nil; n-- {
			w := silent.Read(in)
			s.resume(w.Edge(), w)
			edges[w.Edge()] = w
		}
		in.End()
		err = in.Err()
	}
	if err != nil {
		s.log.Warn("what was known of the edges' vitals is learned anew", "error", err)
		return
	}
	s.edges = edges
}
