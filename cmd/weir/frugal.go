package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// frugalGarbage is how much garbage, in bytes, a process that stays may hold, about, as
	// far as that is from frugalLeast to frugalMost percent of what it uses. Go's own 100
	// would double the memory of tables that hardly change; most of them hold no pointers, so
	// that collecting them costs little. A small heap is not worth so many collections.
	frugalGarbage = 5 << 20
	frugalLeast   = 2
	frugalMost    = 5
	// frugalFree is how much memory, in bytes, may be free and not given back to the system.
	frugalFree  = 4 << 20
	frugalPause = 30 * time.Second // between two looks
)

// frugal lets a process that stays keep less garbage, unless GOGC says how much.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(frugalMost)
	}
}

// garbagePercent is how much garbage there may be beside so many bytes in use.
func garbagePercent(used uint64) int {
	return int(min(max(100*frugalGarbage/max(used, 1), frugalLeast), frugalMost))
}

// hurriedGarbage is how much garbage, in bytes, there may be, about, while many events are taken or
// told: by frugalGarbage beside half a million decisions, collecting it takes most of the time.
const hurriedGarbage = 64 << 20

// hurry lets there be so much, until giveBack looks.
func hurry() {
	if os.Getenv("GOGC") != "" {
		return
	}
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(heap)
	if percent := hurriedPercent(heap[0].Value.Uint64()); uint64(percent) > heap[1].Value.Uint64() {
		debug.SetGCPercent(percent)
	}
}

// hurriedPercent is how much garbage there may be then beside so many bytes in use.
func hurriedPercent(used uint64) int {
	return int(min(max(100*hurriedGarbage/max(used, 1), frugalMost), 100))
}

// giveBack gives memory back to the system that was needed once, until ctx ends.
func giveBack(ctx context.Context) error {
	every(ctx, frugalPause, func(context.Context) { giveBackNow() })
	return nil
}

// giveBackNow does so where it is worth a collection of garbage, and says anew how much
// there may be.
func giveBackNow() {
	if os.Getenv("GOGC") != "" {
		return
	}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(heap)
	if percent := garbagePercent(heap[1].Value.Uint64()); uint64(percent) != heap[2].Value.Uint64() {
		debug.SetGCPercent(percent)
	}
	if heap[0].Value.Uint64() > frugalFree {
		debug.FreeOSMemory()
	}
}
