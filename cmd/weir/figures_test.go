package main

import "testing"

// Counters are told by how much they went up: nothing at first, all of it after a restart.
func TestFiguresCount(t *testing.T) {
	f := &figures{counted: make(map[string]float64)}
	for i, step := range []struct{ value, want float64 }{{100, 0}, {130, 30}, {130, 0}, {5, 5}, {6, 1}} {
		if got := f.since("lines", step.value); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	for i := range 2 * maxCounted {
		f.since(string(rune(i)), 1)
	}
	if len(f.counted) > maxCounted {
		t.Errorf("%d counters are remembered", len(f.counted))
	}
}
