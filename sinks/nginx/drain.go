package nginx

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// drainedPace bounds how far old workers stretch the time between two reloads.
const drainedPace = 30 * time.Second

// oldWorkers counts the nginx processes of this machine that finish what they were asked
// before a reload: each has its own copy of everything, so that reloads every two seconds
// under long downloads and websockets would fill the memory.
func oldWorkers() int {
	n := 0
	for _, title := range workerTitles() {
		if bytes.HasPrefix(title, []byte(leaving)) {
			n++
		}
	}
	return n
}

// Workers are the processes of this machine's nginx that take new connections, by number: see
// Options.Workers.
func Workers() map[string]bool {
	all := map[string]bool{}
	for process, title := range workerTitles() {
		if !bytes.HasPrefix(title, []byte(leaving)) {
			all[process] = true
		}
	}
	return all
}

// How nginx calls its workers, and those that take no new connection.
const (
	worker  = "nginx: worker process"
	leaving = worker + " is shutting down"
)

// workerTitles are the titles of this machine's workers, by the process's number.
func workerTitles() map[string][]byte {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	titles := map[string][]byte{}
	for _, name := range names {
		// What ended meanwhile is none of them.
		if line, err := os.ReadFile(name); err == nil && bytes.HasPrefix(line, []byte(worker)) {
			titles[filepath.Base(filepath.Dir(name))] = line
		}
	}
	return titles
}

// takenPace is how often it is looked whether nginx has reloaded.
const takenPace = 50 * time.Millisecond

// reload makes nginx read what is there, and waits until it has: the command only asks for it,
// and nginx keeps what it had where it cannot do it after all, with a port that another has, say.
func (e *Enforcer) reload(ctx context.Context) error {
	var before map[string]bool
	if e.options.Workers != nil {
		before = e.options.Workers()
	}
	if err := e.command(ctx, "reload", e.options.Reload); err != nil {
		return err
	}
	if len(before) == 0 {
		return nil // they cannot be seen from here
	}
	tick := time.NewTicker(takenPace)
	defer tick.Stop()
	for end := time.Now().Add(e.options.CommandTimeout); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for process := range e.options.Workers() {
			if !before[process] {
				return nil
			}
		}
	}
	return fmt.Errorf("nginx was told to reload, and after %s still runs what it had: its error log says why", e.options.CommandTimeout)
}

// pace is the least time between two reloads now: stretched by a quarter for each old
// worker beyond a few, which any reload leaves for a moment.
func (e *Enforcer) pace() time.Duration {
	base := e.options.MinReloadInterval
	stretched := base + base*time.Duration(max(e.options.OldWorkers()-fewWorkers, 0))/4
	return min(stretched, max(base, drainedPace))
}

// fewWorkers are old workers that change nothing.
const fewWorkers = 4
