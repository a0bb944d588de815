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
	indexed int      // strings that are in slots
	seed    maphash.Seed
}

// slot is empty where index is 0.
type slot struct{ hash, index uint32 }

// fewSlots is the least number of slots.
const fewSlots = 1024

func newStringTable() stringTable {
	return stringTable{seed: maphash.MakeSeed(), slots: make([]slot, fewSlots)}
}

// reset empties the table. It keeps the slots that the last batch needed: to clear
// those of the largest ever would cost a small batch more than all else.
func (t *stringTable) reset() {
	need := fewSlots
	for need < 4*t.indexed {
		need *= 2
	}
	t.slots = t.slots[:min(need, len(t.slots))]
	clear(t.slots)
	t.bytes, t.indexed = t.bytes[:0], 0
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

// index is that of a string, cut to its bound, and the string as the table holds it,
// which stays as it is until reset.
func (t *stringTable) index(text []byte, bound int) (uint32, []byte) {
	if len(text) == 0 {
		return 0, nil
	}
	text = text[:min(len(text), bound)]
	if 2*t.indexed >= len(t.slots) {
		t.grow()
	}
	hash := uint32(maphash.Bytes(t.seed, text))
	mask := uint32(len(t.slots) - 1)
	at := hash & mask
	for ; t.slots[at].index != 0; at = (at + 1) & mask {
		if s := t.slots[at]; s.hash == hash {
			if known := t.at(s.index); string(known) == string(text) {
				return s.index, known
			}
		}
	}
	index := t.add(text, bound)
	t.slots[at] = slot{hash, index}
	t.indexed++
	return index, t.at(index)
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
