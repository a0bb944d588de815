package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/notify"
)

// The pace of edges' reports.
const (
	reportEvery = 2 * time.Second
	clockEvery  = 30 * time.Second
	clockSlack  = 2 * time.Second  // an edge's clock may be so wrong before it is corrected
	edgeSilent  = 30 * time.Second // without a report
)

// report says what this machine's edges hold, until ctx ends.
func (r *enforcing) report(ctx context.Context) error {
	every(ctx, reportEvery, func(ctx context.Context) {
		message, err := schemas.EncodeEdgeReport(r.now())
		if err == nil {
			hurry, cancel := context.WithTimeout(ctx, reportEvery)
			err = r.bus.Publish(hurry, schemas.SubjectEdge(r.config.Edge.Name), "", message)
			cancel()
		}
		if err != nil && ctx.Err() == nil {
			r.log.Debug("what this edge holds was not reported", "error", err)
		}
	})
	return nil
}

// now is how this machine's edges are.
func (r *enforcing) now() *schemas.EdgeReport {
	r.mu.Lock()
	report := &schemas.EdgeReport{
		Time: time.Now().UTC(), Edge: r.config.Edge.Name, Off: r.off, Sequence: r.sequence, ClockBehind: r.behind.Seconds(), Parts: []schemas.EdgePart{},
	}
	r.mu.Unlock()
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	utc := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.UTC()
	}
	if r.enforcer != nil {
		s := r.enforcer.Status()
		matching := uint64(0)
		if r.matched != nil {
			matching = r.matched()
		}
		report.Parts = append(report.Parts, schemas.EdgePart{
			Matching: matching, Name: "nginx", Intended: s.Intended, Loaded: s.Loaded, Refused: len(s.Refused), Lease: s.LeaseUntil, Error: text(s.Err),
			Loads: s.Loads, LoadedAt: utc(s.LoadedAt), LoadSeconds: s.LoadSeconds,
		})
	}
	if r.firewall != nil {
		s := r.firewall.Status()
		report.Parts = append(report.Parts, schemas.EdgePart{Name: "nftables", Intended: s.Intended, Loaded: s.Loaded, Matching: s.Dropped, Error: text(s.Err),
			Loads: s.Loads, LoadedAt: utc(s.LoadedAt), LoadSeconds: s.LoadSeconds})
	}
	if r.haproxy != nil {
		s := r.haproxy.Status()
		report.Parts = append(report.Parts, schemas.EdgePart{Name: "haproxy", Intended: s.Intended, Loaded: s.Loaded, Lease: s.LeaseUntil, Error: text(s.Err),
			Loads: s.Loads, LoadedAt: utc(s.LoadedAt), LoadSeconds: s.LoadSeconds})
	}
	if list, err := r.bouncers.Bouncers(); err == nil {
		for _, b := range list {
			report.Bouncers = append(report.Bouncers, schemas.EdgeBounce{Name: b.Name, LastPull: b.LastPull.UTC(), Holds: b.Active, Stopped: b.Dropped})
		}
	}
	return report
}

// watchClock learns how wrong this machine's clock is, and has everything read again
// where that changes: decisions end by the clock of whoever took them.
func (r *enforcing) watchClock(ctx context.Context) error {
	every(ctx, clockEvery, func(ctx context.Context) {
		if r.readClock(ctx) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.reread != nil {
				r.reread()
			}
		}
	})
	return nil
}

// readClock reports whether the correction has changed.
func (r *enforcing) readClock(ctx context.Context) bool {
	b, err := r.bus.open()
	if err != nil {
		return false
	}
	behind, err := b.ClockBehind(ctx, schemas.StreamDecisions)
	if err != nil {
		return false
	}
	if behind.Abs() < clockSlack {
		behind = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if (behind - r.behind).Abs() < clockSlack {
		return false
	}
	r.log.Warn("this machine's clock is wrong; the ends of decisions are corrected by it", "behind", behind.Round(time.Millisecond))
	r.behind = behind
	return true
}

// edgeBoard is what every edge last reported. Safe for concurrent use.
type edgeBoard struct {
	bus *bus.Bus
	log *slog.Logger

	mu     sync.Mutex
	latest map[string]*edgeSeen
	gauges *edgeGauges
}

type edgeSeen struct {
	*schemas.EdgeReport
	Received time.Time `json:"received"` // by NATS's clock
	lacking  time.Time // since when something is not in force
}

type edgeGauges struct{ intended, loaded, seen *prometheus.GaugeVec }

func newEdgeBoard(b *bus.Bus, log *slog.Logger, metrics prometheus.Registerer) *edgeBoard {
	vector := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_edge_" + name, Help: help}, labels)
	}
	g := &edgeGauges{
		intended: vector("decisions_intended", "Decisions that an edge is to hold, of those that it can.", "edge", "part"),
		loaded:   vector("decisions_loaded", "Decisions that an edge holds.", "edge", "part"),
		seen:     vector("report_time_seconds", "When an edge last reported, in unix seconds.", "edge"),
	}
	if metrics != nil {
		metrics.MustRegister(g.intended, g.loaded, g.seen)
	}
	return &edgeBoard{bus: b, log: log, latest: make(map[string]*edgeSeen), gauges: g}
}

