package nginx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// Options are what New needs; only Dir has no default.
type Options struct {
	// Dir is the directory that nginx includes from; Run makes it.
	Dir string
	// Test checks nginx's whole configuration: {"nginx", "-t"}.
	Test []string
	// Reload makes the running nginx read it: {"nginx", "-s", "reload"}.
	Reload []string
	// MinReloadInterval is the least time between two reloads; the first
	// measure after a quiet time is loaded at once. 2 s.
	MinReloadInterval time.Duration
	// OldWorkers counts nginx's processes that still serve what was asked before a reload:
	// while there are many, reloads are up to 30 s apart. By default those of this machine.
	OldWorkers func() int
	// Workers are nginx's processes that take new connections, [Workers] on this machine: a reload
	// counts once there are only new ones. nil, or none to be seen: once nginx was told.
	Workers func() map[string]string
	// Lease is how long nginx goes on enforcing without weir. 10 min.
	Lease time.Duration
	// CommandTimeout bounds Test and Reload. 30 s.
	CommandTimeout time.Duration
	// Allow are addresses that nothing here ever touches.
	Allow []netip.Prefix
	// AllowPaths are, by site, paths that no decision touches: exact, or all below where they end in "/".
	AllowPaths map[string][]string
	// Limit says that the snippets were installed with SnippetOptions.UnknownRate.
	Limit bool
	// Snippets are what Prepare was called with; with them Run calls it again where the
	// site's own configuration has changed. nil: the snippets stay as they are.
	Snippets *SnippetOptions
	// MaxDecisions bounds what is kept; more are refused and counted. 1,000,000.
	MaxDecisions int
	Logger       *slog.Logger          // nil: none
	Registerer   prometheus.Registerer // nil: none
}

// Status is what an edge reports.
type Status struct {
	Intended    int       // decisions that are to be in force
	Loaded      int       // those in the configuration that nginx last read
	Refused     []Refusal // those that nginx cannot carry, as of the last rendering
	Version     string    // of what is loaded: $weir_version; empty before the first load
	LeaseUntil  time.Time // when nginx lets go without weir; zero where nothing is loaded
	Err         error     // why what is intended is not loaded; nil where it is
	Loads       uint64    // how often it was brought up to date
	LoadedAt    time.Time // the last time
	LoadSeconds float64   // and how long that took
}

// Enforcer keeps one nginx at the decisions that it is told. Apply and Replace
// may be called at any time, from any goroutine; Run does the work.
type Enforcer struct {
	options Options
	dir     directory
	metrics *metrics
	log     *slog.Logger
	wake    chan struct{} // capacity 1
	wall    func() time.Time

	mutex       sync.Mutex
	intended    map[string]Measure
	allow       []netip.Prefix // Options.Allow, and what Spare said
	told        bool           // Apply or Replace was called: what is intended is known
	dirty       bool           // and is not what was last rendered
	lift        bool           // all of it is to go: no pace holds that up, once
	released    uint64         // how often something had to be let go of, since it began
	machines    map[string][]profile.Rule
	status      Status
	regulars    map[int][]schemas.SiteRegulars // by part
	fresh       bool                           // and not what regularsNow was made of
	regularsNow *RegularList
	lists       map[listKey]heldList
	listBytes   int
	listsNow    Lists               // of those that the measures asked for last ...
	listsFor    []*schemas.SiteList // ... which are these

	// What follows is Run's alone.
	loaded     loaded
	retry      time.Duration // 0: the last attempt succeeded
	lastReload time.Time
	lastChange time.Time // the last reload for more than the lease
	lastTry    time.Time
	nextExpiry time.Time
	tidyAt     time.Time // when the lists of before the last reload go; zero: there are none
	own        own
}

// loaded is what nginx was last told to read.
type loaded struct {
	version  string
	lease    Lease  // without monotonic readings: it counts by nginx's clock
	lists    []File // names only
	main     string // that of them which includes the others
	released uint64 // Enforcer.released when it was rendered: while that is the same, all that nginx holds is still meant
}

// commandTimeout bounds nginx's commands where nothing else is said.
const commandTimeout = 30 * time.Second

// The pace of Run.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	// expiryPace bounds how often an expiry alone leads to a reload.
	expiryPace = 10 * time.Second
	// clockPace is how often Run looks whether the machine's clock was set, and clockSlack
	// what it may be beyond the lease: nginx has let go then.
	clockPace  = 5 * time.Second
	clockSlack = 2 * time.Second
	// tidyAfter is how long after a reload the lists of before it stay: nginx reads its
	// configuration after the command has returned. They name clients that nobody has
	// decided about any more.
	tidyAfter = time.Minute
)

