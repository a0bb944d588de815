package tail

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Watch has the kernel tell of changes in the directories of Followers. Those of one
// process share one: Linux gives a user 128 of them, and each takes a goroutine. The zero
// value is ready, and watches as long as a Follower waits by it.
type Watch struct {
	mu        sync.Mutex
	watcher   *fsnotify.Watcher      // nil without a Follower
	followers map[string][]*Follower // by the directory that is watched
}

// add watches a directory for a Follower.
func (w *Watch) add(f *Follower, directory string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watcher == nil {
		watcher, err := fsnotify.NewBufferedWatcher(64) // the kernel keeps further ones
		if err != nil {
			return err
		}
		w.watcher, w.followers = watcher, map[string][]*Follower{}
		go w.tell(watcher)
	}
	if len(w.followers[directory]) == 0 {
		if err := w.watcher.Add(directory); err != nil {
			w.end()
			return err
		}
	}
	w.followers[directory] = append(w.followers[directory], f)
	return nil
}

// remove tells a Follower no more of a directory, if it did.
func (w *Watch) remove(f *Follower, directory string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.followers[directory]
	left := slices.DeleteFunc(before, func(other *Follower) bool { return other == f })
	if len(left) > 0 {
		w.followers[directory] = left
	} else if before != nil {
		delete(w.followers, directory)
		_ = w.watcher.Remove(directory) // it is gone, perhaps
	}
	w.end()
}

// end lets go of the kernel's watch where nobody waits by it.
func (w *Watch) end() {
	if len(w.followers) == 0 && w.watcher != nil {
		w.watcher.Close()
		w.watcher = nil
	}
}

// tell passes on what one watcher says, until it is closed.
func (w *Watch) tell(watcher *fsnotify.Watcher) {
	for {
		select {
		case event, more := <-watcher.Events:
			if !more {
				return
			}
			w.changed(filepath.Dir(event.Name), filepath.Base(event.Name))
		case _, more := <-watcher.Errors: // an overflow, at worst: anything may have changed
			if !more {
				return
			}
			w.changed("", "")
		}
	}
}

// changed tells those Followers that a name in a directory may concern; with no directory,
// all. What rotation makes of a log has the log's name in front; a link leads to a file of
// any name.
func (w *Watch) changed(directory, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for watched, all := range w.followers {
		for _, f := range all {
			if directory == "" || directory == watched && (f.link.Load() || strings.HasPrefix(name, f.base)) {
				f.changedNow()
			}
		}
	}
}
