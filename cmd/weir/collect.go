package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
)

// collectMemory is what a collector may take, in bytes, before its garbage is collected
// more often: 64 MiB, less what the program's own pages take (see giveBackImage) and what a
// burst adds before it is noticed.
const collectMemory = 30 << 20

type collectCommand struct {
	Logs []string `arg:"" optional:"" name:"log" help:"Logs to follow, HOST=FILE where a log does not name its site; - is standard input; by default the sources of the configuration."`
	NATS string   `name:"nats" placeholder:"URL" help:"Where requests go: nats://host:4222; by default that of the configuration."`
	Data string   `placeholder:"DIR" help:"Where journals and spools are kept; by default that of the configuration."`
	HTTP string   `placeholder:"ADDRESS" help:"Listen there for /metrics, /healthz and /readyz instead."`
}

// Run is the collecting role alone: this machine's requests to a NATS elsewhere.
func (c *collectCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	run := runCommand{Logs: c.Logs, Data: c.Data, HTTP: c.HTTP}
	switch {
	case !run.alone(&configuration, c.NATS):
		return usagef("nowhere to send requests: give the configuration nats.url, or name it with --nats; weir run is all roles in one process, with a NATS of its own")
	case len(configuration.Sources) == 0:
		return usagef("nothing to follow: name a log (weir collect /var/log/nginx/access.log) or give the configuration sources")
	}
	if err := checkSources(configuration, p.Config); err != nil {
		return err
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT was not set
		debug.SetMemoryLimit(collectMemory)
	}
	return stopped(ctx, collect(ctx, configuration, newLogger(s.err, configuration.Log), runtimeMetrics()))
}

// collect ships until ctx ends:
//
//	lock -> listener -> sources ─▶ distant bus
//
// NATS need not be there: files wait where they are, and what is pushed on disk.
func collect(ctx context.Context, c config.Config, log *slog.Logger, metrics *prometheus.Registry) (err error) {
	unlock, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer unlock()
	var memory stage
	trimming, trimmed := context.WithCancel(context.WithoutCancel(ctx))
	defer func() { trimmed(); memory.wait() }()
	memory.keep(trimming, log, "memory", giveBackImage) // before anything is opened: a thousand logs take a while
	o := busOptions(c)
	o.Logger, o.Registerer, o.LeaveStreams, o.Name = log, metrics, true, "weir collect "+c.Edge.Name
	distant := &distantBus{options: o, meanwhile: "files wait where they are, and pushed lines on disk"}
	apps := newApplications(c)
	logs, pushed, err := newCollecting(c, distant, apps, metrics, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePushed(pushed)) }()
	readVitals, err := newVitals(c, distant, metrics, log)
	if err != nil {
		return err
	}
	following := len(logs.followed)
	listener, err := net.Listen("tcp", c.HTTP.Listen)
	if err != nil {
		return usagef("http.listen %s: %w; give another with --http", c.HTTP.Listen, unwrapNet(err))
	}
	var sources, last stage
	sources.keep(ctx, log, "serve", func(ctx context.Context) error {
		return serveHTTP(ctx, listener, healthRoutes(distant.check, metrics))
	})
	sources.keep(ctx, log, "collect", logs.run)
	for _, p := range pushed {
		sources.keep(ctx, log, "collect "+p.name, p.run)
	}
	sources.keep(ctx, log, "applications told", apps.tell(distant, c.Edge.Name, log))
	if readVitals != nil {
		sources.keep(ctx, log, "vitals", readVitals)
	}
	distantCtx, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	last.keep(distantCtx, log, "nats", distant.run)
	log.Info("collecting", "data", c.Data, "http", listener.Addr().String(), "sources", following+len(pushed))
	sources.wait()
	disconnect()
	last.wait()
	return nil
}

// healthRoutes are what a role alone answers.
func healthRoutes(ready func() error, metrics prometheus.Gatherer) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

// distantBus is a bus that may not be there when this process starts. Until it is,
// publishing fails, and is tried again by whoever publishes.
type distantBus struct {
	options   bus.Options
	meanwhile string // what becomes of things until it is connected
	bus       atomic.Pointer[bus.Bus]
}

var errDistant = errors.New("not connected to NATS yet")

// run connects, however long that takes, and disconnects when ctx ends.
func (d *distantBus) run(ctx context.Context) error {
	b := reachBus(ctx, d.options, d.meanwhile)
	if b == nil {
		return nil
	}
	d.bus.Store(b)
	d.options.Logger.Info("connected to NATS")
	<-ctx.Done()
	return b.Close()
}

// reachBus opens a bus, however often that must be tried; nil once ctx has ended. What becomes of
// things meanwhile is logged.
func reachBus(ctx context.Context, o bus.Options, meanwhile string) *bus.Bus {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		b, err := bus.Open(ctx, o)
		if err == nil {
			return b
		}
		if ctx.Err() != nil {
			return nil
		}
		o.Logger.Warn("NATS is not reached; "+meanwhile, "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Publish implements ship.Publisher.
func (d *distantBus) Publish(ctx context.Context, subject, id string, data []byte) error {
	b := d.bus.Load()
	if b == nil {
		return errDistant
	}
	return b.Publish(ctx, subject, id, data)
}

// open implements transport.
func (d *distantBus) open() (*bus.Bus, error) {
	if b := d.bus.Load(); b != nil {
		return b, nil
	}
	return nil, errDistant
}

// check says whether requests can be sent at this moment.
func (d *distantBus) check() error {
	b := d.bus.Load()
	if b == nil {
		return errDistant
	}
	return b.Check()
}
