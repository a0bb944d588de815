package nginx

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ownPace is how often Run looks whether the site's own configuration was changed, by the
// times of its files: nginx is asked only where they were.
const ownPace = 10 * time.Second

// own is what Run knows of the configuration around weir's: a limit_req that somebody adds to it
// takes the place of weir's, or clashes with it, while weir runs.
type own struct {
	files []string // of it, and the folders that hold them; nil: not read yet
	seen  string   // how they were when nginx was last asked
	at    time.Time
}

// watchOwn has the snippets follow the site's own configuration, where they have a limit for
// unknown pages to give up, or one to take up again.
func (e *Enforcer) watchOwn(ctx context.Context, now time.Time) {
	if !e.watchesOwn() || now.Sub(e.own.at) < ownPace {
		return
	}
	e.own.at = now
	// As it is before nginx reads it: what changes meanwhile is seen the next time.
	seen := looks(e.own.files)
	if e.own.files != nil && seen == e.own.seen {
		return
	}
	where := ""
	dump, err := Dump(ctx, e.options.Test, e.options.Dir)
	if err == nil {
		where, err = OwnLimit(dump, e.options.Dir)
		if files := filesOf(dump, e.options.Dir); !slices.Equal(files, e.own.files) {
			e.own.files, seen = files, looks(files)
		}
	}
	e.own.seen = seen
	switch {
	case err == nil && (where == "") == e.options.Limit: // as it should be
		return
	case err != nil && !e.options.Limit: // broken, and no limit of weir's to blame
		return
	}
	limited, err := Prepare(ctx, e.options.Dir, *e.options.Snippets, e.options.Test, e.log)
	if err != nil {
		e.log.Warn("nginx's snippets do not follow its configuration", "error", err)
	}
	if limited != e.options.Limit {
		e.options.Limit = limited
		e.mutex.Lock()
		e.dirty = e.dirty || e.told
		e.mutex.Unlock()
	}
}

func (e *Enforcer) watchesOwn() bool {
	return e.options.Snippets != nil && e.options.Snippets.UnknownRate > 0
}

// filesOf are the files that a dump names, without those that weir writes, and the folders that they
// are in, where an include may find another one.
func filesOf(dump []byte, dir string) []string {
	var all []string
	for line := range strings.Lines(string(dump)) {
		name, ok := strings.CutPrefix(line, dumpMark)
		if !ok {
			continue
		}
		path := strings.TrimSuffix(strings.TrimSpace(name), ":")
		if folder := filepath.Dir(path); folder != filepath.Clean(dir) {
			all = append(all, path, folder)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// looks is how files look from outside: it changes when one of them does.
func looks(files []string) string {
	var b strings.Builder
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", path, info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}
