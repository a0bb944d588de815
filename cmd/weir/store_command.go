package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/embedded"
	"github.com/weir-project/weir/schemas"
)

type storeCommand struct {
	NATS string `name:"nats" placeholder:"URL" help:"Where requests come from: nats://host:4222; by default that of the configuration."`
	Data string `placeholder:"DIR" help:"Where the embedded ClickHouse and the position in the stream are kept; by default that of the configuration."`
	HTTP string `placeholder:"ADDRESS" help:"Listen there for SQL (http.sql_token_file), /metrics, /healthz and /readyz instead."`
}

// Run is the storing role alone: what goes over a NATS elsewhere into ClickHouse.
func (c *storeCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	run := runCommand{Data: c.Data, HTTP: c.HTTP}
	if !run.alone(&configuration, c.NATS) {
		return usagef("nothing to store: give the configuration nats.url, or name it with --nats; weir run is all roles in one process, with a NATS of its own")
	}
	frugal()
	w := &weir{config: configuration, log: newLogger(s.err, configuration.Log), metrics: runtimeMetrics()}
	return stopped(ctx, w.store(ctx))
}

// store stores until ctx ends:
//
//	lock -> listener -> NATS ─▶ ClickHouse
//
// Neither need be there: requests wait in NATS, for as long as it keeps them.
func (w *weir) store(ctx context.Context) (err error) {
	unlock, err := lockData(w.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := w.checkStore(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", w.config.HTTP.Listen)
	if err != nil {
		return usagef("http.listen %s: %w; give another with --http", w.config.HTTP.Listen, unwrapNet(err))
	}
	o := w.busOptions()
	o.Name = "weir store"
	b := reachBus(ctx, o, "requests wait there, and are stored once it is")
	if b == nil {
		return listener.Close()
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	stream, err := streamName(ctx, b)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	host, data, err := placeOf(w.config.Data)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	claim := &storeClaim{bucket: b.State(), who: storeName(host, data), log: w.log}
	ctx, release, err := claim.take(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := aloneStoring(ctx, b, w.log); err != nil {
		return errors.Join(err, listener.Close())
	}
	store, ends := w.newStoring(b, stream)
	routes, err := w.storeRoutes(b)
	if err != nil {
		return errors.Join(err, listener.Close(), ends())
	}
	var roles stage
	roles.keep(ctx, w.log, "serve", func(ctx context.Context) error { return serveHTTP(ctx, listener, routes) })
	roles.keep(ctx, w.log, "memory", giveBack)
	roles.keep(ctx, w.log, "store", store.run)
	w.log.Info("storing", "data", w.config.Data, "http", listener.Addr().String())
	roles.wait()
	return ends()
}

// storeRoutes are what the role answers: its health, and SQL to who shows the token.
func (w *weir) storeRoutes(b *bus.Bus) (http.Handler, error) {
	routes := healthRoutes(w.ready(b), w.metrics)
	if w.home == nil {
		return routes, nil // a server answers for itself
	}
	door, err := newSQLDoor(w.config.HTTP.SQLTokenFile, func() embedded.Home { return w.home.home.Load() }, w.log)
	if err != nil {
		return nil, err
	}
	if door != nil {
		door.register(routes)
	}
	return routes, nil
}

// placeOf is this machine's name, and a data directory's path on it.
func placeOf(data string) (host, path string, err error) {
	if host, err = os.Hostname(); err == nil {
		path, err = filepath.Abs(data)
	}
	return host, path, err
}

// aloneStoring waits while a weir run stores what goes over this NATS, which has no claim.
func aloneStoring(ctx context.Context, b *bus.Bus, log *slog.Logger) error {
	for told := false; ; {
		read, err := b.Read(ctx, schemas.StreamIncidents, storeDurable("events", schemas.StreamIncidents))
		if err != nil || !read {
			return err
		}
		if !told {
			told = true
			log.Warn("another weir stores what goes over this NATS; this one begins when that has ended")
		}
	}
}
