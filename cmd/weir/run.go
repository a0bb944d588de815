package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/internal/embedded"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/sinks/clickhouse"
	"github.com/weir-project/weir/sinks/notify"
)

type runCommand struct {
	Logs     []string `arg:"" optional:"" name:"log" help:"Logs to follow, HOST=FILE where a log does not name its site; - is standard input; by default the sources of the configuration."`
	Data     string   `placeholder:"DIR" help:"Where everything that lasts is kept; by default that of the configuration."`
	Mode     string   `default:"" enum:",observe,propose,enforce" help:"observe, propose or enforce, on every site that the configuration does not name."`
	HTTP     string   `placeholder:"ADDRESS" help:"Listen there instead."`
	Baseline string   `placeholder:"FILE" help:"Where nothing was learned here yet, start with what weir learn wrote."`
}

// Run is every role in one process.
func (c *runCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	c.override(&configuration)
	if len(configuration.Sources) == 0 {
		return usagef("nothing to follow: name a log (weir run /var/log/nginx/access.log) or give the configuration sources")
	}
	if err := checkSources(configuration, p.Config); err != nil {
		return err
	}
	frugal()
	modes := newModes(configuration)
	modes.read = func() (config.Config, error) {
		fresh, err := p.configuration()
		c.override(&fresh)
		return fresh, err
	}
	w := &weir{config: configuration, modes: modes, log: newLogger(s.err, configuration.Log), metrics: runtimeMetrics()}
	return stopped(ctx, w.run(ctx, c.Baseline))
}

// stopped is nil for a role that was told to stop, be it while it started.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (c *runCommand) override(configuration *config.Config) {
	if c.Data != "" {
		configuration.Data = c.Data
	}
	if c.Mode != "" {
		configuration.Mode = config.Mode(c.Mode)
	}
	if c.HTTP != "" {
		configuration.HTTP.Listen = c.HTTP
	}
	if len(c.Logs) > 0 {
		configuration.Sources = nil
	}
	for _, argument := range c.Logs {
		site, path := splitHost(argument)
		source := config.Source{File: path, Site: site, Format: "auto"}
		if path == "-" {
			source.File, source.Pipe = "", path
		}
		configuration.Sources = append(configuration.Sources, source)
	}
}

// weir is one process with every role.
type weir struct {
	config  config.Config
	modes   *modes
	log     *slog.Logger
	metrics *prometheus.Registry
	stored  atomic.Bool // ClickHouse has its tables
	home    *storeHome  // nil with a server elsewhere
}

