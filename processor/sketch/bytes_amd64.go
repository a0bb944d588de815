package sketch

// maxBlocks sets each byte of dst to the greater of it and that of src, over blocks of 64
// bytes, of which there is at least one.
//
//go:noescape
func maxBlocks(dst, src *byte, blocks int)

// takenSlots sets a bit of mask, from the lowest on, for each slot whose count is not 0, over blocks of 16 slots, of
// which there is at least one.
//
//go:noescape
func takenSlots(slots *tallied, blocks int, mask *uint64)

// takenKeys does so for each key that is not 0.
//
//go:noescape
func takenKeys(keys *uint32, blocks int, mask *uint64)

const hasMaxBlocks, hasTaken = true, true
