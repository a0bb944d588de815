//go:build !amd64

package accesslog

func stopBlocks(*byte, int, *uint64) {}

func haveStops() bool { return false }
