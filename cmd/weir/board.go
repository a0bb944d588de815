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
	accepted  accepted
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
		old, ok := b.decisions.events[e.ID]
		if ok && e.Time.Before(old.Time) { // it was known already, and more
			return
		}
		if ok && e.Evidence == nil && old.Decision != nil {
			d := *e.Decision
			d.Evidence = old.Evidence
			e.Decision = &d
		}
		b.decisions.put(e.ID, e)
		b.accepted.apply(&e)
		return
	}
	if old, ok := b.incidents.events[e.Incident]; ok {
		if e.Time.Before(old.Time) {
			return
		}
		keepPeak(&e, &old)
	}
	b.incidents.put(e.Incident, e)
}

func (l *boardList) put(id string, e schemas.Event) {
	if _, ok := l.events[id]; !ok {
		l.order = append(l.order, id)
	}
	l.events[id] = e
	if len(l.order) > l.limit {
		l.evict(e.Time)
	}
}

// evict forgets what has ended, and, where that is not a tenth, the oldest of the rest:
// rarely, because it looks at all.
func (l *boardList) evict(now time.Time) {
	room := l.limit - l.limit/10
	forget := func(only func(schemas.Event) bool) {
		l.order = slices.DeleteFunc(l.order, func(id string) bool {
			gone := len(l.events) > room && only(l.events[id])
			if gone {
				delete(l.events, id)
			}
			return gone
		})
	}
	forget(func(e schemas.Event) bool { return ended(&e, now) })
	forget(func(schemas.Event) bool { return true })
}

// ended reports whether an incident is closed, or a decision counts no more.
func ended(e *schemas.Event, now time.Time) bool {
	if e.Decision == nil || e.ID == "" {
		return e.Type == schemas.IncidentClosed
	}
	return e.Type == schemas.DecisionRemoved || !e.Expires.After(now)
}

// each goes through the latest events, in the order in which their things first came.
func (l *boardList) each(yield func(*schemas.Event) bool) {
	for _, id := range l.order {
		e := l.events[id]
		if !yield(&e) {
			return
		}
	}
}

// list returns the latest events, the newest thing first.
func (l *boardList) list() []schemas.Event {
	out := make([]schemas.Event, 0, len(l.order))
	for _, id := range slices.Backward(l.order) {
		out = append(out, l.events[id])
	}
	return out
}

// forget drops the events of which names is true.
func (b *board) forget(names func(schemas.Event) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range []*boardList{&b.incidents, &b.decisions} {
		l.order = slices.DeleteFunc(l.order, func(id string) bool {
			gone := names(l.events[id])
			if gone {
				delete(l.events, id)
			}
			return gone
		})
	}
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
	return slices.DeleteFunc(b.decisions.list(), func(e schemas.Event) bool { return ended(&e, now) })
}

// everything returns all that is known, incidents first.
func (b *board) everything() []schemas.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(b.incidents.list(), b.decisions.list()...)
}
