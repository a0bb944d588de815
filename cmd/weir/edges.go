package main

import (
	"cmp"
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
	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/notify"
)

// The pace of edges' reports.
const (
	reportEvery = 2 * time.Second
	clockEvery  = 30 * time.Second
	clockSlack  = 2 * time.Second  // an edge's clock may be so wrong before it is corrected
	edgeSilent  = 30 * time.Second // without a report
	// A bouncer asks every few seconds, or every minute; one that has not for so long does
	// not run, and one that has not for longer is taken to be gone for good.
	bouncerSilent = 5 * time.Minute
	bouncerGone   = time.Hour
)

// The parts of an edge in its reports.
const (
	partNginx    = "nginx"
	partNftables = "nftables"
	partHAProxy  = "haproxy"
	partBouncers = "bouncers"
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
			Matching: matching, Name: partNginx, Intended: s.Intended, Loaded: s.Loaded, Refused: len(s.Refused), Lease: s.LeaseUntil, Error: text(s.Err),
			Loads: s.Loads, LoadedAt: utc(s.LoadedAt), LoadSeconds: s.LoadSeconds, Without: lacksOf(s.Refused),
		})
	}
	if r.firewall != nil {
		s := r.firewall.Status()
		report.Parts = append(report.Parts, schemas.EdgePart{Name: partNftables, Intended: s.Intended, Loaded: s.Loaded, Matching: s.Dropped, Error: text(s.Err),
			Loads: s.Loads, LoadedAt: utc(s.LoadedAt), LoadSeconds: s.LoadSeconds})
	}
	if r.haproxy != nil {
		s := r.haproxy.Status()
		report.Parts = append(report.Parts, schemas.EdgePart{Name: partHAProxy, Intended: s.Intended, Loaded: s.Loaded, Matching: s.Matched, Lease: s.LeaseUntil, Error: text(s.Err),
			Loads: s.Loads, LoadedAt: utc(s.LoadedAt), LoadSeconds: s.LoadSeconds})
	}
	for i := range report.Parts {
		report.Parts[i].LetGo(report.Time)
	}
	if list, err := r.bouncers.Bouncers(); err == nil && len(list) > 0 {
		// Loaded is what they can ask for; whether they do, each says by its last pull.
		part := schemas.EdgePart{Name: partBouncers, Intended: r.bouncers.Size(), Loaded: r.bouncers.Size()}
		for _, b := range list {
			part.Matching += uint64(b.DroppedInAll)
			report.Bouncers = append(report.Bouncers, schemas.EdgeBounce{Name: b.Name, LastPull: b.LastPull.UTC(), Streams: b.Streams, Holds: b.Active, Stopped: b.Dropped})
		}
		report.Parts = append(report.Parts, part)
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
	Received time.Time            `json:"received"` // by NATS's clock
	lacking  map[string]time.Time // parts in which something is not in force, and since when
}

type edgeGauges struct{ intended, loaded, refused, seen *prometheus.GaugeVec }

func newEdgeBoard(b *bus.Bus, log *slog.Logger, metrics prometheus.Registerer) *edgeBoard {
	vector := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_edge_" + name, Help: help}, labels)
	}
	g := &edgeGauges{
		intended: vector("decisions_intended", "Decisions that an edge is to hold, of those that it can.", "edge", "part"),
		loaded:   vector("decisions_loaded", "Decisions that an edge holds.", "edge", "part"),
		refused:  vector("decisions_refused", "Decisions that an edge is to hold and cannot carry: they stop nothing there.", "edge", "part"),
		seen:     vector("report_time_seconds", "When an edge last reported, in unix seconds.", "edge"),
	}
	if metrics != nil {
		metrics.MustRegister(g.intended, g.loaded, g.refused, g.seen)
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
	seen := &edgeSeen{EdgeReport: report, Received: now, lacking: make(map[string]time.Time)}
	for i := range report.Parts {
		if p := &report.Parts[i]; !report.Off && p.Lacks() {
			if seen.lacking[p.Name] = now; old != nil && !old.lacking[p.Name].IsZero() {
				seen.lacking[p.Name] = old.lacking[p.Name]
			}
		}
	}
	e.latest[report.Edge] = seen
	e.gauges.seen.WithLabelValues(report.Edge).Set(float64(now.Unix()))
	for _, p := range report.Parts {
		e.gauges.intended.WithLabelValues(report.Edge, p.Name).Set(float64(p.Intended))
		e.gauges.loaded.WithLabelValues(report.Edge, p.Name).Set(float64(p.Loaded))
		e.gauges.refused.WithLabelValues(report.Edge, p.Name).Set(float64(p.Refused))
	}
}

// all are the edges' latest reports, by their names; an edge that reports no more is taken to let go
// when its lease ends.
func (e *edgeBoard) all() []*edgeSeen { return e.allAt(time.Now()) }