// New checks the options. It runs and writes nothing.
func New(o Options) (*Enforcer, error) {
	if err := checkDir(o.Dir); err != nil {
		return nil, err
	}
	if len(o.Test) == 0 {
		o.Test = []string{"nginx", "-t"}
	}
	if len(o.Reload) == 0 {
		o.Reload = []string{"nginx", "-s", "reload"}
	}
	o.MinReloadInterval = orDefault(o.MinReloadInterval, 2*time.Second)
	o.Lease = orDefault(o.Lease, 10*time.Minute)
	o.CommandTimeout = orDefault(o.CommandTimeout, commandTimeout)
	o.MaxDecisions = orDefault(o.MaxDecisions, 1_000_000)
	if o.OldWorkers == nil {
		o.OldWorkers = oldWorkers
	}
	if o.Lease < 10*time.Second {
		return nil, fmt.Errorf("nginx lease of %s: want at least 10s, it is renewed by reloads", o.Lease)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Enforcer{
		options:  o,
		dir:      directory{path: o.Dir},
		metrics:  newMetrics(o.Registerer),
		log:      o.Logger,
		wake:     make(chan struct{}, 1),
		wall:     func() time.Time { return time.Now().Round(0) },
		intended: map[string]Measure{},
		allow:    o.Allow,
		regulars: map[int][]schemas.SiteRegulars{},
		lists:    map[listKey]heldList{},
	}, nil
}

func orDefault[T int | time.Duration](value, fallback T) T {
	if value <= 0 {
		return fallback
	}
	return value
}

// Apply takes changes in the order in which they happened. Events that are not
// about decisions are ignored.
func (e *Enforcer) Apply(events ...schemas.Event) { e.take(false, events) }

// Replace takes a snapshot: what it does not name is no longer in force.
func (e *Enforcer) Replace(events ...schemas.Event) { e.take(true, events) }

// Spare has nothing touch these addresses either, beside Options.Allow, until it is called
// again.
func (e *Enforcer) Spare(addresses []netip.Prefix) {
	allow := slices.Concat(e.options.Allow, addresses)
	e.mutex.Lock()
	if !slices.Equal(allow, e.allow) {
		e.dirty = true
		e.released++
	}
	e.allow = allow
	e.mutex.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Enforcer) take(all bool, events []schemas.Event) {
	e.mutex.Lock()
	before := e.intended
	if all {
		e.intended = make(map[string]Measure, len(events))
	}
	for _, event := range events {
		e.takeOne(event, before)
	}
	if all {
		for id := range before {
			if _, ok := e.intended[id]; !ok {
				e.dirty = true
				e.released++
				break
			}
		}
	}
	e.dirty = e.dirty || !e.told
	e.lift = all && e.dirty && len(e.intended) == 0
	e.told = true
	e.status.Intended = len(e.intended)
	e.metrics.intended.Set(float64(len(e.intended)))
	e.mutex.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// takeOne changes what is intended. A renewal changes no file: only the lease
// and the time of leaving depend on it.
func (e *Enforcer) takeOne(event schemas.Event, before map[string]Measure) {
	m, ok := MeasureOf(event)
	if !ok {
		return
	}
	switch event.Type {
	case schemas.DecisionRemoved:
		if _, ok := e.intended[m.ID]; ok {
			delete(e.intended, m.ID)
			e.dirty = true
			e.released++
		}
	case schemas.DecisionAdded, schemas.DecisionRenewed:
		if _, ok := e.intended[m.ID]; !ok && len(e.intended) >= e.options.MaxDecisions {
			e.metrics.overflow.Inc()
			return
		}
		old, ok := before[m.ID]
		if ok && !old.same(m) { // it may be milder now, or on fewer sites
			e.released++
		}
		e.dirty = e.dirty || !ok || !old.same(m)
		e.intended[m.ID] = m
	}
}

// same reports whether two measures make the same entry.
func (m Measure) same(o Measure) bool {
	return m.Action == o.Action && m.Scope == o.Scope && m.Value == o.Value && m.Hand == o.Hand && siteKey(m.Sites) == siteKey(o.Sites)
}

// Status is how things are now.
func (e *Enforcer) Status() Status {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.status
}

// Run enforces until ctx ends and returns nil then. Nothing that fails meanwhile
// ends it: it is logged once, counted, shown by Status, and tried again; the
// site keeps answering by what nginx has. When Run ends, so does the renewing of
// the lease: nginx keeps what it has until then.
func (e *Enforcer) Run(ctx context.Context) error {
	e.recover(ctx)
	e.own.at = time.Now() // Prepare has just looked, and decisions come first
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		e.tidy(time.Now())
		e.watchOwn(ctx, time.Now())
		wait := e.until(time.Now())
		if wait <= 0 {
			e.attempt(ctx)
			continue
		}
		timer.Reset(min(wait, e.patience()))
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-timer.C:
		}
	}
	return nil
}

