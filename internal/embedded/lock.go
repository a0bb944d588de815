package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped where another process has the store open.
var ErrLocked = errors.New("the store is in use")

// lockPatience is how long to wait for a store whose owner has died while its
// child, which holds the lock as well, is still ending.
const lockPatience = childGrace + 5*time.Second

// lockStore takes the lock of the store in dir, which belongs to the open file: the
// child inherits it, so that it is free only when both processes have ended. The file
// holds the owner's process id for whoever comes second.
func (s *Store) lockStore(ctx context.Context, dir string) (*os.File, error) {
	queue, err := s.lineUp(ctx, filepath.Join(dir, queueFile))
	if err != nil {
		return nil, err
	}
	defer queue.Close()
	f, err := openLock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	if err := s.waitLock(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	if err := errors.Join(f.Truncate(0), writePid(f)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
}

// lineUp lets whoever keeps a store open go before commands that come and go: one
// of those after the other, in a script's loop, would have the store whenever it
// tries. Who waits holds the queue's lock meanwhile, and a command that comes and
// goes takes the store only where nobody does. The caller closes the file.
func (s *Store) lineUp(ctx context.Context, path string) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	switch {
	case s.options.Wait:
		err = poll(ctx, func() (bool, error) { return tryLock(f, unix.LOCK_EX) })
	case s.brief:
		var free bool
		if free, err = tryLock(f, unix.LOCK_SH); err == nil && !free {
			err = fmt.Errorf("%w: another process waits to open it (%s)", ErrLocked, f.Name())
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s *Store) waitLock(ctx context.Context, f *os.File) error {
	deadline := time.Now().Add(lockPatience)
	told := 0
	return poll(ctx, func() (bool, error) {
		free, err := tryLock(f, unix.LOCK_EX)
		if free || err != nil {
			return free, err
		}
		pid := readPid(f)
		if !alive(pid) && time.Now().Before(deadline) {
			return false, nil
		}
		if !s.options.Wait {
			return false, fmt.Errorf("%w by process %s (%s): end it, or give another directory", ErrLocked, pidText(pid), f.Name())
		}
		if pid != told {
			told = pid
			s.log.Warn("the store is in use; it is opened when that process ends", "process", pidText(pid), "lock", f.Name())
		}
		return false, nil
	})
}

// tryLock reports whether f could be locked without waiting.
func tryLock(f *os.File, how int) (bool, error) {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return true, nil
}

// poll asks until it is done, has failed, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func writePid(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// readPid returns 0 where the file names no process (yet).
func readPid(f *os.File) int {
	var text [32]byte
	n, _ := f.ReadAt(text[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

func alive(pid int) bool {
	return pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

func pidText(pid int) string {
	if pid == 0 {
		return "unknown"
	}
	return strconv.Itoa(pid)
}
