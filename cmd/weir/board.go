package main

import (
	"slices"
	"sync"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Bounds on what the board keeps of what has ended.
const (
	boardIncidents = 1000
	boardDecisions = 1_000_000
)

// board is what is known at this moment: the latest event of each incident and
// each decision. The API and the snapshots are drawn from it. Safe for
// concurrent use.
type board struct {
	mu        sync.Mutex
	incidents boardList
	decisions boardList
}

// boardList keeps the latest event of each thing in the order of arrival.
type boardList struct {
	events map[string]schemas.Event
	order  []string
	limit  int
}

func newBoard() *board {
	return &board{
		incidents: boardList{events: make(map[string]schemas.Event), limit: boardIncidents},
		decisions: boardList{events: make(map[string]schemas.Event), limit: boardDecisions},
	}
}

// apply takes one event.
func (b *board) apply(e schemas.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Decision != nil && e.ID != "" {
		if old, ok := b.decisions.events[e.ID]; ok && e.Evidence == nil && old.Decision != nil {
			d := *e.Decision
			d.Evidence = old.Evidence
			e.Decision = &d
		}
		b.decisions.put(e.ID, e)
		return
	}
	if old, ok := b.incidents.events[e.Incident]; ok {
		keepPeak(&e, &old)
	}
	b.incidents.put(e.Incident, e)
}

func (l *boardList) put(id string, e schemas.Event) {
	if _, ok := l.events[id]; !ok {
		l.order = append(l.order, id)
		if len(l.order) > l.limit {
			delete(l.events, l.order[0])
			l.order = slices.Delete(l.order, 0, 1)
		}
	}
	l.events[id] = e
}

// list returns the latest events, the newest thing first.
func (l *boardList) list() []schemas.Event {
	out := make([]schemas.Event, 0, len(l.order))
	for _, id := range slices.Backward(l.order) {
		out = append(out, l.events[id])
	}
	return out
}

// allIncidents returns every incident known, the newest first.
func (b *board) allIncidents() []schemas.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.incidents.list()
}

// inForce returns the decisions that count at a time, the newest first.
func (b *board) inForce(now time.Time) []schemas.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(b.decisions.list(), func(e schemas.Event) bool {
		return e.Type == schemas.DecisionRemoved || !e.Expires.After(now)
	})
}

// decision finds one decision, in force or not.
func (b *board) decision(id string) (schemas.Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.decisions.events[id]
	return e, ok
}

// everything returns all that is known, incidents first.
func (b *board) everything() []schemas.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(b.incidents.list(), b.decisions.list()...)
}