// Sync brings nginx to what is intended at once and says why it could not: for a
// command that does one thing and ends. It is not for use beside Run.
func (e *Enforcer) Sync(ctx context.Context) error {
	e.recover(ctx)
	e.attempt(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.Status().Err
}

// tidy removes the lists of before the last reload, once nginx has surely read the new ones.
func (e *Enforcer) tidy(now time.Time) {
	if e.tidyAt.IsZero() || now.Before(e.tidyAt) {
		return
	}
	e.tidyAt = time.Time{}
	if err := e.dir.sweep(e.dir.inUse(), e.loaded.lists); err != nil {
		e.log.Warn("old versions stay", "error", err)
	}
}

// until is how long Run has nothing to do.
func (e *Enforcer) until(now time.Time) time.Duration {
	e.mutex.Lock()
	told, dirty, fresh := e.told, e.dirty, e.fresh
	lift := e.lift
	e.mutex.Unlock()
	switch {
	case !told:
		return time.Hour
	case lift:
		return 0
	}
	if e.retry > 0 {
		return e.lastTry.Add(e.retry).Sub(now)
	}
	next := now.Add(time.Hour)
	if !e.tidyAt.IsZero() && e.tidyAt.Before(next) {
		next = e.tidyAt
	}
	if dirty {
		if next = e.lastReload.Add(e.options.MinReloadInterval); !next.After(now) { // counted only when it matters
			next = e.lastChange.Add(e.pace())
		}
	}
	if !e.nextExpiry.IsZero() {
		wall := e.wall()
		if e.outside(wall) {
			return 0
		}
		if load := e.lastReload.Add(regularsPace); fresh && load.Before(next) {
			next = load
		}
		if leave := later(now.Add(e.nextExpiry.Sub(wall)), e.lastReload.Add(expiryPace)); leave.Before(next) {
			next = leave
		}
		if renew := now.Add(e.loaded.lease.Until.Sub(wall) - e.options.Lease/2); renew.Before(next) {
			next = later(renew, e.lastTry.Add(e.options.Lease/4))
		}
	}
	return next.Sub(now)
}

// outside reports whether nginx has let go although weir lives: the clock was set.
func (e *Enforcer) outside(wall time.Time) bool {
	l := e.loaded.lease
	return !l.Until.IsZero() && (wall.Before(l.From) || wall.After(l.Until.Add(clockSlack)))
}

// patience bounds how long Run waits: timers do not see that a clock is set, nor that a file
// has changed.
func (e *Enforcer) patience() time.Duration {
	switch {
	case !e.loaded.lease.Until.IsZero():
		return clockPace
	case e.watchesOwn():
		return ownPace
	}
	return time.Hour
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// attempt brings nginx to what is intended, and keeps account of how that went.
func (e *Enforcer) attempt(ctx context.Context) {
	e.lastTry = time.Now()
	e.mutex.Lock()
	changed := e.dirty
	e.lift = false
	e.mutex.Unlock()
	err := e.bring(ctx, e.wall())
	if ctx.Err() != nil {
		return
	}
	if changed && err == nil {
		e.lastChange = e.lastReload
	}
	e.mutex.Lock()
	known := e.status.Err != nil && err != nil && e.status.Err.Error() == err.Error()
	e.status.Err = err
	if err != nil {
		e.dirty = true
	}
	e.mutex.Unlock()
	if err == nil {
		e.retry = 0
		return
	}
	e.retry = min(max(2*e.retry, firstRetry), lastRetry, e.options.Lease/4) // each may renew what is in force
	e.metrics.failures.Inc()
	if !known {
		e.log.Error("decisions are not in force at nginx; it keeps what it has", "error", err, "retry", e.retry)
	}
}

// recover finishes a switch that was interrupted: where a previous.conf is left,
// current.conf has not been tested.
func (e *Enforcer) recover(ctx context.Context) {
	if err := os.MkdirAll(e.options.Dir, 0o755); err != nil {
		e.log.Error("nginx directory", "error", err)
		return
	}
	if err := e.dir.sweepTemporary(); err != nil {
		e.log.Warn("what an interrupted write left stays", "error", err)
	}
	if _, err := os.Stat(filepath.Join(e.options.Dir, previousName)); errors.Is(err, os.ErrNotExist) {
		return
	}
	if err := e.command(ctx, "test", e.options.Test); err == nil {
		e.dir.settle()
		return
	}
	if err := e.dir.rollback(); err != nil {
		e.log.Error("an interrupted switch cannot be taken back", "error", err)
		return
	}
	e.log.Warn("took back a switch that was interrupted before nginx had tested it")
}
