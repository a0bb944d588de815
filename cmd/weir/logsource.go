package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// Bounds of following by patterns.
const (
	patternTick = 2 * time.Second  // how often patterns are looked at anew
	doubt       = 30 * time.Second // how long a log that may be a rotated one is left alone
	goneAfter   = time.Hour        // when a log that is gone is followed no more
	clockGrain  = time.Second      // how far a file's time may lie before the clock's
	maxLogs     = 1024             // followed at once
	logPiece    = 1 << 20          // bytes of a log that are read at once
)

// logSources are the logs that the sources' files and patterns mean, those that come
// later too. Each is shipped by a ship of its own; all of them share their memory.
type logSources struct {
	sources []logSource
	options ship.Options // of every ship
	to      ship.Publisher
	resolve func() func(*schemas.Request)
	log     *slog.Logger
	journal string // directory

	followed map[string]*followedLog
	since    time.Time            // of the last look before the first
	doubted  map[string]time.Time // since when
	full     bool                 // and said so

	stopped atomic.Uint64 // requests that an edge did not let through, by its own word
}

// counted adds to a resolver the count of what was stopped.
func (l *logSources) counted(resolve func(*schemas.Request)) func(*schemas.Request) {
	return func(r *schemas.Request) {
		if resolve(r); len(r.Action) > 0 && string(r.Action) != string(schemas.Allow) {
			l.stopped.Add(1)
		}
	}
}

// logSource is a source of the configuration.
type logSource struct {
	config.Source
	format accesslog.Format
}

// followedLog is one log that is being shipped.
type followedLog struct {
	ship   *ship.Ship
	source int
	named  bool   // by its path, not by a pattern
	target string // what it was a link to when it was looked at last, "" where it was none
	gone   time.Time
	cancel context.CancelFunc
	ended  chan struct{}
}

// newLogSources checks the sources and opens nothing that lasts. Of c.Sources it takes
// those of files.
func (c *collecting) newLogSources() (*logSources, error) {
	journal := filepath.Join(c.config.Data, "journal", "collect")
	if err := os.MkdirAll(journal, 0o750); err != nil {
		return nil, fmt.Errorf("journal %s: %w", journal, unwrapPath(err))
	}
	options := c.shipOptions("", accesslog.Auto)
	options.Follow.Watch = new(tail.Watch)
	options.Follow.Piece = logPiece
	l := &logSources{
		options: options,
		to:      c.to, resolve: c.resolve, log: c.log, journal: journal,
		followed: map[string]*followedLog{}, doubted: map[string]time.Time{},
	}
	named := map[string]bool{}
	for _, source := range c.config.Sources {
		if source.File == "" {
			continue
		}
		format, err := accesslog.ByName(source.Format)
		if err != nil {
			return nil, usageError{err}
		}
		path, err := filepath.Abs(source.File)
		if err != nil {
			return nil, err
		}
		if named[path] {
			return nil, usagef("sources: %s is named twice: every line would count twice", path)
		}
		named[path] = true
		if _, _, err := tail.Logs(source.File); err != nil {
			return nil, usagef("sources: %w", err)
		}
		l.sources = append(l.sources, logSource{source, format})
	}
	return l, errors.Join(l.recall(), l.look(time.Now()))
}

