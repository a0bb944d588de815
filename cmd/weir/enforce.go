package main

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/haproxy"
	"github.com/weir-project/weir/sinks/lapi"
	"github.com/weir-project/weir/sinks/nftables"
	"github.com/weir-project/weir/sinks/nginx"
)

// enforcing keeps this machine's edges at the decisions in force.
//
//	WEIR_DECISIONS (snapshot, then changes) -> mode of the site -> nginx, nftables, HAProxy, bouncers
//	                                                              └─> what they hold -> weir.edges.report
type enforcing struct {
	bus      transport
	config   config.Config
	apps     *applications
	enforcer *nginx.Enforcer // nil: there is no nginx
	modes    *modes
	firewall *nftables.Firewall
	haproxy  *haproxy.Edge
	bouncers *lapi.Server // nil: nobody asks
	keys     *lapi.Keys
	// matched counts the requests that nginx says it has stopped; nil where its log is
	// read by another process.
	matched func() uint64
	log     *slog.Logger

	allowing *allowing

	mu       sync.Mutex
	off      bool               // weir panic off: nothing is enforced
	reread   context.CancelFunc // of what follow reads now
	sequence uint64             // of the last message of decisions that was read
	behind   time.Duration      // this machine's clock, behind NATS's
	panicked panicState         // what was last said of it
	back     chan struct{}      // closed once all is read again that panic on brings back; nil: nothing is awaited
}

// edge is what holds decisions on this machine: it may be told at any time, and does its
// work in its own.
type edge interface {
	Apply(events ...schemas.Event)
	Replace(events ...schemas.Event)
	Spare(addresses []netip.Prefix)
}

// newEnforcing checks what the configuration says of this machine's edges.
func newEnforcing(b transport, c config.Config, apps *applications, log *slog.Logger, metrics prometheus.Registerer) (*enforcing, error) {
	said := panicked(c.Data)
	r := &enforcing{bus: b, config: c, modes: newModes(c), apps: apps, log: log, allowing: newAllowing(log), off: said.Off, panicked: said, keys: lapi.OpenKeys(keysFile(c.Data))}
	r.bouncers = lapi.New(lapi.Options{Keys: r.keys, Allow: c.Allowed(), MaxDecisions: c.Decisions.Max, Logger: log, Registerer: metrics})
	if err := r.openOthers(metrics); err != nil {
		return nil, usageError{err}
	}
	if c.Nginx.Directory == "" {
		return r, nil
	}
	// What is in force is not touched. A directory that cannot be written is the enforcer's to
	// retry and complain of.
	snippets := snippetOptions(c.Nginx)
	limited, err := nginx.Prepare(context.Background(), c.Nginx.Directory, snippets, c.Nginx.Test, log)
	if err != nil {
		log.Error("nginx's snippets were not written", "error", err)
	} else {
		forHTTP, forServer := nginx.IncludeLines(c.Nginx.Directory)
		log.Info("nginx needs these lines once", "http", forHTTP, "server", forServer)
	}
	o := nginxOptions(c, log, metrics)
	o.Limit, o.Snippets, o.Workers = limited, &snippets, nginx.Workers
	if r.enforcer, err = nginx.New(o); err != nil {
		return nil, usageError{err}
	}
	apps.watched(r.enforcer.Machines)
	return r, nil
}

func snippetOptions(c config.Nginx) nginx.SnippetOptions {
	o := nginx.SnippetOptions{Silent: c.Block == "silence", UnknownRate: c.UnknownRate}
	if c.Challenge != "throttle" {
		o.Challenge = c.Challenge
	}
	return o
}

func nginxOptions(c config.Config, log *slog.Logger, metrics prometheus.Registerer) nginx.Options {
	return nginx.Options{
		Dir: c.Nginx.Directory, Test: c.Nginx.Test, Reload: c.Nginx.Reload,
		MinReloadInterval: c.Nginx.MinReloadInterval, Lease: c.Nginx.Lease, Allow: c.Allowed(), AllowPaths: c.AllowedPaths(),
		MaxDecisions: c.Decisions.Max, Logger: log, Registerer: metrics,
	}
}

// openOthers makes the edges beside nginx that the configuration wants.
func (r *enforcing) openOthers(metrics prometheus.Registerer) (err error) {
	c := r.config
	if len(c.Nftables.Ports) > 0 {
		o := nftables.Options{
			Allow: c.Allowed(), Lease: c.Nftables.Lease, Sample: c.Nftables.Sample, MaxDecisions: c.Decisions.Max,
			Behind: r.hidden, Seen: newDroppedShip(r.bus, c.Edge.Name, r.log).ship, Logger: r.log, Registerer: metrics,
		}
		for _, port := range c.Nftables.Ports {
			o.Ports = append(o.Ports, uint16(port))
		}
		if r.firewall, err = nftables.New(o); err != nil {
			return err
		}
	}
	if c.HAProxy.Socket != "" {
		r.haproxy, err = haproxy.New(haproxyOptions(c, r.log, metrics))
	}
	return err
}

func haproxyOptions(c config.Config, log *slog.Logger, metrics prometheus.Registerer) haproxy.Options {
	return haproxy.Options{
		Socket: c.HAProxy.Socket, Map: c.HAProxy.Map, Allow: c.Allowed(), Lease: c.HAProxy.Lease,
		MaxDecisions: c.Decisions.Max, Logger: log, Registerer: metrics,
	}
}

// edges are all that there are.
func (r *enforcing) edges() []edge {
	var all []edge
	if r.enforcer != nil {
		all = append(all, r.enforcer)
	}
	if r.firewall != nil {
		all = append(all, r.firewall)
	}
	if r.haproxy != nil {
		all = append(all, r.haproxy)
	}
	if r.bouncers != nil {
		all = append(all, r.bouncers)
	}
	return all
}

