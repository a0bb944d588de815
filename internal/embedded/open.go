package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Home is a store that can be talked to, wherever it runs.
type Home interface {
	// Dial returns a connection that speaks the protocol; the caller closes it.
	Dial(ctx context.Context, protocol Protocol) (net.Conn, error)
	// Access waits until the store is ready and says how to talk to it.
	Access(ctx context.Context) (Access, error)
}

// Remote is a store that another process has open, reached by its local socket. Once
// that process has ended, whoever needs the store first opens it for itself, and the
// others reach it there.
type Remote struct {
	dir     string
	options Options

	mu    sync.Mutex
	own   *Store        // of this process, since nobody else has it; nil: not so
	stop  func()        // ends own
	ended chan struct{} // closed when own's Run has returned
}

// Dial connects to the store through its owner, which may be this process by now. Errors
// wrap ErrGone where it can never be reached again.
func (r *Remote) Dial(ctx context.Context, protocol Protocol) (c net.Conn, err error) {
	err = r.reach(ctx, func() (err error) {
		c, _, err = dialLocal(ctx, r.dir, string(protocol))
		return err
	}, func(own *Store) (err error) {
		c, err = own.Dial(ctx, protocol)
		return err
	})
	return c, err
}

// Access asks the owner, as Dial does.
func (r *Remote) Access(ctx context.Context) (access Access, err error) {
	err = r.reach(ctx, func() error {
		c, there, err := dialLocal(ctx, r.dir, askAccess)
		if err != nil {
			return err
		}
		access = there
		return c.Close()
	}, func(own *Store) (err error) {
		access, err = own.Access(ctx)
		return err
	})
	return access, err
}

// reach asks the owner by its socket, or the store of this process where nobody listens
// there, until one of them answers. Where two processes find nobody, the lock decides.
func (r *Remote) reach(ctx context.Context, there func() error, here func(*Store) error) error {
	for deadline := time.Now().Add(ownerPatience); ; {
		own := r.opened()
		var err error
		if own == nil {
			if err = there(); err == nil {
				return nil
			}
			if nobodyListens(err) {
				own = r.open()
			}
		}
		if own != nil {
			if err = here(own); err == nil || errors.Is(err, ErrNoNative) {
				return err
			}
			if ctx.Err() == nil && !errors.Is(err, ErrLocked) {
				if disk := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT); !disk {
					err = fmt.Errorf("%w: %w", ErrGone, err)
				}
				return err
			}
		}
		if errors.Is(err, errUnanswered) || time.Now().After(deadline) || ctx.Err() != nil {
			return because(ctx, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// nobodyListens recognises a socket whose process has ended, or that was never there.
func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// opened is the store of this process, if it has one that has not ended.
func (r *Remote) opened() *Store {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil {
		return nil
	}
	select {
	case <-r.ended:
		return nil
	default:
		return r.own
	}
}

// open begins to open the store for this process, beside whoever asks: a large one takes
// longer than they wait.
func (r *Remote) open() *Store {
	if own := r.opened(); own != nil {
		return own
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	own := New(r.options)
	own.brief = true
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	r.own, r.stop, r.ended = own, stop, ended
	go func() {
		defer close(ended)
		_ = own.Run(ctx) // who asks it is told why it ended
	}()
	return own
}

// close ends what was opened.
func (r *Remote) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own != nil {
		r.stop()
		<-r.ended
	}
	return nil
}

// ownerPatience is how long a store's owner may take from its lock to its socket.
const ownerPatience = 15 * time.Second

// DialOrStart opens the store of options.Dir for a command that comes and goes: by
// way of the process that has it open, or else with a child of its own. close ends
// what was started and must be called. A directory without a store is an error
// (os.ErrNotExist): looking must not make one; New does.
func DialOrStart(ctx context.Context, options Options) (home Home, close func() error, err error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, storeFolder)); errors.Is(err, fs.ErrPermission) {
		return nil, nil, fmt.Errorf("data directory %s is another user's: %w; try again with sudo", dir, errors.Unwrap(err))
	} else if err != nil {
		return nil, nil, fmt.Errorf("data directory %s holds no store: %w: give the --data of a `weir run` or `weir replay`", dir, errors.Unwrap(err))
	}
	for deadline := time.Now().Add(ownerPatience); ; {
		c, _, err := dialLocal(ctx, dir, askAccess)
		if err == nil {
			remote := &Remote{dir: dir, options: options}
			return remote, remote.close, c.Close()
		}
		if errors.Is(err, errUnanswered) {
			return nil, nil, err
		}
		home, close, startErr := start(ctx, options)
		if startErr == nil {
			return home, close, nil
		}
		// The owner is only just starting: it waits for the lock, or has it but no
		// socket yet.
		if !errors.Is(startErr, ErrLocked) || time.Now().After(deadline) || ctx.Err() != nil {
			return nil, nil, startErr
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// start runs a store of this process alone until close is called.
func start(ctx context.Context, options Options) (Home, func() error, error) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := New(options)
	s.brief = true
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	if _, err := s.Access(ctx); err != nil {
		cancel()
		<-ended
		return nil, nil, err
	}
	return s, func() error { cancel(); return <-ended }, nil
}
