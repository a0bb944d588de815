//go:build !amd64

package sketch

func maxBlocks(*byte, *byte, int)       {}
func takenSlots(*tallied, int, *uint64) {}
func takenKeys(*uint32, int, *uint64)   {}

const hasMaxBlocks, hasTaken = false, false
