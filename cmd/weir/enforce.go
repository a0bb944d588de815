package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

// enforcing keeps this machine's nginx at the decisions in force.
//
//	WEIR_DECISIONS (snapshot, then changes) -> mode of the site -> nginx
type enforcing struct {
	bus      *bus.Bus
	config   config.Config
	enforcer *nginx.Enforcer
	log      *slog.Logger

	mu  sync.Mutex
	off bool // weir panic off: nothing is enforced
}

// newEnforcing checks what the configuration says of nginx; nil where it says
// nothing.
func newEnforcing(b *bus.Bus, c config.Config, log *slog.Logger, metrics prometheus.Registerer) (*enforcing, error) {
	if c.Nginx.Directory == "" {
		return nil, nil
	}
	e, err := nginx.New(nginxOptions(c, log, metrics))
	if err != nil {
		return nil, usageError{err}
	}
	// The snippets are the same every time; what is in force is not touched. A
	// directory that cannot be written is the enforcer's to retry and complain of.
	if err := nginx.Install(c.Nginx.Directory, nginx.SnippetOptions{}); err != nil {
		log.Error("nginx's snippets were not written", "error", err)
	} else {
		forHTTP, forServer := nginx.IncludeLines(c.Nginx.Directory)
		log.Info("nginx needs these lines once", "http", forHTTP, "server", forServer)
	}
	return &enforcing{bus: b, config: c, enforcer: e, log: log, off: panicked(c.Data)}, nil
}

func nginxOptions(c config.Config, log *slog.Logger, metrics prometheus.Registerer) nginx.Options {
	return nginx.Options{
		Dir: c.Nginx.Directory, Test: c.Nginx.Test, Reload: c.Nginx.Reload,
		MinReloadInterval: c.Nginx.MinReloadInterval, Lease: c.Nginx.Lease, Allow: c.Allow,
		MaxDecisions: c.Decisions.Max, Logger: log, Registerer: metrics,
	}
}

// follow hands the enforcer what is to be in force, until ctx ends.
func (r *enforcing) follow(ctx context.Context) error {
	start, err := r.bus.SnapshotStart(ctx, schemas.StreamDecisions, schemas.SubjectSnapshot)
	if err != nil {
		return err
	}
	// Until everything is known that there is, nothing is told to nginx: half of
	// the decisions would lift the others for a moment.
	caughtUp, gathered := false, []schemas.Event(nil)
	return followEvents(ctx, r.bus, r.log, bus.FollowOptions{
		Stream: schemas.StreamDecisions, From: start, Reader: "enforce",
		CaughtUp: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.off {
				gathered = nil
				r.log.Warn("panic off is in force: nothing is enforced until weir panic on")
			}
			r.enforcer.Replace(gathered...)
			caughtUp, gathered = true, nil
		},
	}, func(events []schemas.Event, replace bool) {
		enforced := r.enforced(events)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case caughtUp && r.off:
		case !caughtUp && replace:
			gathered = enforced
		case !caughtUp:
			gathered = append(gathered, enforced...)
		case replace:
			r.enforcer.Replace(enforced...)
		default:
			r.enforcer.Apply(enforced...)
		}
	})
}

// enforced are the decisions for sites whose mode lets them be enforced. One that
// names several sites is cut to those; one for every site is a person's, or holds
// where the mode of all is to enforce.
func (r *enforcing) enforced(events []schemas.Event) []schemas.Event {
	out := make([]schemas.Event, 0, len(events))
	for _, e := range events {
		if e.Decision == nil || e.ID == "" {
			continue
		}
		byHand := e.Origin != "weir"
		if e.Type == schemas.DecisionRemoved || byHand || len(e.Sites) == 0 && r.config.Mode == config.Enforce {
			out = append(out, e)
			continue
		}
		var sites []string
		for _, site := range e.Sites {
			if r.config.ModeOf(site) == config.Enforce {
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

// status is what the edge on this machine reports; false where there is none.
func (r *enforcing) status() (nginx.Status, bool) {
	if r == nil {
		return nginx.Status{}, false
	}
	return r.enforcer.Status(), true
}
