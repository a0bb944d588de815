package schemas

import "hash/maphash"

// stringTable gives each distinct string an index, in the order in which they
// came; index 0 is "". An open-addressed table over the bytes themselves: no
// allocation a string, as a map of strings would have. The hash is seeded, so that nobody
// can send strings that all fall together; the order does not depend on it.
type stringTable struct {
	bytes   []byte   // all strings, end to end
	lengths []uint32 // of each
	starts  []uint32 // of each, in bytes
	slots   []slot   // a power of two of them, at most half in use
	recent  [textCount]uint32
	seed    maphash.Seed
}

// slot is empty where index is 0.
type slot struct{ hash, index uint32 }

func newStringTable() stringTable {
	return stringTable{seed: maphash.MakeSeed(), slots: make([]slot, 1024)}
}

func (t *stringTable) reset() {
	clear(t.slots)
	t.recent = [textCount]uint32{}
	t.bytes = t.bytes[:0]
	t.lengths, t.starts = append(t.lengths[:0], 0), append(t.starts[:0], 0)
}

func (t *stringTable) at(index uint32) []byte {
	return t.bytes[t.starts[index]:][:t.lengths[index]]
}

// add appends a string, cut to its bound, without looking whether it is there.
func (t *stringTable) add(text []byte, bound int) uint32 {
	if len(text) == 0 {
		return 0
	}
	text = text[:min(len(text), bound)]
	t.starts = append(t.starts, uint32(len(t.bytes)))
	t.lengths = append(t.lengths, uint32(len(text)))
	t.bytes = append(t.bytes, text...)
	return uint32(len(t.lengths) - 1)
}

// index is that of a string, cut to its bound, of one of the columns. A column
// often says the same as in the row before.
func (t *stringTable) index(column int, text []byte, bound int) uint32 {
	if len(text) == 0 {
		return 0
	}
	text = text[:min(len(text), bound)]
	if before := t.recent[column]; string(t.at(before)) == string(text) {
		return before
	}
	if 2*len(t.lengths) >= len(t.slots) {
		t.grow()
	}
	hash := uint32(maphash.Bytes(t.seed, text))
	mask := uint32(len(t.slots) - 1)
	at := hash & mask
	for ; t.slots[at].index != 0; at = (at + 1) & mask {
		if s := t.slots[at]; s.hash == hash && string(t.at(s.index)) == string(text) {
			t.recent[column] = s.index
			return s.index
		}
	}
	index := t.add(text, bound)
	t.slots[at] = slot{hash, index}
	t.recent[column] = index
	return index
}

func (t *stringTable) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	mask := uint32(len(t.slots) - 1)
	for _, s := range old {
		if s.index == 0 {
			continue
		}
		at := s.hash & mask
		for t.slots[at].index != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = s
	}
}
