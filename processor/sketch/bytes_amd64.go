package sketch

// maxBlocks sets each byte of dst to the greater of it and that of src, over blocks of 64
// bytes, of which there is at least one.
//
//go:noescape
func maxBlocks(dst, src *byte, blocks int)

const hasMaxBlocks = true
