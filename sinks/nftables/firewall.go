package nftables

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// Options are what New needs; everything has a default.
type Options struct {
	// Namespace is the file descriptor of another network namespace; 0 is this one.
	Namespace int
	// Ports are those of the sites, TCP and UDP: nothing else is ever dropped. 80, 443.
	Ports []uint16
	// Allow are addresses that nothing here ever touches.
	Allow []netip.Prefix
	// Behind says by what the peers of this machine are hidden, "" where they are the
	// clients themselves. nil: they are.
	Behind func() string
	// Lease is how long the kernel goes on without weir. 10 min.
	Lease time.Duration
	// Sample is how many dropped packets one is counted of, by client. 16.
	Sample int
	// MaxDecisions bounds what is kept, MaxPrefixes those of them on prefixes; more are
	// refused and counted. 1,000,000 and 10,000.
	MaxDecisions, MaxPrefixes int
	// Seen is told, about once a second, what was dropped; nil: nobody.
	Seen       func(context.Context, []Dropped)
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

// Dropped is what a client sent that was dropped: an estimate from a sample.
type Dropped struct {
	Client   netip.Addr
	Packets  uint64
	Decision string
	Sites    []string // that the decision names; empty is all
}

// Status is what an edge reports.
type Status struct {
	Intended    int       // values that are to be in force
	Loaded      int       // of them, those that the kernel has
	Dropped     uint64    // packets since Run began
	Err         error     // why what is intended is not loaded; nil where it is
	Loads       uint64    // how often it was brought up to date
	LoadedAt    time.Time // the last time
	LoadSeconds float64   // and how long that took
}

// Firewall keeps the tables at the decisions that it is told. Apply and Replace may be
// called at any time, from any goroutine; Run does the work.
type Firewall struct {
	options Options
	book    *book
	metrics *metrics
	log     *slog.Logger
	wake    chan struct{} // capacity 1

	mu     sync.Mutex
	status Status
	allow  []netip.Prefix // Options.Allow, and what Spare said
	spared bool           // and the kernel has it

	// What follows is Run's alone.
	kernel   *kernel
	loaded   map[netip.Prefix]time.Time     // clients that the kernel has, and until when
	prefixes map[netip.Prefix]time.Duration // that it has, and for how long
	pieces   map[netip.Prefix]time.Duration // of them, with the sites' regulars left out
	renewed  time.Time                      // when they were loaded
	scanned  time.Time                      // that all was looked at
	looked   time.Time                      // that the tables stand
}

// The pace of Run.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	tick       = time.Second
	lookEvery  = 10 * time.Second
	scanEvery  = 5 * time.Second
)

