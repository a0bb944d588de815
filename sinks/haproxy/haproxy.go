package haproxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// Options are what New needs; Socket and Map have no default.
type Options struct {
	// Socket is the runtime API, a unix socket of level admin.
	Socket string
	// Map is the file by which HAProxy's configuration names the map.
	Map string
	// Allow are addresses that nothing here ever touches.
	Allow []netip.Prefix
	// Lease is how long HAProxy goes on enforcing without weir. 5 min.
	Lease time.Duration
	// MaxDecisions bounds what is kept; more are refused and counted. 1,000,000.
	MaxDecisions int
	Logger       *slog.Logger          // nil: none
	Registerer   prometheus.Registerer // nil: none
}

// Status is what an edge reports.
type Status struct {
	Intended    int       // decisions that are to be in force
	Loaded      int       // of them, those in the map
	Matched     uint64    // requests that it has stopped since Run began
	LeaseUntil  time.Time // when HAProxy lets go without weir
	Err         error     // why what is intended is not loaded; nil where it is
	Loads       uint64    // how often it was brought up to date
	LoadedAt    time.Time // the last time
	LoadSeconds float64   // and how long that took
}

// Edge keeps the map. Apply and Replace may be called at any time, from any goroutine;
// Run does the work.
type Edge struct {
	options Options
	metrics *metrics
	log     *slog.Logger
	wake    chan struct{} // capacity 1

	mu       sync.Mutex
	intended map[string]measure
	allow    []netip.Prefix // Options.Allow, and what Spare said
	regulars *schemas.RegularSet
	told     bool
	dirty    bool
	status   Status

	// What follows is Run's alone.
	version string // of the map, as committed
	loaded  int
	until   time.Time
	counted map[string]uint64 // of matchingTable, when it was last looked at
}

// The pace of Run.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	look       = 2 * time.Second // whether HAProxy still has the map: it may have been reloaded
	answerTime = 30 * time.Second
	maxAnswer  = 1 << 20
	piece      = 12 << 10 // bytes of one command: they must fit HAProxy's buffer (tune.bufsize, 16 KiB)
)

// New checks the options. It changes nothing.
func New(o Options) (*Edge, error) {
	for _, path := range []string{o.Socket, o.Map} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, " \t\r\n;#\"'\\") {
			return nil, fmt.Errorf("haproxy: %q: want an absolute path without spaces and quotes", path)
		}
	}
	if o.Lease <= 0 {
		o.Lease = 5 * time.Minute
	}
	if o.MaxDecisions <= 0 {
		o.MaxDecisions = 1_000_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Edge{options: o, metrics: newMetrics(o.Registerer), log: o.Logger, wake: make(chan struct{}, 1), intended: map[string]measure{}, allow: o.Allow}, nil
}

// Apply takes changes in the order in which they happened. What is not about a client or
// a prefix is ignored.
func (e *Edge) Apply(events ...schemas.Event) { e.take(false, events) }

// Replace takes a snapshot: what it does not name is no longer in force.
func (e *Edge) Replace(events ...schemas.Event) { e.take(true, events) }

// Spare has nothing touch these addresses either, beside Options.Allow, until it is called
// again.
func (e *Edge) Spare(addresses []netip.Prefix) {
	allow := slices.Concat(e.options.Allow, addresses)
	e.mu.Lock()
	e.dirty = e.dirty || !slices.Equal(allow, e.allow)
	e.allow = allow
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Regulars are who passes before what weir decided by itself, until it is called again.
func (e *Edge) Regulars(set *schemas.RegularSet) {
	e.mu.Lock()
	e.regulars, e.dirty = set, true
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Edge) take(all bool, events []schemas.Event) {
	e.mu.Lock()
	before := e.intended
	if all {
		e.intended = make(map[string]measure, len(events))
	}
	for i := range events {
		e.takeOne(&events[i])
	}
	e.dirty = e.dirty || !e.told || all && !maps.Equal(before, e.intended)
	e.told = true
	e.status.Intended = len(e.intended)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Edge) takeOne(event *schemas.Event) {
	if event.Decision == nil || event.ID == "" {
		return
	}
	value, ok := valueOf(event.Decision)
	old, known := e.intended[event.ID]
	if event.Type == schemas.DecisionRemoved || !ok {
		delete(e.intended, event.ID)
		e.dirty = e.dirty || known
		return
	}
	if !known && len(e.intended) >= e.options.MaxDecisions {
		e.metrics.overflow.Inc()
		return
	}
	m := measure{event.ID, event.Action, value, event.Expires, event.Origin != schemas.OriginWeir}
	e.intended[event.ID] = m
	e.dirty = e.dirty || m != old
}

// Status is how things are now.
func (e *Edge) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// Run enforces until ctx ends and returns nil then. Nothing that fails meanwhile ends it:
// it is logged once, counted, shown by Status, and tried again.
func (e *Edge) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
			if retry > 0 {
				continue
			}
		case <-timer.C:
		}
		err := e.step(ctx, time.Now().Round(0)) // by the clock on the wall, as HAProxy: it may be set
		if err == nil {
			err = e.count(ctx)
		}
		e.note(err)
		if retry = min(max(2*retry, firstRetry), lastRetry); err == nil {
			retry = 0
		}
		timer.Reset(max(retry, look))
	}
}

func (e *Edge) note(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := e.status.Err != nil && err != nil && e.status.Err.Error() == err.Error()
	e.status.Err, e.status.Loaded, e.status.LeaseUntil = err, e.loaded, e.until
	if err != nil {
		e.dirty = true
		e.metrics.failures.Inc()
		if !known {
			e.log.Error("decisions are not in force at HAProxy; it keeps what it has", "error", err)
		}
	}
	e.metrics.loaded.Set(float64(e.loaded))
}

// step brings HAProxy to what is to be in force at now, and moves the lease.
func (e *Edge) step(ctx context.Context, now time.Time) error {
	e.mu.Lock()
	if !e.told {
		e.mu.Unlock()
		return nil
	}
	dirty := e.dirty
	e.mu.Unlock()
	version, err := e.mapVersion(ctx)
	if err != nil {
		return err
	}
	if dirty || version != e.version { // another version: HAProxy has started anew
		return e.load(ctx, now)
	}
	if left := e.until.Sub(now); left > e.options.Lease/2 && left <= e.options.Lease {
		return nil
	}
	return e.renew(ctx, now)
}

// Lift takes everything away at once, whether or not Run ever ran: for a person who
// wants weir out of the way. It is not for use beside Run.
func Lift(ctx context.Context, o Options) error {
	e, err := New(o)
	if err != nil {
		return err
	}
	e.Replace()
	return e.step(ctx, time.Now())
}
