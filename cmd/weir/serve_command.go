package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/sinks/notify"
)

type serveCommand struct {
	NATS string `name:"nats" placeholder:"URL" help:"Whose incidents and decisions are served: nats://host:4222; by default that of the configuration."`
	Data string `placeholder:"DIR" help:"Where the control socket, bouncers' keys and what people were told are kept; by default that of the configuration."`
	HTTP string `placeholder:"ADDRESS" help:"Listen there instead."`
}

// Run is the serving role alone: what people and their programs ask of weir, and what weir
// tells them, where other processes collect, process, store and enforce.
func (c *serveCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if !c.override(&configuration) {
		return usagef("nothing to serve: give the configuration nats.url, or name it with --nats; weir run is all roles in one process, with a NATS of its own")
	}
	again := func() (config.Config, error) {
		fresh, err := p.configuration()
		c.override(&fresh)
		return fresh, err
	}
	return stopped(ctx, serve(ctx, configuration, again, newLogger(s.err, configuration.Log), runtimeMetrics()))
}

// override puts what the flags say over the configuration, and reports whether that names a
// NATS. This machine's edges are weir enforce's.
func (c *serveCommand) override(configuration *config.Config) bool {
	run := runCommand{Data: c.Data, HTTP: c.HTTP}
	configuration.Nginx.Directory, configuration.Nftables.Ports, configuration.HAProxy.Socket = "", nil, ""
	return run.alone(configuration, c.NATS)
}

// serve answers until ctx ends:
//
//	lock -> NATS -> events ─▶ API, control socket, bouncers
//	                      └─▶ notifications, status page
//
// For weir reload again reads the configuration anew.
func serve(ctx context.Context, c config.Config, again func() (config.Config, error), log *slog.Logger, metrics *prometheus.Registry) (err error) {
	unlock, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer unlock()
	o := busOptions(c)
	o.Logger, o.Registerer, o.Name = log, metrics, "weir serve"
	b := reachBus(ctx, o, "nothing is served until it is")
	if b == nil {
		return nil
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	stream, err := streamName(ctx, b)
	if err != nil {
		return err
	}
	desk := newDesk(b, log)
	if err := desk.restore(ctx); err != nil {
		return err
	}
	apps := newApplications(c)
	bouncing := c
	bouncing.Edge.Name += "-serve" // an edge of its own beside one that enforces here
	enforcing, err := newEnforcing(nearBus{b}, bouncing, apps, log, metrics)
	if err != nil {
		return err
	}
	enforcing.modes.read, enforcing.modes.changed = again, enforcing.again
	edges, vitals := newEdgeBoard(b, log, metrics), newEdgesVitals(b, log)
	watch := &health{
		data: c.Data, metrics: metrics, ready: b.Check, bus: b.Check, edge: enforcing.status,
		others: func(now time.Time) []notify.Ailment { return edges.ailing(c.Edge.Name, now) },
	}
	notifying, err := newNotifying(ctx, b, c, stream, watch, enforcing, edges, log, metrics)
	if err != nil {
		return err
	}
	telling, err := newTelling(b, c, stream, notifying, log, metrics)
	if err != nil {
		return err
	}
	server := &server{
		board: desk.board, modes: enforcing.modes, vitals: vitals, publish: desk.publish, ready: b.Check, metrics: metrics, log: log,
		panic:        func(off bool) error { return enforcing.panic(off, desk.board.inForce) },
		correct:      func(ctx context.Context, c processor.Correction) error { return noteCorrection(ctx, b, c) },
		applications: apps, panicEverywhere: enforcing.panicEverywhere, lifted: enforcing.lifted, bouncers: enforcing.bouncers, edges: edges,
	}
	if telling != nil {
		server.status = telling.page
		defer func() { err = errors.Join(err, telling.page.Close()) }()
	}
	tcp, socket, err := server.listen(c.HTTP.Listen, c.Data)
	if err != nil {
		return err
	}
	var roles stage
	roles.keep(ctx, log, "serve", func(ctx context.Context) error { return serveBoth(ctx, server, tcp, socket) })
	roles.keep(ctx, log, "events", desk.follow)
	roles.keep(ctx, log, "applications", apps.hear(nearBus{b}, log))
	roles.keep(ctx, log, "edges", edges.run)
	roles.keep(ctx, log, "edges' vitals", func(ctx context.Context) error { return vitals.run(ctx, nil) })
	enforcing.keep(ctx, &roles)
	if notifying != nil {
		roles.keep(ctx, log, "notify", notifying.run)
	}
	if telling != nil {
		roles.keep(ctx, log, "status page", telling.run)
	}
	roles.keep(ctx, log, "memory", giveBack)
	log.Info("serving", "data", c.Data, "http", tcp.Addr().String())
	roles.wait()
	return nil
}
