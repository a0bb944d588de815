package tail

import (
	"context"
	"path/filepath"
	"time"
)

// Wait waits until the file or those beside it may have changed, until the next
// poll, or for d, whichever comes first. It returns ctx's error where that ends.
func (f *Follower) Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(min(max(d, 0), f.o.Poll))
	defer timer.Stop()
	f.watchOver(&f.watched, filepath.Dir(f.path))
	f.watchOver(&f.watchedTarget, f.target)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case <-f.changes:
	}
	return nil
}

// watchOver asks to be told of changes in a directory, in place of the one before. Without
// that, polling alone finds them.
func (f *Follower) watchOver(watched *string, directory string) {
	if *watched == directory {
		return
	}
	if *watched != "" {
		f.watch.remove(f, *watched)
	}
	*watched = directory
	if directory == "" {
		return
	}
	if err := f.watch.add(f, directory); err != nil {
		f.o.Logger.Warn("changes of a log are found by polling only", "log", f.path, "directory", directory, "every", f.o.Poll, "error", err)
	}
}

// changedNow ends the present Wait, or the next one.
func (f *Follower) changedNow() {
	select {
	case f.changes <- struct{}{}:
	default:
	}
}
