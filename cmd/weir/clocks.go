package main

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// clocks is which sources have a clock that is wrong, as the partitions of this process have
// found: every source sends to all of them. Safe for concurrent use.
type clocks struct {
	skewed func(window.Skew)
	delay  *prometheus.GaugeVec
	log    *slog.Logger

	mu    sync.Mutex
	found [schemas.Partitions][]window.Skew
	known map[sourceName]window.Skew // as it was logged, and is shown
	heeds map[sourceName]struct{}    // whose delay is shown
}

type sourceName struct{ edge, source string }

// newClocks makes one that says what it finds to skewed, and shows delays.
func newClocks(skewed func(window.Skew), delay *prometheus.GaugeVec, log *slog.Logger) *clocks {
	return &clocks{skewed: skewed, delay: delay, log: log, known: make(map[sourceName]window.Skew), heeds: make(map[sourceName]struct{})}
}

// sayAgain is by how much, in all, a clock that is known to be wrong must have changed.
const sayAgain = 5 * time.Second

// heard shows how long a batch was under way, or by how much its source's clock is wrong:
// both look the same here.
func (c *clocks) heard(b *schemas.Batch, arrived time.Time) {
	if len(b.Time) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name := sourceName{b.Edge, b.Source}
	if _, ok := c.heeds[name]; !ok {
		if len(c.heeds) >= maxSources {
			return
		}
		c.heeds[name] = struct{}{}
	}
	c.delay.WithLabelValues(b.Edge, b.Source).Set(float64(arrived.UnixMilli()-lastTime(b)) / 1000)
}

// check looks whether a batch has changed what its partition knows.
func (c *clocks) check(partition int, o *order, b *schemas.Batch) {
	now := o.skew(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.found[partition], func(s window.Skew) bool { return s.Edge == b.Edge && s.Source == b.Source })
	if at < 0 && now.Ahead == 0 && now.Doubted == 0 || at >= 0 && c.found[partition][at] == now {
		return
	}
	c.found[partition] = o.skews()
	c.tell(true)
}

// leave forgets what a partition has found that this process does not count any more.
func (c *clocks) leave(partition int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found[partition] = nil
	c.tell(false)
}

// tell says what has changed.
func (c *clocks) tell(aloud bool) {
	now := make(map[sourceName]window.Skew)
	for _, skews := range c.found {
		for _, s := range skews {
			k := now[sourceName{s.Edge, s.Source}]
			k.Edge, k.Source, k.Doubted = s.Edge, s.Source, max(k.Doubted, s.Doubted)
			if s.Ahead.Abs() > k.Ahead.Abs() {
				k.Ahead = s.Ahead
			}
			now[sourceName{s.Edge, s.Source}] = k
		}
	}
	for name := range c.known {
		if _, ok := now[name]; !ok {
			delete(c.known, name)
			c.skewed(window.Skew{Edge: name.edge, Source: name.source})
			if aloud {
				c.log.Info("an edge's clock is right again", "edge", name.edge, "source", name.source)
			}
		}
	}
	for name, s := range now {
		was := c.known[name] // zero where it was right
		moved := (was.Ahead-s.Ahead).Abs() >= sayAgain || (was.Ahead == 0) != (s.Ahead == 0)
		doubted := (was.Doubted == 0) != (s.Doubted == 0)
		if !moved {
			s.Ahead = was.Ahead
		}
		c.known[name] = s
		if !moved && s.Doubted == was.Doubted {
			continue
		}
		c.skewed(s)
		if moved && s.Ahead != 0 {
			c.sayWrong(s)
		}
		if doubted && s.Doubted > 0 {
			c.log.Warn("an edge's clock stands still or jumps; requests far off count as of now, or as late", "edge", s.Edge, "source", s.Source, "share", s.Doubted)
		}
	}
}

func (c *clocks) sayWrong(s window.Skew) {
	what, said := "an edge's clock is wrong; its requests count at the corrected time", []any{"edge", s.Edge, "source", s.Source, "ahead", s.Ahead}
	if s.Ahead < 0 && s.Ahead >= -offMost*time.Millisecond {
		said = append(said, "or_late_by", -s.Ahead)
	}
	c.log.Warn(what, said...)
}

// wrong are the clocks that are, the worst first.
func (c *clocks) wrong(most int) (all []top.Clock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.known {
		all = append(all, top.Clock{Edge: s.Edge, Source: s.Source, Ahead: s.Ahead.Seconds(), Doubted: s.Doubted})
	}
	slices.SortFunc(all, func(a, b top.Clock) int {
		return cmp.Or(cmp.Compare(max(b.Ahead, -b.Ahead), max(a.Ahead, -a.Ahead)), cmp.Compare(b.Doubted, a.Doubted), cmp.Compare(a.Edge, b.Edge), cmp.Compare(a.Source, b.Source))
	})
	return all[:min(len(all), most)]
}