// run follows the reports until ctx ends.
func (e *edgeBoard) run(ctx context.Context) error {
	return e.bus.Follow(ctx, bus.FollowOptions{
		Stream: schemas.StreamEdges, Subjects: []string{schemas.SubjectReportsAll}, Reader: "edges",
	}, func(_ context.Context, m *bus.Message) error {
		report, err := schemas.DecodeEdgeReport(m.Data())
		if err != nil || m.Subject() != schemas.SubjectEdge(report.Edge) {
			e.log.Warn("an edge's report was passed over", "subject", m.Subject(), "sequence", m.Sequence(), "error", err)
			return nil
		}
		e.put(report, m.Time())
		return nil
	})
}

func (e *edgeBoard) put(report *schemas.EdgeReport, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.latest[report.Edge]
	if old == nil && len(e.latest) >= maxEdges {
		return
	}
	seen := &edgeSeen{EdgeReport: report, Received: now}
	if lacking(report) {
		if seen.lacking = now; old != nil && !old.lacking.IsZero() {
			seen.lacking = old.lacking
		}
	}
	e.latest[report.Edge] = seen
	e.gauges.seen.WithLabelValues(report.Edge).Set(float64(now.Unix()))
	for _, p := range report.Parts {
		e.gauges.intended.WithLabelValues(report.Edge, p.Name).Set(float64(p.Intended))
		e.gauges.loaded.WithLabelValues(report.Edge, p.Name).Set(float64(p.Loaded))
	}
}

// lacking reports whether a part holds less than it is to.
func lacking(r *schemas.EdgeReport) bool {
	return !r.Off && slices.ContainsFunc(r.Parts, func(p schemas.EdgePart) bool {
		return p.Error != "" || p.Loaded+p.Refused < p.Intended
	})
}

// all are the edges' latest reports, by their names.
func (e *edgeBoard) all() []*edgeSeen {
	if e == nil {
		return []*edgeSeen{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*edgeSeen, 0, len(e.latest))
	for _, r := range e.latest {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *edgeSeen) int { return strings.Compare(a.Edge, b.Edge) })
	return list
}

// enforces reports whether any edge but one's own holds decisions in force.
func (e *edgeBoard) enforces(own string, now time.Time) bool {
	return slices.ContainsFunc(e.all(), func(r *edgeSeen) bool {
		return r.Edge != own && !r.Off && now.Sub(r.Received) < edgeSilent && len(r.Parts)+len(r.Bouncers) > 0
	})
}

// ailing are the edges where decisions are active and not in force; own is this machine's,
// of which health knows more.
func (e *edgeBoard) ailing(own string, now time.Time) []notify.Ailment {
	var found []notify.Ailment
	for _, r := range e.all() {
		intended := 0
		var said []string
		for _, p := range r.Parts {
			intended += p.Intended
			if p.Error != "" || p.Loaded+p.Refused < p.Intended {
				said = append(said, strings.TrimSuffix(fmt.Sprintf("%s holds %d of %d: %s", p.Name, p.Loaded, p.Intended, p.Error), ": "))
			}
		}
		what := ""
		switch {
		case r.Edge == own && now.Sub(r.Received) < edgeSilent:
		case now.Sub(r.Received) > edgeGone: // taken out of service
		case now.Sub(r.Received) > edgeSilent && intended > 0:
			what = fmt.Sprintf("has not reported for %s; it held %s, and lets go when its lease ends", short(now.Sub(r.Received)), plural(intended, "decision"))
		case !r.lacking.IsZero() && now.Sub(r.lacking) > edgeTold:
			what = "decisions are active and not in force there: " + strings.Join(said, "; ")
		}
		if what != "" {
			found = append(found, notify.Ailment{Key: "edge " + r.Edge, Edge: true, Severity: notify.Critical,
				What: "edge " + r.Edge + ": " + what, Mend: "look at weir's log there", Command: "journalctl -u weir -n 50"})
		}
	}
	return found
}

// followPanic lifts everything here when somebody lifts it everywhere.
func (r *enforcing) followPanic(ctx context.Context) error {
	b, err := r.bus.open()
	if err != nil {
		return err
	}
	return b.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamEdges, Subjects: []string{schemas.SubjectPanic}, Reader: "panic"},
		func(_ context.Context, m *bus.Message) error {
			var p schemas.Panic
			if err := json.Unmarshal(m.Data(), &p); err != nil {
				r.log.Warn("a message of panic was passed over", "sequence", m.Sequence(), "error", err)
				return nil
			}
			r.mu.Lock()
			known := r.off == p.Off || m.Sequence() <= r.panicSeen
			r.panicSeen = m.Sequence()
			r.mu.Unlock()
			if known {
				return nil
			}
			r.log.Warn("panic, for every edge", "off", p.Off, "by", p.By, "time", p.Time)
			return r.panic(p.Off, nil)
		})
}