// New checks the options. It changes nothing.
func New(o Options) (*Firewall, error) {
	if len(o.Ports) == 0 {
		o.Ports = []uint16{80, 443}
	}
	o.Lease = orDefault(o.Lease, 10*time.Minute)
	o.Sample = orDefault(o.Sample, 16)
	o.MaxDecisions = orDefault(o.MaxDecisions, 1_000_000)
	o.MaxPrefixes = orDefault(o.MaxPrefixes, 10_000)
	if o.Lease < 30*time.Second {
		return nil, fmt.Errorf("nftables lease of %s: want at least 30s", o.Lease)
	}
	if o.Behind != nil {
		if what := o.Behind(); what != "" {
			return nil, fmt.Errorf("nftables: the peers of this machine are %s, not the clients: to drop one would refuse everybody behind it; leave nftables out here, nginx can tell the clients apart", what)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Firewall{
		options: o, book: newBook(o.MaxDecisions), metrics: newMetrics(o.Registerer), log: o.Logger,
		wake: make(chan struct{}, 1), loaded: map[netip.Prefix]time.Time{}, allow: o.Allow,
	}, nil
}

func orDefault[T int | time.Duration](value, fallback T) T {
	if value <= 0 {
		return fallback
	}
	return value
}

// Apply takes changes in the order in which they happened. Events that are not about
// decisions that a firewall can hold are ignored.
func (f *Firewall) Apply(events ...schemas.Event) { f.take(false, events) }

// Replace takes a snapshot: what it does not name is no longer in force.
func (f *Firewall) Replace(events ...schemas.Event) { f.take(true, events) }

// Spare has nothing touch these addresses either, beside Options.Allow, until it is called
// again.
func (f *Firewall) Spare(addresses []netip.Prefix) {
	allow := slices.Concat(f.options.Allow, addresses)
	f.mu.Lock()
	f.spared = f.spared && slices.Equal(allow, f.allow)
	f.allow = allow
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Regulars are who passes before what weir decided by itself, until it is called again.
func (f *Firewall) Regulars(set *schemas.RegularSet) {
	f.book.know(set)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// spare tells the kernel whom nothing touches, where that has changed.
func (f *Firewall) spare() error {
	f.mu.Lock()
	allow, spared := f.allow, f.spared
	f.spared = true
	f.mu.Unlock()
	if spared {
		return nil
	}
	if err := f.kernel.allow(allow); err != nil {
		f.mu.Lock()
		f.spared = false
		f.mu.Unlock()
		return fmt.Errorf("nftables: allowed addresses: %w", err)
	}
	return nil
}

func (f *Firewall) take(all bool, events []schemas.Event) {
	if overflow := f.book.take(all, events); overflow > 0 {
		f.metrics.overflow.Add(float64(overflow))
		f.log.Warn("there is no room for some decisions; the firewall does not hold them", "decisions", overflow, "most", f.options.MaxDecisions)
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Status is how things are now.
func (f *Firewall) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Run enforces until ctx ends and returns nil then. Nothing that fails meanwhile ends
// it: it is logged once, counted, shown by Status, and tried again. When Run ends, so does
// the moving of timeouts: the kernel keeps what it has until then.
func (f *Firewall) Run(ctx context.Context) error {
	defer f.hangUp()
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
			if retry > 0 { // the timer tries again
				continue
			}
		case <-timer.C:
		}
		err := f.step(time.Now())
		if err == nil {
			err = f.look(ctx)
		}
		if f.note(err); err != nil {
			f.hangUp()
			retry = min(max(2*retry, firstRetry), lastRetry)
			timer.Reset(retry)
			continue
		}
		retry = 0
		timer.Reset(tick)
	}
}

func (f *Firewall) hangUp() {
	if f.kernel != nil {
		f.kernel.close()
		f.kernel = nil
	}
}

// note keeps account of how an attempt went.
func (f *Firewall) note(err error) {
	intended := f.book.intended()
	loaded := len(f.loaded) + len(f.prefixes)
	f.mu.Lock()
	known := f.status.Err != nil && err != nil && f.status.Err.Error() == err.Error()
	f.status.Err, f.status.Intended, f.status.Loaded = err, intended, loaded
	f.mu.Unlock()
	f.metrics.intended.Set(float64(intended))
	f.metrics.loaded.Set(float64(loaded))
	if err != nil {
		f.metrics.failures.Inc()
		if !known {
			f.log.Error("decisions are not in force at the firewall; it keeps what it has", "error", err)
		}
	}
}

// step brings the kernel to what is to be in force at now.
func (f *Firewall) step(now time.Time) error {
	f.book.mu.Lock()
	told := f.book.told
	f.book.mu.Unlock()
	if !told { // the kernel keeps what an earlier weir gave it
		return nil
	}
	if err := f.stand(now); err != nil {
		return err
	}
	if err := f.spare(); err != nil {
		return err
	}
	scan := now.Sub(f.scanned) >= scanEvery || f.renewed.IsZero()
	if scan {
		f.book.sweep(now)
		f.scanned = now
	}
	started := time.Now()
	updates, ends, prefixes := f.due(now, scan)
	changes := len(updates) > 0 || prefixes != nil
	for len(updates) > 0 {
		n := min(len(updates), perBatch)
		if err := f.kernel.change(updates[:n]); err != nil {
			f.again(updates)
			return fmt.Errorf("nftables: %w", err)
		}
		for i, u := range updates[:n] {
			if u.last > 0 {
				f.loaded[u.value] = ends[i]
			} else {
				delete(f.loaded, u.value)
			}
		}
		f.metrics.elements.Add(float64(n))
		updates, ends = updates[n:], ends[n:]
	}
	if prefixes != nil {
		if err := f.kernel.prefixes(slices.Collect(maps.Keys(f.pieces)), f.pieces); err != nil {
			f.renewed = time.Time{}
			return fmt.Errorf("nftables: prefixes: %w", err)
		}
		f.prefixes, f.renewed = prefixes, now
	}
	if changes {
		f.mu.Lock()
		f.status.Loads++
		f.status.LoadedAt, f.status.LoadSeconds = time.Now(), time.Since(started).Seconds()
		f.mu.Unlock()
	}
	return nil
}

// stand makes sure that the tables are there: at the start, and now and then, because
// others flush rule sets.
func (f *Firewall) stand(now time.Time) error {
	if f.kernel != nil && now.Sub(f.looked) < lookEvery {
		return nil
	}
	if f.kernel == nil {
		k, err := dial(f.options.Namespace)
		if err != nil {
			return err
		}
		f.kernel = k
	} else if f.kernel.present() {
		f.looked = now
		return nil
	} else {
		f.log.Warn("somebody has removed weir's tables; they are made again")
	}
	f.mu.Lock()
	o := f.options
	o.Allow, f.spared = f.allow, true
	f.mu.Unlock()
	if err := f.kernel.setUp(&o); err != nil {
		return err
	}
	// What an earlier weir has left stays in force meanwhile.
	there, err := f.kernel.clients()
	if err != nil {
		return err
	}
	clear(f.loaded)
	for value, last := range there {
		f.loaded[value] = now.Add(last)
	}
	f.prefixes, f.renewed, f.looked = nil, time.Time{}, now
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	for value := range f.book.values {
		f.book.changed[value] = true
	}
	for value := range f.loaded {
		f.book.changed[value] = true
	}
	return nil
}

// Lift takes everything away at once, whether or not Run ever ran: for a person who
// wants weir out of the way. It is not for use beside Run.
func Lift(namespace int) error {
	k, err := dial(namespace)
	if err != nil {
		return err
	}
	defer k.close()
	if err := k.remove(); err != nil {
		return errors.Join(errors.New("nftables: the tables weir and weir_prefixes were not removed"), err)
	}
	return nil
}
