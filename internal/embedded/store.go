// Package embedded keeps ClickHouse as a child process of weir, for a team that
// runs no database server: the engine comes as a library (libchdb), which the
// child loads. The child listens in a network namespace of its own, where nobody
// else can reach it, and hands connected sockets to weir.
//
//	weir ── Store.Run ──starts, restarts──▶ child: libchdb, listening on its own lo
//	     ◀── connected sockets (SCM_RIGHTS) ──
//	weir sql ── clickhouse.sock ──▶ Store.Serve ── bytes ──▶ child
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Protocol is a language that the child speaks.
type Protocol string

// The protocols. Native is missing where the machine forbids user namespaces.
const (
	Native Protocol = "native"
	HTTP   Protocol = "http"
)

// ErrNoNative is returned by Dial where only HTTP is served.
var ErrNoNative = errors.New("the store serves HTTP only, because this machine forbids user namespaces")

// ErrGone is wrapped where the process that had the store open has ended and this one
// cannot open it.
var ErrGone = errors.New("the process that had the store open has ended, and it cannot be opened here")

// Access is how to talk to a store that is ready.
type Access struct {
	Native bool   // the native protocol is served, beside HTTP
	Secret string `json:"secret,omitempty"` // see Headers
}

// Headers are what every request over HTTP must carry; the user is default and has
// no password.
func (a Access) Headers() map[string]string {
	if a.Secret == "" {
		return nil
	}
	return map[string]string{secretHeader: a.Secret}
}

// DefaultMemory is the engine's share of a small machine, in bytes.
const DefaultMemory = 1 << 30

// Options says which store to open and how.
type Options struct {
	// Dir is the data directory: the store is its folder "clickhouse", beside it
	// clickhouse.log, .lock, .queue and .sock. Made if it is missing.
	Dir string
	// Library is libchdb.so; "" is where FindLibrary finds it.
	Library string
	// Memory bounds what the engine allocates, in bytes; 0 is DefaultMemory.
	Memory int64
	// Wait is for who keeps the store open, like weir run: where another process has
	// it, Run waits for its turn, before any command that comes and goes.
	Wait    bool
	Logger  *slog.Logger          // nil is none
	Metrics prometheus.Registerer // nil is none

	isolation string        // for tests; "" tries a namespace first
	pulse     time.Duration // for tests; 0 is pulseEvery
}

// Store is one data directory's ClickHouse. Nothing runs before Run.
type Store struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	brief   bool // opened by a command that comes and goes

	mu      sync.Mutex
	child   *process      // nil while there is none that is ready
	changed chan struct{} // closed when child or failure changes
	failure error         // set when Run has ended
	access  Access
}

// New prepares a Store; Run starts it.
func New(options Options) *Store {
	if options.Memory == 0 {
		options.Memory = DefaultMemory
	}
	log := options.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{options: options, log: log, metrics: newMetrics(options.Metrics), changed: make(chan struct{})}
}

// Run opens the store, keeps its child alive and serves the local socket until ctx
// ends; then it stops the child in order. It returns nil after an orderly stop. An
// error is final: the directory is not usable or in use, there is no library, or
// ClickHouse does not start. Run can be called once.
func (s *Store) Run(ctx context.Context) error {
	err := s.run(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	if err == nil {
		s.failure = errors.New("the store is closed")
	}
	s.announce()
	return err
}

func (s *Store) run(ctx context.Context) error {
	library := s.options.Library
	if library == "" {
		found, err := FindLibrary()
		if err != nil {
			return err
		}
		library = found
	} else if err := checkLibrary(library); err != nil {
		return fmt.Errorf("%w: %s: %v", ErrNoLibrary, library, err)
	}
	dir, lock, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	local, err := listenLocal(dir)
	if err != nil {
		return unusable(dir, err)
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.serveLocal(serving, local)
	}()
	defer func() { stop(); <-served }()
	return s.supervise(ctx, launch{library: library, dir: dir, lock: lock, memory: s.options.Memory,
		isolation: s.options.isolation, log: s.log})
}

// prepare makes the directory and takes its lock.
func (s *Store) prepare(ctx context.Context) (dir string, lock *os.File, err error) {
	if dir, err = filepath.Abs(s.options.Dir); err != nil {
		return "", nil, err
	}
	folder := filepath.Join(dir, storeFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", nil, unusable(dir, err)
	}
	if err := checkOwner(folder); err != nil {
		return "", nil, err
	}
	lock, err = s.lockStore(ctx, dir)
	if errors.Is(err, ErrLocked) || ctx.Err() != nil {
		return "", nil, err
	}
	if err != nil {
		return "", nil, unusable(dir, err)
	}
	return dir, lock, nil
}

// Dial returns a connection to the child that speaks the protocol, waiting until
// it is ready, also through a restart. The connection ends when the child does;
// the caller closes it and dials again.
func (s *Store) Dial(ctx context.Context, protocol Protocol) (net.Conn, error) {
	for {
		child, err := s.wait(ctx)
		if err != nil {
			return nil, err
		}
		c, err := child.dial(ctx, protocol)
		if err == nil || errors.Is(err, ErrNoNative) || ctx.Err() != nil {
			return c, err
		}
		// The child is going down, or its backlog is full: what comes is either its
		// successor or the same one a moment later.
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("dial the store: %w (%w)", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Access waits until the store is ready and says how to talk to it.
func (s *Store) Access(ctx context.Context) (Access, error) {
	if _, err := s.wait(ctx); err != nil {
		return Access{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access, nil
}

// Ready reports whether a child takes connections now.
func (s *Store) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child != nil
}

// wait returns the child that is ready, or why there will be none.
func (s *Store) wait(ctx context.Context) (*process, error) {
	for {
		s.mu.Lock()
		child, failure, changed := s.child, s.failure, s.changed
		s.mu.Unlock()
		if child != nil {
			return child, nil
		}
		if failure != nil {
			return nil, failure
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the store: %w", ctx.Err())
		case <-changed:
		}
	}
}

// set makes child the one that Dial uses; nil while there is none.
func (s *Store) set(child *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child = child
	if child != nil {
		s.access = child.access()
	}
	s.metrics.ready(child != nil)
	s.announce()
}

// announce wakes everyone in wait; the caller holds mu.
func (s *Store) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}
