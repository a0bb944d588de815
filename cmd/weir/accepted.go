package main

import (
	"maps"
	"sync"
	"time"

	"github.com/weir-project/weir/schemas"
)

// accepted is until when the last of what people have accepted on each site is in force, be it that some of it was lifted since:
// edges stop something there whatever the mode. Whoever counts requests asks, and does not wait for who reads the board.
type accepted struct {
	mu    sync.RWMutex
	until map[string]time.Time
}

// apply takes a decision's event.
func (a *accepted) apply(e *schemas.Event) {
	if e.Origin == schemas.OriginWeir || e.Incident == "" || e.Type == schemas.DecisionRemoved {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until == nil {
		a.until = make(map[string]time.Time)
	}
	maps.DeleteFunc(a.until, func(_ string, until time.Time) bool { return until.Before(e.Time) })
	for _, site := range e.Sites {
		if e.Expires.After(a.until[site]) {
			a.until[site] = e.Expires
		}
	}
}

// on reports whether something that was accepted is in force on a site.
func (a *accepted) on(site string, now time.Time) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.until[site].After(now)
}