func (r *enforcing) apply(events []schemas.Event) {
	events = r.allowing.take(false, events)
	r.spare()
	for _, e := range r.edges() {
		e.Apply(events...)
	}
}

func (r *enforcing) replace(events []schemas.Event) {
	events = r.allowing.take(true, events)
	r.spare()
	for _, e := range r.edges() {
		e.Replace(events...)
	}
}

// keep runs everything of it in a stage. It comes after the control socket is there: what a panic
// off that found none has noted meanwhile counts.
func (r *enforcing) keep(ctx context.Context, s *stage) {
	r.mu.Lock()
	if said := panicked(r.config.Data); said.Off {
		r.off, r.panicked = true, said
	}
	r.mu.Unlock()
	if r.enforcer != nil {
		s.keep(ctx, r.log, "enforce", r.enforcer.Run)
		s.keep(ctx, r.log, "applications", r.apps.hear(r.bus, r.log))
		s.keep(ctx, r.log, "what is known of sites", r.followKnown)
	}
	if r.firewall != nil {
		s.keep(ctx, r.log, "enforce by nftables", r.firewall.Run)
	}
	if r.haproxy != nil {
		s.keep(ctx, r.log, "enforce by HAProxy", r.haproxy.Run)
	}
	s.keep(ctx, r.log, "regulars", r.followRegulars)
	s.keep(ctx, r.log, "enforce decisions", r.follow)
	s.keep(ctx, r.log, "allowed addresses", r.watchAllowed)
	s.keep(ctx, r.log, "panic", r.followPanic)
	s.keep(ctx, r.log, "edge's report", r.report)
	s.keep(ctx, r.log, "edge's clock", r.watchClock)
}

// again has what is to be in force read again from its beginning, where something has changed which
// of it that is.
func (r *enforcing) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reread != nil {
		r.reread()
	}
}

// holds reports whether there is anything on this machine that can enforce.
func (r *enforcing) holds() bool {
	if r == nil {
		return false
	}
	if r.enforcer != nil || r.firewall != nil || r.haproxy != nil {
		return true
	}
	if r.keys == nil {
		return false
	}
	keys, err := r.keys.All()
	return err != nil || len(keys) > 0
}

// follow hands the edges what is to be in force, until ctx ends.
func (r *enforcing) follow(ctx context.Context) error {
	for {
		reading, cancel := context.WithCancel(ctx)
		r.mu.Lock()
		r.reread = cancel
		r.mu.Unlock()
		err := r.followOnce(reading)
		again := reading.Err() != nil && ctx.Err() == nil
		cancel()
		if !again {
			return err
		}
	}
}

func (r *enforcing) followOnce(ctx context.Context) error {
	b, err := r.bus.open()
	if err != nil {
		return err
	}
	r.readClock(ctx)
	start, err := b.SnapshotStart(ctx, schemas.StreamDecisions, schemas.SubjectSnapshot)
	if err != nil {
		return err
	}
	// Until everything is known that there is, nothing is told to an edge: half of
	// the decisions would lift the others for a moment.
	caughtUp, gathered := false, []schemas.Event(nil)
	return followEvents(ctx, b, r.log, bus.FollowOptions{
		Stream: schemas.StreamDecisions, From: start, Reader: "enforce",
		Read: func(sequence uint64) {
			r.mu.Lock()
			r.sequence = sequence
			r.mu.Unlock()
		},
		CaughtUp: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.off {
				gathered = nil
				r.log.Warn("panic off is in force: nothing is enforced until weir panic on")
			}
			r.replace(gathered)
			caughtUp, gathered = true, nil
			if r.back != nil && !r.off {
				close(r.back)
				r.back = nil
			}
		},
	}, func(events []schemas.Event, replace bool) {
		enforced := r.enforced(events)
		r.mu.Lock()
		defer r.mu.Unlock()
		byThisClock(enforced, r.behind)
		switch {
		case caughtUp && r.off:
		case !caughtUp && replace:
			gathered = enforced
		case !caughtUp:
			gathered = append(gathered, enforced...)
		case replace:
			r.replace(enforced)
		default:
			r.apply(enforced)
		}
	})
}

// enforced are the decisions for sites whose mode lets them be enforced. One that
// names several sites is cut to those; one for every site is a person's, or holds
// where the mode of all is to enforce. The list is made anew in place: of a snapshot there
// may be half a million.
func (r *enforcing) enforced(events []schemas.Event) []schemas.Event {
	out := events[:0]
	for _, e := range events {
		if e.Decision == nil || e.ID == "" {
			continue
		}
		byHand := e.Origin != "weir"
		if e.Type == schemas.DecisionRemoved || byHand || len(e.Sites) == 0 && r.modes.enforces("") {
			out = append(out, e)
			continue
		}
		var sites []string
		for _, site := range e.Sites {
			if r.modes.enforces(site) {
				sites = append(sites, site)
			}
		}
		if len(sites) > 0 {
			e.Sites = sites
			out = append(out, e)
		}
	}
	return out
}

// byThisClock corrects the ends of decisions by what this machine's clock is wrong.
func byThisClock(events []schemas.Event, behind time.Duration) {
	if behind == 0 {
		return
	}
	for i := range events {
		d := *events[i].Decision
		d.Expires = d.Expires.Add(-behind)
		events[i].Decision = &d
	}
}

// status is what the nginx on this machine reports; false where there is none.
func (r *enforcing) status() (nginx.Status, bool) {
	if r == nil || r.enforcer == nil {
		return nginx.Status{}, false
	}
	return r.enforcer.Status(), true
}
