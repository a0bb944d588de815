package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/sinks/nginx"
	"github.com/weir-project/weir/sinks/notify"
)

const (
	lagTold      = 30 * time.Second // of a log behind the clock
	lossTold     = 10 * time.Minute // how long a loss is worth telling
	storeTold    = 2 * time.Minute  // of ClickHouse being away: it starts, too
	edgeTold     = 30 * time.Second // of an edge being behind
	clocksTold   = 10               // edges whose clocks are told of
	diskLeast    = 1 << 30          // bytes
	diskShare    = 0.05
	lagMetric    = "weir_collector_lag_seconds"
	linesMetric  = "weir_collector_lines_total"
	skewMetric   = "weir_processor_clock_skew_seconds"
	doubtMetric  = "weir_processor_clock_doubted_share"
	skewTold     = time.Minute // of an edge's clock: by less it is corrected, and its requests may just come late
	edgeLocation = "this machine's nginx"
)

// losses are counters that only move when something is gone for good.
var losses = map[string]string{
	"weir_collector_files_skipped_total":      "rotated logs were gone before they were read",
	"weir_bus_lost_total":                     "messages were discarded before they were read",
	"weir_nginx_decisions_overflow_total":     "decisions were dropped because decisions.max was reached",
	"weir_notify_dropped_total":               "messages to people were given up",
	"weir_clickhouse_malformed_batches_total": "batches could not be stored",
}

// health looks at this process as an on-call engineer would.
type health struct {
	data    string
	metrics prometheus.Gatherer
	ready   func() error // nil, or why the bus or the store is not
	bus     func() error
	edge    func() (nginx.Status, bool)      // of this machine; false where there is none
	others  func(time.Time) []notify.Ailment // of edges elsewhere, and of what no site is asked for; nil: nobody follows them

	mu       sync.Mutex
	counts   map[string]float64   // of losses, as last seen
	lost     map[string]time.Time // when they last moved
	lines    map[string]float64
	moving   map[string]time.Time
	away     time.Time // since when the store is
	behind   time.Time // since when the edge is
	observed bool
}

// healthy is nil while events can reach people: what a heartbeat stands for.
func (h *health) healthy() error { return h.bus() }

// ailing is what is wrong now.
func (h *health) ailing() []notify.Ailment {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	var found []notify.Ailment
	if err := h.bus(); err != nil {
		found = append(found, notify.Ailment{Key: "bus", Severity: notify.Critical, What: "NATS cannot be used: " + err.Error(),
			Mend: "free disk, or bring NATS back; requests wait where they are", Command: "journalctl -u weir -n 50"})
	}
	found = append(found, h.store(now)...)
	found = append(found, h.disk()...)
	found = append(found, h.counters(now)...)
	found = append(found, h.edges(now)...)
	if h.others != nil {
		found = append(found, h.others(now)...)
	}
	return found
}

func (h *health) store(now time.Time) []notify.Ailment {
	err := h.ready()
	if err == nil || h.bus() != nil {
		h.away = time.Time{}
		return nil
	}
	if h.away.IsZero() {
		h.away = now
	}
	if now.Sub(h.away) < storeTold {
		return nil
	}
	return []notify.Ailment{{Key: "store", Severity: notify.Warning, What: err.Error(),
		Mend: "detection and decisions go on; see clickhouse.log in the data directory", Command: "journalctl -u weir -n 50"}}
}

func (h *health) disk() []notify.Ailment {
	var fs unix.Statfs_t
	if err := unix.Statfs(h.data, &fs); err != nil || fs.Blocks == 0 {
		return nil
	}
	free, share := float64(fs.Bavail)*float64(fs.Bsize), float64(fs.Bavail)/float64(fs.Blocks)
	if free >= diskLeast || share >= diskShare {
		return nil
	}
	return []notify.Ailment{{Key: "disk", Severity: notify.Warning,
		What: fmt.Sprintf("%.1f GiB (%.1f %%) are free on the disk of %s", free/(1<<30), 100*share, h.data),
		Mend: "free some: with less than 64 MiB weir takes no more requests", Command: "df -h " + h.data}}
}

