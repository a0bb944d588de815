package main

import (
	"context"
	"errors"
	"net"
	"net/http"
)

type processCommand struct {
	HTTP     string `placeholder:"ADDRESS" help:"Listen there for /metrics, /healthz and /readyz; by default nowhere."`
	Baseline string `placeholder:"FILE" help:"Where nothing was learned yet, start with what weir learn wrote."`
}

// Run is the processing role alone, on a NATS that nats.url names: as many of them as there
// is work share the partitions, and one is the detector.
func (c *processCommand) Run(ctx context.Context, s screen, p *program) (err error) {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if configuration.NATS.URL == "" {
		return usagef("weir process shares its work through a NATS that others reach too: give nats.url; on one machine weir run does it all")
	}
	log := newLogger(s.err, configuration.Log)
	frugal()
	metrics := runtimeMetrics()
	o := busOptions(configuration)
	o.Logger, o.Registerer, o.Name = log, metrics, "weir process"
	b := reachBus(ctx, o, "nothing is processed until it is, and what was published waits there")
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
	processing, err := openProcessing(ctx, b, desk, "", stream, c.Baseline, configuration, metrics, log)
	if err != nil {
		return err
	}
	processing.modes.read = p.configuration
	apps := newApplications(configuration)
	var roles stage
	roles.keep(ctx, log, "modes", func(ctx context.Context) error { return processing.modes.hear(ctx, log) })
	if c.HTTP != "" {
		l, err := net.Listen("tcp", c.HTTP)
		if err != nil {
			return usagef("--http %s: %w", c.HTTP, unwrapNet(err))
		}
		server := &server{ready: b.Check, metrics: metrics, board: desk.board, sites: processing.sites, windows: &windowBoard{processing: processing, apps: apps}, applications: apps, modes: processing.modes, log: log}
		roles.keep(ctx, log, "applications", apps.hear(nearBus{b}, log))
		roles.keep(ctx, log, "serve", func(ctx context.Context) error { return serveHTTP(ctx, l, http.Handler(server.routes())) })
	}
	roles.keep(ctx, log, "events", desk.follow)
	roles.keep(ctx, log, "process", processing.run)
	roles.keep(ctx, log, "memory", giveBack)
	roles.keep(ctx, log, "image", giveBackImage)
	log.Info("processing", "member", processing.member.ID())
	roles.wait()
	return nil
}