// recall follows the logs that a pattern found before the last end, though they need not
// be there at this moment: a rotation may be in its middle, and lines wait in what it
// made of them.
func (l *logSources) recall() error {
	info, err := os.Stat(l.memory())
	if err != nil {
		return nil // the first time, or lost: then what is there counts
	}
	l.since = info.ModTime().Add(-clockGrain)
	content, err := os.ReadFile(l.memory())
	if err != nil {
		return fmt.Errorf("journal %s: %w", l.memory(), unwrapPath(err))
	}
	for path := range strings.Lines(string(content)) {
		path = strings.TrimSuffix(path, "\n")
		for i := range l.sources {
			pattern, err := filepath.Abs(l.sources[i].File)
			if err != nil {
				return err
			}
			if matches, _ := filepath.Match(pattern, path); matches && pattern != path {
				if err := l.follow(path, i, false); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// memory is the file of what is followed; its time is that of the last look.
func (l *logSources) memory() string { return filepath.Join(l.journal, "logs.txt") }

// remember writes down what is followed.
func (l *logSources) remember() error {
	paths := slices.Sorted(maps.Keys(l.followed))
	return writeFile(l.memory(), func(w io.Writer) error {
		for _, path := range paths {
			if strings.Contains(path, "\n") {
				continue
			}
			if _, err := fmt.Fprintln(w, path); err != nil {
				return err
			}
		}
		return nil
	})
}

// look finds the logs that are there by now, and makes a ship for each new one.
func (l *logSources) look(now time.Time) error {
	var failed []error
	before := len(l.followed)
	doubted := map[string]time.Time{}
	for i := range l.sources {
		logs, doubts, err := tail.Logs(l.sources[i].File)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		named := !strings.ContainsAny(l.sources[i].File, `*?[`)
		for _, d := range doubts {
			if l.followed[d.Log] != nil {
				continue
			}
			since, is := l.doubted[d.Path]
			if !is {
				since = now
			}
			if doubted[d.Path] = since; now.Sub(since) >= doubt {
				logs = append(logs, d.Path)
			}
		}
		if slices.ContainsFunc(logs, func(path string) bool { return l.followed[path] == nil }) {
			for path, f := range l.followed { // not once for each new log: there may be a thousand of each
				f.resolve(path)
			}
		}
		for _, path := range logs {
			failed = append(failed, l.follow(path, i, named))
		}
	}
	l.doubted, l.since = doubted, now.Add(-clockGrain)
	if len(l.followed) != before {
		failed = append(failed, l.remember())
	} else if err := os.Chtimes(l.memory(), now, now); err != nil {
		failed = append(failed, l.remember())
	}
	return errors.Join(failed...)
}

// follow makes a ship for a log that has none.
func (l *logSources) follow(path string, source int, named bool) error {
	if l.followed[path] != nil || l.turnedTo(path) {
		return nil
	}
	if len(l.followed) >= maxLogs {
		if !l.full {
			l.full = true
			l.log.Error("too many logs match the patterns of the sources; further ones are not followed", "followed", len(l.followed), "log", path)
		}
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("a log is not there yet; it is followed once it is", "log", path)
	}
	o := l.options
	o.Follow.Since = l.since
	o.Path, o.Site, o.Format, o.Resolve = path, l.sources[source].Site, l.sources[source].format, l.counted(l.resolve())
	s, err := ship.New(o, &ship.FileJournal{Path: filepath.Join(l.journal, journalName(path))}, l.to)
	if err != nil {
		return err
	}
	f := &followedLog{ship: s, source: source, named: named}
	f.resolve(path)
	l.followed[path] = f
	return nil
}

// resolve looks where a link leads.
func (f *followedLog) resolve(path string) {
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		f.target = target
	}
}

// turnedTo reports whether a file is one that a followed link leads to, or may have led
// to, be that link itself there at this moment or not.
func (l *logSources) turnedTo(path string) bool {
	for _, f := range l.followed {
		if f.target != "" && (path == f.target || tail.Alike(path, f.target)) {
			return true
		}
	}
	return false
}

// run ships until ctx ends.
func (l *logSources) run(ctx context.Context) error {
	defer func() {
		for _, f := range l.followed {
			if f.ended != nil {
				<-f.ended
			}
		}
	}()
	l.start(ctx)
	every(ctx, patternTick, func(ctx context.Context) {
		if err := l.look(time.Now()); err != nil {
			l.log.Error("cannot look for logs", "error", err)
		}
		l.retire(time.Now())
		l.start(ctx)
	})
	return nil
}

// start runs the ships that do not run yet.
func (l *logSources) start(ctx context.Context) {
	for path, f := range l.followed {
		if f.cancel != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		f.cancel, f.ended = cancel, make(chan struct{})
		l.log.Info("following", "log", path)
		go func() {
			defer close(f.ended)
			keepRole(ctx, l.log, "collect "+path, f.ship.Run)
		}()
	}
}

// retire ends following logs that a pattern found and that have been gone for long: of
// names with a date in them there is a new one every day.
func (l *logSources) retire(now time.Time) {
	for path, f := range l.followed {
		if _, err := os.Stat(path); f.named || !errors.Is(err, fs.ErrNotExist) {
			f.gone = time.Time{}
			continue
		}
		if f.gone.IsZero() {
			f.gone = now
		}
		if now.Sub(f.gone) < goneAfter || f.cancel == nil {
			continue
		}
		l.log.Info("a log is gone and followed no more", "log", path)
		f.cancel()
		<-f.ended
		f.ship.Unregister()
		delete(l.followed, path)
		if err := l.remember(); err != nil {
			l.log.Error("cannot note which logs are followed", "error", err)
		}
		l.full = false
	}
}

// journalName is a file name of its own for every path.
func journalName(path string) string {
	h := fnv.New64a()
	_, _ = io.WriteString(h, path) // a hash takes everything
	base := filepath.Base(path)
	return fmt.Sprintf("%s-%016x.json", base[:min(len(base), 200)], h.Sum64()) // a file's name has 255 bytes at most
}
