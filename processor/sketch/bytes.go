package sketch

import "encoding/binary"

const (
	highBits = 0x8080808080808080
	lowBits  = 0x0101010101010101
)

// maxBytes sets each byte of dst to the greater of itself and that of src, 64 or eight at a
// time. Both are as long, a multiple of eight, and no byte exceeds 127.
func maxBytes(dst, src []byte) {
	if n := min(len(dst), len(src)) / 64; hasMaxBlocks && n > 0 {
		maxBlocks(&dst[0], &src[0], n)
		dst, src = dst[64*n:], src[64*n:]
	}
	for len(dst) >= 8 && len(src) >= 8 {
		a, b := binary.LittleEndian.Uint64(dst), binary.LittleEndian.Uint64(src)
		keep := ((a | highBits) - b) & highBits // the high bit where a >= b
		keep = keep - keep>>7 | keep            // the whole byte
		binary.LittleEndian.PutUint64(dst, a&keep|b&^keep)
		dst, src = dst[8:], src[8:]
	}
}

// atMost reports whether no byte is greater than limit, which is below 128. The length
// is a multiple of eight.
func atMost(data []byte, limit byte) bool {
	over := uint64(0)
	add := lowBits * uint64(127-limit)
	for len(data) >= 8 {
		v := binary.LittleEndian.Uint64(data)
		over |= v | (v&^uint64(highBits) + add)
		data = data[8:]
	}
	return over&highBits == 0
}