// run opens what can fail at once, and then runs the roles until ctx ends:
//
//	lock -> listeners -> bus -> state
//	collect ─▶ bus ─▶ process ─▶ bus ─▶ store, enforce
//	                      └─▶ serve                  notify, tell
//
// When ctx ends, every role ends; ClickHouse and the bus are stopped after them, because
// what they hold is still written then.
func (w *weir) run(ctx context.Context, baseline string) (err error) {
	unlock, err := lockData(w.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := w.checkStore(); err != nil {
		return err
	}
	b, err := bus.Open(ctx, w.busOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	stream, err := streamName(ctx, b)
	if err != nil {
		return err
	}
	desk := newDesk(b, w.log)
	if err := desk.restore(ctx); err != nil {
		return err
	}
	processing, err := openProcessing(ctx, b, desk, filepath.Join(w.config.Data, "processor.state"), stream, baseline, w.config, w.metrics, w.log)
	if err != nil {
		return err
	}
	apps := newApplications(w.config)
	logs, pushed, err := newCollecting(w.config, nearBus{b}, apps, w.metrics, w.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePushed(pushed)) }()
	following := len(logs.followed)
	readVitals, err := newVitals(w.config, b, w.metrics, w.log)
	if err != nil {
		return err
	}
	vitals := newEdgesVitals(b, w.log)
	enforcing, err := newEnforcing(nearBus{b}, w.config, apps, w.log, w.metrics)
	if err != nil {
		return err
	}
	enforcing.matched = logs.stopped.Load
	enforcing.modes, processing.modes = w.modes, w.modes
	w.modes.changed = enforcing.again
	edges := newEdgeBoard(b, w.log, w.metrics)
	watch := &health{
		data: w.config.Data, metrics: w.metrics, ready: w.ready(b), bus: b.Check, edge: enforcing.status,
		others: func(now time.Time) []notify.Ailment {
			return append(edges.ailing(w.config.Edge.Name, now), processing.strangers.ailing(now)...)
		},
	}
	notifying, err := newNotifying(ctx, b, w.config, stream, watch, enforcing, edges, w.log, w.metrics)
	if err != nil {
		return err
	}
	telling, err := newTelling(b, w.config, stream, notifying, w.log, w.metrics)
	if err != nil {
		return err
	}
	server := &server{
		board: desk.board, sites: processing.sites, windows: &windowBoard{processing: processing, apps: apps}, modes: w.modes, vitals: vitals, publish: desk.publish, ready: w.ready(b), metrics: w.metrics, log: w.log,
		panic:        func(off bool) error { return enforcing.panic(off, desk.board.inForce) },
		correct:      func(ctx context.Context, c processor.Correction) error { return noteCorrection(ctx, b, c) },
		applications: apps, panicEverywhere: enforcing.panicEverywhere, lifted: enforcing.lifted, bouncers: enforcing.bouncers, edges: edges,
	}
	if server.forgetting, err = w.newForgetting(b, processing, desk, pushed); err != nil {
		return err
	}
	if server.sql, err = newSQLDoor(w.config.HTTP.SQLTokenFile, func() embedded.Home { return w.home.home.Load() }, w.log); err != nil {
		return err
	}
	if telling != nil {
		server.status = telling.page
		defer func() { err = errors.Join(err, telling.page.Close()) }()
	}
	tcp, socket, err := server.listen(w.config.HTTP.Listen, w.config.Data)
	if err != nil {
		return err
	}

	store, storeEnds := w.newStoring(b, stream)
	var first, second stage
	first.keep(ctx, w.log, "collect", logs.run)
	for _, p := range pushed {
		first.keep(ctx, w.log, "collect "+p.name, p.run)
	}
	if readVitals != nil {
		first.keep(ctx, w.log, "vitals", readVitals)
	}
	first.keep(ctx, w.log, "applications told", apps.tell(nearBus{b}, w.config.Edge.Name, w.log))
	first.keep(ctx, w.log, "edges' vitals", func(ctx context.Context) error { return vitals.run(ctx, nil) })
	first.keep(ctx, w.log, "events", desk.follow)
	first.keep(ctx, w.log, "process", processing.run)
	first.keep(ctx, w.log, "serve", func(ctx context.Context) error { return serveBoth(ctx, server, tcp, socket) })
	enforcing.keep(ctx, &first)
	first.keep(ctx, w.log, "edges", edges.run)
	if notifying != nil {
		first.keep(ctx, w.log, "notify", notifying.run)
	}
	first.keep(ctx, w.log, "postmortem", (&drafting{board: desk.board, open: store.open, config: w.config, log: w.log}).run)
	if telling != nil {
		first.keep(ctx, w.log, "status page", telling.run)
	}
	first.keep(ctx, w.log, "memory", giveBack)
	second.keep(ctx, w.log, "store", store.run)
	w.log.Info("running", "data", w.config.Data, "http", tcp.Addr().String(), "sources", following+len(pushed), "mode", w.config.Mode)
	first.wait()
	second.wait()
	return storeEnds()
}

func serveBoth(ctx context.Context, s *server, tcp, socket net.Listener) error {
	both := make(chan error, 2)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, l := range []struct {
		net.Listener
		change bool
	}{{tcp, false}, {socket, true}} {
		handler := s.routes()
		if l.change {
			handler = s.control()
		}
		go func() {
			err := serveHTTP(ctx, l.Listener, handler)
			cancel() // one ends both
			both <- err
		}()
	}
	return errors.Join(<-both, <-both)
}

// stage is roles that end together.
type stage struct{ running sync.WaitGroup }

// keep runs a role until ctx ends, and starts it again where it fails: one role
// that is in trouble must not take the others down.
func (s *stage) keep(ctx context.Context, log *slog.Logger, name string, role func(context.Context) error) {
	s.running.Go(func() { keepRole(ctx, log, name, role) })
}

func keepRole(ctx context.Context, log *slog.Logger, name string, role func(context.Context) error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := role(ctx)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, ctx.Err()) {
				log.Error("a role did not end in order", "role", name, "error", err)
			}
			return
		}
		log.Error("a role failed and is started again", "role", name, "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *stage) wait() { s.running.Wait() }

// lockData makes the data directory and takes it for this process.
func lockData(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data directory %s: %w; give another with --data", dir, unwrapPath(err))
	}
	path := filepath.Join(dir, "weir.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w; give another with --data", dir, unwrapPath(err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		_ = f.Close()
		return nil, fmt.Errorf("data directory %s is in use by process %s; stop it, or give another with --data", dir, printable(string(pid), 20))
	}
	if err := errors.Join(f.Truncate(0), writePid(f)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("data directory %s: %w", dir, unwrapPath(err))
	}
	return func() { _ = f.Close() }, nil
}

func writePid(f *os.File) error {
	_, err := fmt.Fprintf(f, "%d", os.Getpid())
	return err
}

// checkStore says at once what no waiting would mend.
func (w *weir) checkStore() error {
	if w.config.ClickHouse.DSN != "" || w.config.ClickHouse.Library != "" {
		return nil
	}
	if _, err := embedded.FindLibrary(); err != nil {
		return usageError{err}
	}
	return nil
}

func (w *weir) busOptions() bus.Options {
	o := busOptions(w.config)
	o.Logger, o.Registerer = w.log, w.metrics
	return o
}

// busOptions say which NATS the configuration means.
func busOptions(c config.Config) bus.Options {
	o := bus.Options{
		URL: c.NATS.URL, Credentials: c.NATS.Credentials, Listen: c.NATS.Listen, MaxBytes: int64(c.NATS.Disk),
		TLS: bus.TLS{CA: c.NATS.TLS.CA, Cert: c.NATS.TLS.Cert, Key: c.NATS.TLS.Key},
	}
	if o.URL == "" {
		o.Dir = filepath.Join(c.Data, "nats")
	}
	return o
}

// newStoring makes the store role, on the embedded ClickHouse (which it starts) or
// on the server that the configuration names. ends stops the former.
func (w *weir) newStoring(b *bus.Bus, stream string) (r *storing, ends func() error) {
	r = &storing{
		bus: b, journal: storeDir(w.config.Data), stream: stream, config: w.config.ClickHouse, privacy: w.config.Privacy, data: w.config.Data, log: w.log,
		metrics: w.metrics, process: w.config.Edge.Name,
		ready: func() { w.stored.Store(true) },
	}
	if dsn := w.config.ClickHouse.DSN; dsn != "" {
		r.open = func(ctx context.Context) (*clickhouse.DB, error) {
			return clickhouse.Open(ctx, clickhouse.Options{DSN: dsn, Logger: w.log, Metrics: w.metrics})
		}
		return r, func() error { return nil }
	}
	h := &storeHome{options: embedded.Options{
		Dir: w.config.Data, Library: w.config.ClickHouse.Library, Memory: int64(w.config.ClickHouse.Memory),
		Wait: true, Logger: w.log, Metrics: w.metrics,
	}, log: w.log}
	h.home.Store(embedded.New(h.options))
	w.home = h
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.run(ctx) }()
	r.open = func(ctx context.Context) (*clickhouse.DB, error) {
		return openHome(ctx, h.home.Load(), w.log, w.metrics)
	}
	return r, func() error { cancel(); return <-ended }
}

// storeHome keeps the embedded ClickHouse open. What is final for one Store need not
// be for ever: a weir sql that had the directory first ends, a full disk is cleared.
type storeHome struct {
	options embedded.Options
	home    atomic.Pointer[embedded.Store]
	log     *slog.Logger
}

func (h *storeHome) run(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := h.home.Load().Run(ctx)
		if ctx.Err() != nil {
			return err
		}
		h.log.Error("the embedded ClickHouse is not available; requests wait in NATS", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		h.home.Store(embedded.New(h.options))
	}
}

// ready says whether everything that should be there is.
func (w *weir) ready(b *bus.Bus) func() error {
	return func() error {
		if err := b.Check(); err != nil {
			return err
		}
		if !w.stored.Load() || w.home != nil && !w.home.home.Load().Ready() {
			return errors.New("ClickHouse is not ready; requests wait in NATS")
		}
		return nil
	}
}

// newLogger is weir's own log.
func newLogger(out io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // the configuration was checked
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

var _ ship.Publisher = (*bus.Bus)(nil)
var _ clickhouse.Message = (*bus.Message)(nil)