// counters finds logs that are read late and what was lost.
func (h *health) counters(now time.Time) []notify.Ailment {
	families, err := h.metrics.Gather()
	if err != nil && len(families) == 0 {
		return nil
	}
	if h.counts == nil {
		h.counts, h.lost = make(map[string]float64), make(map[string]time.Time)
		h.lines, h.moving = make(map[string]float64), make(map[string]time.Time)
	}
	var found []notify.Ailment
	lags, clocks := make(map[string]float64), make(map[string]notify.Ailment)
	for _, f := range families {
		name := f.GetName()
		for _, m := range f.GetMetric() {
			switch labels := labelText(m); {
			case name == linesMetric:
				if v := m.GetCounter().GetValue(); v != h.lines[labels] {
					h.lines[labels], h.moving[labels] = v, now
				}
			case name == lagMetric:
				lags[labels] = m.GetGauge().GetValue()
			case name == skewMetric || name == doubtMetric:
				wrongClock(clocks, name, m)
			case losses[name] != "":
				key, v := name+labels, m.GetCounter().GetValue()
				if v > h.counts[key] && h.observed {
					h.lost[key] = now
				}
				h.counts[key] = v
				if at := h.lost[key]; !at.IsZero() && now.Sub(at) < lossTold {
					found = append(found, notify.Ailment{Key: "loss " + name, Severity: notify.Warning,
						What: fmt.Sprintf("%s (%s %s: %.0f so far)", losses[name], name, labels, v),
						Mend: "the log of weir says which and why", Command: "journalctl -u weir -n 50"})
				}
			}
		}
	}
	for labels, lag := range lags { // the gauge stays where it was when nothing comes
		if lag > lagTold.Seconds() && now.Sub(h.moving[labels]) < lagTold {
			found = append(found, notify.Ailment{Key: "lag " + labels, Severity: notify.Warning,
				What: fmt.Sprintf("a log is read %.0f s late: %s", lag, labels),
				Mend: "it catches up by itself unless the machine has too little of something: see weir top"})
		}
	}
	for _, edge := range slices.Sorted(maps.Keys(clocks))[:min(len(clocks), clocksTold)] {
		found = append(found, clocks[edge])
	}
	h.observed = true
	return found
}

// wrongClock takes what a metric says of a source's clock, one for each edge.
func wrongClock(clocks map[string]notify.Ailment, metric string, m *dto.Metric) {
	edge, v := "", m.GetGauge().GetValue()
	for _, l := range m.GetLabel() {
		if l.GetName() == "edge" {
			edge = l.GetValue()
		}
	}
	what := ""
	switch by := time.Duration(v * float64(time.Second)); {
	case metric == doubtMetric && v > 0:
		what = fmt.Sprintf("its clock stands still or jumps, the times of %.0f %% of its requests fit nothing", 100*v)
	case metric == skewMetric && by >= skewTold:
		what = fmt.Sprintf("its clock is %s ahead", short(by))
	case metric == skewMetric && by <= -skewTold:
		what = fmt.Sprintf("its clock is %s behind", short(-by))
	default:
		return
	}
	clocks[edge] = notify.Ailment{Key: "clock of " + edge, Severity: notify.Warning, What: "edge " + edge + ": " + what,
		Mend: "set the clock of that machine; its requests are counted all the same, as of now or corrected", Command: "weir top"}
}

func labelText(m *dto.Metric) string {
	var parts []string
	for _, l := range m.GetLabel() {
		parts = append(parts, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(parts, " ")
}

// edges looks whether what is intended is in force.
func (h *health) edges(now time.Time) []notify.Ailment {
	status, ok := h.edge()
	if !ok {
		return nil
	}
	err := status.Err
	if err == nil && status.Loaded > 0 && !status.LeaseUntil.IsZero() && now.After(status.LeaseUntil) {
		err = errors.New("its lease has ended: nothing is enforced")
	}
	if err == nil {
		h.behind = time.Time{}
		return nil
	}
	if h.behind.IsZero() {
		h.behind = now
	}
	if now.Sub(h.behind) < edgeTold {
		return nil
	}
	severity := notify.Warning
	if status.Intended > 0 {
		severity = notify.Critical
	}
	return []notify.Ailment{{Key: "edge " + edgeLocation, Edge: true, Severity: severity,
		What: fmt.Sprintf("%s does not have the %s that it should: %v", edgeLocation, plural(status.Intended, "decision"), err),
		Mend: "nginx keeps the last good configuration until the lease ends; mend what nginx -t says", Command: "nginx -t"}}
}
