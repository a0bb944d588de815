package main

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weir-project/weir/schemas"
)

// maxAllowed bounds what people can allow at once: every edge looks at all of it for every
// request. More belongs into the configuration, as a prefix.
const maxAllowed = 1000

// allowing is what people have allowed by decisions: no edge touches that, as if it stood in
// the configuration's allowlist, until the decision ends or is lifted. Safe for concurrent use.
type allowing struct {
	log *slog.Logger

	mu   sync.Mutex
	held map[string]allowed // by the decision's id
}

type allowed struct {
	prefix  netip.Prefix
	expires time.Time
}

func newAllowing(log *slog.Logger) *allowing {
	return &allowing{log: log, held: make(map[string]allowed)}
}

// take takes the decisions that allow out of changes, or of what replaces everything, and
// returns the rest, in place. That a decision was removed is in the rest as well.
func (a *allowing) take(all bool, events []schemas.Event) (rest []schemas.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if all {
		clear(a.held)
	}
	rest = events[:0]
	for i := range events {
		e := events[i]
		if e.Decision == nil || e.Action != schemas.Allow {
			rest = append(rest, e)
			continue
		}
		if e.Type == schemas.DecisionRemoved {
			delete(a.held, e.ID)
			continue
		}
		prefix, err := e.Network()
		_, known := a.held[e.ID]
		if err != nil || !known && len(a.held) >= maxAllowed {
			a.log.Warn("an allowed address is not held", "decision", e.ID, "value", e.Value, "error", err, "most", maxAllowed)
			continue
		}
		a.held[e.ID] = allowed{prefix, e.Expires}
	}
	return rest
}

// prefixes are those allowed at a time, in order.
func (a *allowing) prefixes(now time.Time) []netip.Prefix {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]netip.Prefix, 0, len(a.held))
	for id, one := range a.held {
		if !one.expires.After(now) {
			delete(a.held, id)
			continue
		}
		all = append(all, one.prefix)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// spare tells the edges whom nothing touches, before they are told what is decided.
func (r *enforcing) spare() {
	prefixes := r.allowing.prefixes(time.Now())
	for _, e := range r.edges() {
		e.Spare(prefixes)
	}
}

// watchAllowed lets what is allowed end in time: edges do not know when it does.
func (r *enforcing) watchAllowed(ctx context.Context) error {
	every(ctx, time.Second, func(context.Context) { r.spare() })
	return nil
}
