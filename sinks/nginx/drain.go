package nginx

import (
	"bytes"
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
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0
	}
	n := 0
	for _, name := range names {
		// What ended meanwhile is none of them.
		if line, err := os.ReadFile(name); err == nil && bytes.HasPrefix(line, []byte("nginx: worker process is shutting down")) {
			n++
		}
	}
	return n
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
