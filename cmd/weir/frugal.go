package main

import (
	"os"
	"runtime/debug"
)

// frugalGarbage is how much garbage a process that stays may hold, in percent of what it
// uses. Go's own 100 would double the memory of tables that hardly change; most of them
// hold no pointers, so that collecting them costs little.
const frugalGarbage = 20

// frugal lets a process that stays keep less garbage, unless GOGC says how much.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(frugalGarbage)
	}
}
