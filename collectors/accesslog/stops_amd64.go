package accesslog

import "golang.org/x/sys/cpu"

// stopBlocks writes a word for each of the blocks of 64 bytes, of which there is at
// least one: bit i is set where byte i of the block is a quote, a backslash or a control
// character. It needs AVX2.
//
//go:noescape
func stopBlocks(text *byte, blocks int, bits *uint64)

// haveStops reports whether this processor can.
func haveStops() bool { return cpu.X86.HasAVX2 }
