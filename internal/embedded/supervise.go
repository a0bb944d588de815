package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Restarts: the pause after a child's death doubles from restartMin to restartMax
// and starts over once a child has lived for restartReset.
const (
	restartMin   = 50 * time.Millisecond
	restartMax   = 15 * time.Second
	restartReset = time.Minute
	firstTries   = 3 // children that may fail before the first one is ready
)

// supervise starts one child after another until ctx ends. It gives up where the
// first children fail, because then the cause is the machine and not a crash.
func (s *Store) supervise(ctx context.Context, l launch) error {
	pause, wasReady := restartMin, false
	for tries := 1; ; tries++ {
		started := time.Now()
		child, err := s.start(ctx, &l)
		if err == nil {
			wasReady = true
			err = s.attend(ctx, child)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrNoLibrary) || !wasReady && tries >= firstTries {
			return err
		}
		if time.Since(started) > restartReset {
			pause = restartMin
		}
		s.metrics.restarted()
		s.log.Warn("the store's process ended; it is started again", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, restartMax)
	}
}

// start starts a child, without a namespace of its own where the machine forbids
// that, and waits until it is ready.
func (s *Store) start(ctx context.Context, l *launch) (*process, error) {
	if l.isolation == "" {
		l.isolation = isolateNamespace
	}
	removeTorn(filepath.Join(l.dir, storeFolder), s.log)
	child, err := l.start(ctx)
	if errors.Is(err, errNamespace) && s.options.isolation == "" {
		s.log.Info("no user namespaces here: the store listens on a random port of the loopback interface, with a random secret")
		l.isolation = isolateLoopback
		child, err = l.start(ctx)
	}
	return child, err
}

// attend lends the child to Dial while it lives, and stops it when ctx ends.
func (s *Store) attend(ctx context.Context, child *process) error {
	s.set(child)
	defer s.set(nil)
	s.log.Info("the store is ready", "pid", child.pid(), "isolation", child.isolation)
	asking, stop := context.WithCancel(ctx)
	hung := make(chan error, 1)
	go func() { hung <- s.pulse(asking, child) }()
	defer func() { stop(); <-hung }()
	select {
	case <-child.done:
		return child.failed()
	case err := <-hung:
		hung <- nil
		if err == nil { // ctx has ended
			s.set(nil)
			return child.stop()
		}
		child.kill()
		return err
	case <-ctx.Done():
		s.set(nil)
		return child.stop()
	}
}

// unusable puts an error about the data directory into one line with a remedy.
func unusable(dir string, err error) error {
	remedy := "give a directory that weir may write to"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		remedy = "free some space"
	case errors.Is(err, syscall.EROFS):
		remedy = "the file system is mounted read-only"
	case errors.Is(err, syscall.ENOTDIR):
		remedy = "a part of the path is a file"
	}
	return fmt.Errorf("data directory %s: %w: %s", dir, err, remedy)
}

// checkOwner refuses a store of another user: files that root leaves in it would
// stop its owner's weir the next time.
func checkOwner(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return unusable(folder, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	owner := strconv.Itoa(int(stat.Uid))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	return fmt.Errorf("data directory %s belongs to %s: run weir as that user", folder, owner)
}
