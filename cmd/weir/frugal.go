package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// frugalGarbage is how much garbage a process that stays may hold, in percent of what it
	// uses. Go's own 100 would double the memory of tables that hardly change; most of them
	// hold no pointers, so that collecting them costs little.
	frugalGarbage = 3
	// frugalFree is how much memory, in bytes, may be free and not given back to the system.
	frugalFree  = 4 << 20
	frugalPause = 30 * time.Second // between two looks
)

// frugal lets a process that stays keep less garbage, unless GOGC says how much.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(frugalGarbage)
	}
}

// giveBack gives memory back to the system that was needed once, until ctx ends.
func giveBack(ctx context.Context) error {
	every(ctx, frugalPause, func(context.Context) { giveBackNow() })
	return nil
}

// giveBackNow does so where it is worth a collection of garbage.
func giveBackNow() {
	free := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(free)
	if os.Getenv("GOGC") == "" && free[0].Value.Uint64() > frugalFree {
		debug.FreeOSMemory()
	}
}
