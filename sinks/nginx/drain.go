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

// Workers are the processes of this machine's nginx that take new connections, by number, with that of
// the nginx which each belongs to: see Options.Workers.
func Workers() map[string]string {
	all := map[string]string{}
	for process, title := range workerTitles() {
		if !bytes.HasPrefix(title, []byte(leaving)) {
			all[process] = parentOf(process)
		}
	}
	return all
}

// parentOf is the number of a process's parent, "" where it has ended: the fourth field of its stat (proc(5)),
// behind a name that may hold anything.
func parentOf(process string) string {
	stat, err := os.ReadFile(filepath.Join("/proc", process, "stat"))
	if err != nil {
		return ""
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return ""
	}
	return string(fields[1])
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

// takenPace is how often it is looked whether nginx has reloaded, and leavePatience how long those who
// are to take no new connection may be about it, once there is a new worker: nginx tells them a tenth of a second after.
const (
	takenPace     = 50 * time.Millisecond
	leavePatience = 3 * time.Second
)

// reload makes nginx read what is there, and waits until it has, and until no worker of before
// takes a new connection: the command only asks for it, and nginx keeps what it had where it cannot
// do it after all, with a port that another has, say.
func (e *Enforcer) reload(ctx context.Context) error {
	var before map[string]string
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
	end, came, left := time.Now().Add(e.options.CommandTimeout), time.Time{}, false
	for now := time.Now(); now.Before(end); now = time.Now() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if left { // a worker calls itself leaving a moment before it takes no connection
			return nil
		}
		var taken bool
		taken, left = changed(before, e.options.Workers())
		switch {
		case !taken:
			came = time.Time{}
		case came.IsZero():
			came = now
		case now.Sub(came) > leavePatience: // one that hangs for so long answers nobody
			return nil
		}
	}
	return fmt.Errorf("nginx was told to reload, and after %s still runs what it had: its error log says why", e.options.CommandTimeout)
}

// changed reports whether an nginx has a new worker, and whether it has none of before as well:
// there may be another nginx on the machine, which nobody has told to reload.
func changed(before, now map[string]string) (taken, left bool) {
	reloaded := map[string]bool{}
	for process, parent := range now {
		if _, old := before[process]; !old {
			reloaded[parent] = true
		}
	}
	for process, parent := range now {
		if _, old := before[process]; old && reloaded[parent] {
			return true, false
		}
	}
	return len(reloaded) > 0, len(reloaded) > 0
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
