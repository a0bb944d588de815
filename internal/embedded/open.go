package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Home is a store that can be talked to, wherever it runs.
type Home interface {
	// Dial returns a connection that speaks the protocol; the caller closes it.
	Dial(ctx context.Context, protocol Protocol) (net.Conn, error)
	// Access waits until the store is ready and says how to talk to it.
	Access(ctx context.Context) (Access, error)
}

// Remote is a store that another process has open, reached by its local socket.
type Remote struct {
	dir string
}

// Dial connects to the store through its owner.
func (r *Remote) Dial(ctx context.Context, protocol Protocol) (net.Conn, error) {
	c, _, err := dialLocal(ctx, r.dir, string(protocol))
	return c, err
}

// Access asks the owner.
func (r *Remote) Access(ctx context.Context) (Access, error) {
	c, access, err := dialLocal(ctx, r.dir, askAccess)
	if err != nil {
		return Access{}, err
	}
	return access, c.Close()
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
	if _, err := os.Stat(filepath.Join(dir, storeFolder)); err != nil {
		return nil, nil, fmt.Errorf("data directory %s holds no store: %w: give the --data of a `weir run` or `weir replay`", dir, errors.Unwrap(err))
	}
	for deadline := time.Now().Add(ownerPatience); ; {
		remote := &Remote{dir: dir}
		_, err := remote.Access(ctx)
		if err == nil {
			return remote, func() error { return nil }, nil
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
