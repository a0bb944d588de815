package tail

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Wait waits until the file or those beside it may have changed, until the next
// poll, or for d, whichever comes first. It returns ctx's error where that ends.
func (f *Follower) Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(min(max(d, 0), f.o.Poll))
	defer timer.Stop()
	if !f.watched {
		f.watch()
	}
	var events chan fsnotify.Event
	var errs chan error
	if f.watcher != nil {
		events, errs = f.watcher.Events, f.watcher.Errors
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	case <-events:
	case <-errs: // an overflow, at worst: something has changed
	}
	for { // one look serves all that has happened
		select {
		case <-events:
		case <-errs:
		default:
			return nil
		}
	}
}

// watch asks the kernel to tell of changes in the file's directory. Without it
// polling alone does.
func (f *Follower) watch() {
	f.watched = true
	// Few events are kept: that there was one is all that counts, the kernel keeps further
	// ones, and a thousand logs' buffers would be the greatest part of a collector's memory.
	watcher, err := fsnotify.NewBufferedWatcher(16)
	if err == nil {
		if err = watcher.Add(filepath.Dir(f.path)); err != nil {
			watcher.Close()
		}
	}
	if err != nil {
		f.o.Logger.Warn("changes of a log are found by polling only", "log", f.path, "every", f.o.Poll, "error", err)
		return
	}
	f.watcher = watcher
}
