package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

type enforceCommand struct {
	NATS string `name:"nats" placeholder:"URL" help:"Where decisions come from: nats://host:4222; by default that of the configuration."`
	Data string `placeholder:"DIR" help:"Where bouncers' keys and the control socket are kept; by default that of the configuration."`
	HTTP string `placeholder:"ADDRESS" help:"Listen there for bouncers, /metrics, /healthz and /readyz instead."`
}

// Run is the enforcing role alone: this machine's edges at the decisions of a NATS elsewhere.
func (c *enforceCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if !c.override(&configuration) {
		return usagef("no decisions to enforce: give the configuration nats.url, or name it with --nats; weir run is all roles in one process, with a NATS of its own")
	}
	again := func() (config.Config, error) {
		fresh, err := p.configuration()
		c.override(&fresh)
		return fresh, err
	}
	return enforce(ctx, configuration, again, newLogger(s.err, configuration.Log), runtimeMetrics())
}

// override puts what the flags say over the configuration, and reports whether that names a NATS.
func (c *enforceCommand) override(configuration *config.Config) bool {
	run := runCommand{Data: c.Data, HTTP: c.HTTP}
	return run.alone(configuration, c.NATS)
}

// enforce holds this machine's edges until ctx ends:
//
//	lock -> listeners -> distant bus ─▶ nginx, nftables, HAProxy, bouncers ─▶ reports
//
// NATS need not be there: what is in force stays until its lease ends, and weir panic off
// works by the control socket, as does weir reload, for which again reads the configuration anew.
func enforce(ctx context.Context, c config.Config, again func() (config.Config, error), log *slog.Logger, metrics *prometheus.Registry) (err error) {
	unlock, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer unlock()
	o := busOptions(c)
	o.Logger, o.Registerer, o.LeaveStreams, o.Name = log, metrics, true, "weir enforce "+c.Edge.Name
	distant := &distantBus{options: o, meanwhile: "edges keep what they have until their leases end"}
	r, err := newEnforcing(distant, c, newApplications(c), log, metrics)
	if err != nil {
		return err
	}
	r.modes.read, r.modes.changed = again, r.again
	server := &server{
		board: newBoard(), modes: r.modes, ready: distant.check, metrics: metrics, log: log, bouncers: r.bouncers,
		panic: func(off bool) error { return r.panic(off, nil) },
		publish: func(context.Context, []schemas.Event) error {
			return errors.New("this weir only enforces: give the command the data directory of the weir that decides")
		},
	}
	server.panicEverywhere, server.lifted, server.returned = r.panicEverywhere, r.lifted, r.returned
	tcp, socket, err := server.listen(c.HTTP.Listen, c.Data)
	if err != nil {
		return err
	}
	var roles, last stage
	roles.keep(ctx, log, "serve", func(ctx context.Context) error { return serveBoth(ctx, server, tcp, socket) })
	r.keep(ctx, &roles)
	distantCtx, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	last.keep(distantCtx, log, "nats", distant.run)
	log.Info("enforcing", "data", c.Data, "http", tcp.Addr().String())
	roles.wait()
	disconnect()
	last.wait()
	return nil
}
