package clients

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// The index is open addressing with linear probing, at most half full. A slot holds the
// number of a record and as many bits of the hash as fit beside it, so that few
// records are looked at that are another client's.

// slot is what stands in the index for a record.
func (t *Table) slot(hash uint64, at int) uint32 {
	return uint32(hash>>32)&^(1<<t.places-1) | uint32(at+1)
}

func (t *Table) numberOf(slot uint32) int { return int(slot&(1<<t.places-1)) - 1 }

// find is the number of a client's record, negative if it has none.
func (t *Table) find(hash, net uint64) int {
	mask := uint64(len(t.slots) - 1)
	tag := uint32(hash>>32) &^ (1<<t.places - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return -1
		}
		if s&^(1<<t.places-1) == tag {
			if at := t.numberOf(s); t.record(at).net == net {
				return at
			}
		}
	}
}

func (t *Table) link(hash uint64, at int) {
	t.hashes[at] = uint32(hash)
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = t.slot(hash, at)
}

// place is where the slot of a record stands.
func (t *Table) place(at int) uint64 {
	mask := uint64(len(t.slots) - 1)
	i := uint64(t.hashes[at]) & mask
	for t.numberOf(t.slots[i]) != at {
		i = (i + 1) & mask
	}
	return i
}

// unlink empties the slot of a record and moves up those that would not be found any
// more (Knuth, TAOCP 3, 6.4, algorithm R).
func (t *Table) unlink(at int) {
	mask := uint64(len(t.slots) - 1)
	free := t.place(at)
	for i := (free + 1) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		home := uint64(t.hashes[t.numberOf(t.slots[i])]) & mask
		if (i-home)&mask >= (i-free)&mask {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
	t.slots[free] = 0
}

// grow doubles the index where it is half full.
func (t *Table) grow() {
	if 2*(len(t.clock)+1) <= len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]uint32, 2*len(old))
	mask := uint64(len(t.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		i := uint64(t.hashes[t.numberOf(s)]) & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}

// hashOf is Hash of the client of a network.
func (t *Table) hashOf(net uint64) uint64 {
	t.scratch = [16]byte{}
	if net >= v4 {
		t.scratch[10], t.scratch[11] = 0xFF, 0xFF
		binary.BigEndian.PutUint32(t.scratch[12:], uint32(net))
	} else {
		binary.BigEndian.PutUint64(t.scratch[:], net)
	}
	return xxh3.HashSeed(t.scratch[:], t.seed)
}
