package main

import "testing"

func TestGarbagePercent(t *testing.T) {
	for used, want := range map[uint64]int{0: 5, 20 << 20: 5, 128 << 20: 3, 400 << 20: 2, 8 << 30: 2} {
		if got := garbagePercent(used); got != want {
			t.Errorf("%d MiB in use: %d %%, want %d", used>>20, got, want)
		}
	}
}