func (e *edgeBoard) allAt(now time.Time) []*edgeSeen {
	if e == nil {
		return []*edgeSeen{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*edgeSeen, 0, len(e.latest))
	for name, r := range e.latest {
		if silent := now.Sub(r.Received); silent > edgeSilent {
			r = r.letGo(r.Time.Add(silent))
			e.latest[name] = r
			for _, p := range r.Parts {
				e.gauges.loaded.WithLabelValues(name, p.Name).Set(float64(p.Loaded))
			}
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *edgeSeen) int { return strings.Compare(a.Edge, b.Edge) })
	return list
}

// letGo is the edge without what its leases have let go of by now, by its own clock.
func (r *edgeSeen) letGo(now time.Time) *edgeSeen {
	report := *r.EdgeReport
	report.Parts = slices.Clone(report.Parts)
	ended := false
	for i := range report.Parts {
		ended = report.Parts[i].LetGo(now) || ended
	}
	if !ended {
		return r
	}
	return &edgeSeen{EdgeReport: &report, Received: r.Received, lacking: r.lacking}
}

// enforces reports whether any edge but one's own holds decisions in force.
func (e *edgeBoard) enforces(own string, now time.Time) bool {
	return slices.ContainsFunc(e.all(), func(r *edgeSeen) bool {
		return r.Edge != own && !r.Off && now.Sub(r.Received) < edgeSilent && len(r.Parts)+len(r.Bouncers) > 0
	})
}

// ailing are the edges where decisions are active and not in force; own is this machine's,
// of whose nginx health knows more.
func (e *edgeBoard) ailing(own string, now time.Time) []notify.Ailment {
	var found []notify.Ailment
	for _, r := range e.allAt(now) {
		silent := now.Sub(r.Received)
		if silent > edgeGone { // taken out of service
			continue
		}
		intended := 0
		var said, letGo []string
		for i := range r.Parts {
			p := &r.Parts[i]
			intended += p.Intended
			held := strings.TrimSuffix(fmt.Sprintf("%s holds %d of %d: %s", p.Name, p.Loaded, p.Intended, p.Error), ": ")
			if p.Intended > 0 && p.Loaded == 0 && !p.Lease.IsZero() {
				letGo = append(letGo, held)
			}
			since := r.lacking[p.Name]
			if since.IsZero() || now.Sub(since) <= edgeTold || r.Edge == own && p.Name == partNginx {
				continue
			}
			said = append(said, held)
		}
		what := ""
		switch {
		case silent > edgeSilent && intended > 0 && len(letGo) > 0 && r.Edge != own:
			what = fmt.Sprintf("has not reported for %s, and decisions are active and not in force there: %s", short(silent), strings.Join(letGo, "; "))
		case silent > edgeSilent && intended > 0 && r.Edge != own:
			what = fmt.Sprintf("has not reported for %s; it held %s, and lets go when its lease ends", short(silent), plural(intended, "decision"))
		case silent > edgeSilent:
			continue
		case len(said) > 0:
			what = "decisions are active and not in force there: " + strings.Join(said, "; ")
		}
		if what != "" {
			found = append(found, notify.Ailment{Key: "edge " + r.Edge, Edge: true, Severity: notify.Critical,
				What: "edge " + r.Edge + ": " + what, Mend: "look at weir's log there", Command: "journalctl -u weir -n 50"})
		}
		found = append(found, r.silentBouncers(intended)...)
	}
	return found
}

// silentBouncers are those that followed the changes and ask no longer: what they hold ends
// by itself, and what was decided since is not in force where they are.
func (r *edgeSeen) silentBouncers(intended int) (found []notify.Ailment) {
	for _, b := range r.Bouncers {
		silent := r.Time.Sub(b.LastPull) // both by the edge's own clock
		if r.Off || intended == 0 || !b.Streams || silent < bouncerSilent || silent > bouncerGone {
			continue
		}
		found = append(found, notify.Ailment{Key: "bouncer " + r.Edge + " " + b.Name, Edge: true, Severity: notify.Warning,
			What: fmt.Sprintf("bouncer %s has not asked the edge %s for decisions for %s: what was decided since is not in force there", printable(b.Name, 64), r.Edge, short(silent)),
			Mend: "see whether it runs; weir bouncers rm takes its key away where it is gone for good", Command: "weir bouncers"})
	}
	return found
}

// held is what edges hold, for weir top: at most so many, those first that lack something.
func (e *edgeBoard) held(most int, now time.Time) []top.Held {
	list := make([]top.Held, 0, most)
	for _, r := range e.allAt(now) {
		silent := now.Sub(r.Received)
		if silent > edgeGone || len(r.Parts)+len(r.Bouncers) == 0 {
			continue
		}
		h := top.Held{Edge: r.Edge, Off: r.Off}
		if silent > edgeSilent {
			h.Silent = silent.Seconds()
		}
		for i := range r.Parts {
			p := &r.Parts[i]
			h.Intended += p.Intended
			h.Loaded += p.Loaded
			h.Refused += p.Refused
			h.Matching += p.Matching
			h.Lacks = h.Lacks || p.Lacks()
		}
		list = append(list, h)
	}
	slices.SortStableFunc(list, func(a, b top.Held) int { return cmp.Compare(b.Trouble(), a.Trouble()) })
	return list[:min(len(list), most)]
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
			return r.hearPanic(&p, m.Sequence(), m.Time())
		})
}

// hearPanic does what a message says, where nothing was said here since it was sent.
func (r *enforcing) hearPanic(p *schemas.Panic, sequence uint64, sent time.Time) error {
	r.mu.Lock()
	newer, same := r.panicked.newer(sequence, sent), r.off == p.Off
	if newer {
		r.panicked.Sequence = sequence
	}
	r.mu.Unlock()
	if !newer {
		return nil
	}
	if !same {
		r.log.Warn("panic, for every edge", "off", p.Off, "by", p.By, "time", p.Time)
	}
	return r.panicSaid(p.Off, same)
}
