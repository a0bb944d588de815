package sketch

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// chunk is how many slots of a table are looked at together.
const chunk = 256

// chunks are a table's slots, so many at a time.
func chunks(slots []tallied) iter.Seq[[]tallied] {
	return func(yield func([]tallied) bool) {
		for len(slots) > 0 {
			n := min(chunk, len(slots))
			if !yield(slots[:n]) {
				return
			}
			slots = slots[n:]
		}
	}
}

// taken is room for the numbers of a chunk's slots, and for what list writes too much.
type taken [chunk + 8]uint8

// of is which slots are not free: in a table half full no branch foresees it, so that it is
// found without one.
func (t *taken) of(some []tallied) []uint8 {
	n, from := 0, 0
	if blocks := min(len(some), chunk) / block; hasTaken && blocks > 0 {
		var mask [chunk / 64]uint64
		takenSlots(&some[0], blocks, &mask[0])
		n, from = t.list(&mask), blocks*block
	}
	for i := from; i < len(some); i++ {
		t[n%chunk] = uint8(i)
		if some[i].n != 0 {
			n++
		}
	}
	return t[:n]
}

// block is how many slots are looked at at once where the machine can.
const block = 16

// list is the numbers of a mask's bits, eight bits at a time: those of each are written at once, and what is too much
// of them is written over.
func (t *taken) list(mask *[chunk / 64]uint64) (n int) {
	from := uint64(0)
	for _, m := range mask {
		for range 8 {
			binary.LittleEndian.PutUint64(t[n:], bitPlaces[uint8(m)]+from)
			n += bits.OnesCount8(uint8(m))
			m, from = m>>8, from+8*lowBits
		}
	}
	return n
}

// bitPlaces are the places of each byte's bits, the lowest first, a byte each.
var bitPlaces = func() (places [256]uint64) {
	for b := range places {
		n := 0
		for bit := range 8 {
			if b>>bit&1 == 1 {
				places[b] |= uint64(bit) << (8 * n)
				n++
			}
		}
	}
	return places
}()

// ofBins is of for a table of quantiles.
func (t *taken) ofBins(some []bin) []uint8 {
	n := 0
	for i := range some {
		t[n%chunk] = uint8(i)
		if some[i].n != 0 {
			n++
		}
	}
	return t[:n]
}

// ofKeys is of for a list of distinct keys.
func (t *taken) ofKeys(some []uint32) []uint8 {
	n, from := 0, 0
	if blocks := min(len(some), chunk) / block; hasTaken && blocks > 0 {
		var mask [chunk / 64]uint64
		takenKeys(&some[0], blocks, &mask[0])
		n, from = t.list(&mask), blocks*block
	}
	for i := from; i < len(some); i++ {
		t[n%chunk] = uint8(i)
		if some[i] != 0 {
			n++
		}
	}
	return t[:n]
}

// raised is a chunk's keys that stay where the cut rises by so much, in their order.
func (t *taken) raised(some []tallied, by uint64, room *[chunk]tallied) []tallied {
	n := 0
	for _, i := range t.of(some) {
		s := some[i]
		s.bar = clamp(uint64(s.bar) + by)
		room[n%chunk] = s
		if s.stays() {
			n++
		}
	}
	return room[:n]
}

// stays reports whether a key's count is above what its bar asks for.
func (c *tallied) stays() bool { return uint64(c.n) > uint64(c.bar)*rank(c.key)>>32 }
