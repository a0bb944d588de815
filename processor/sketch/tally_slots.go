package sketch

import "iter"

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

// taken is room for the numbers of a chunk's slots.
type taken [chunk]uint8

// of is which slots are not free: in a table half full no branch foresees it, so that it is
// found without one.
func (t *taken) of(some []tallied) []uint8 {
	n := 0
	for i := range some {
		t[n%chunk] = uint8(i)
		if some[i].n != 0 {
			n++
		}
	}
	return t[:n]
}

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
	n := 0
	for i, key := range some {
		t[n%chunk] = uint8(i)
		if key != 0 {
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
