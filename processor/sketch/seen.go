package sketch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// seenBits is bits a key at capacity: with 5 probes inside one 512-bit block the
// false-positive rate stays below 1 %.
const (
	seenBits   = 12
	seenProbes = 5
	blockWords = 8
)

// Seen answers whether a key was added before, and forgets: two blocked Bloom
// filters (Bloom 1970; Putze, Sanders and Singler 2007), of which the older is
// emptied when the newer has taken its capacity of keys or Rotate is called. A key
// stays known for at least one generation. Wrong answers are always "seen", at
// most 2 % of new keys.
type Seen struct {
	blocks   uint64 // a power of two
	capacity int
	added    int // new keys in the newer generation
	young    []uint64
	old      []uint64
}

// NewSeen makes a filter for generations of up to capacity keys, in about
// 3 bytes a key.
func NewSeen(capacity int) *Seen {
	blocks := uint64(1)
	for blocks*512 < uint64(capacity)*seenBits {
		blocks *= 2
	}
	return &Seen{
		blocks: blocks, capacity: capacity,
		young: make([]uint64, blocks*blockWords), old: make([]uint64, blocks*blockWords),
	}
}

// Add adds a key by its hash and reports whether it was known.
func (s *Seen) Add(hash uint64) (known bool) {
	base := (hash >> 45 & (s.blocks - 1)) * blockWords // the low 45 bits are the probes'
	young := (*[blockWords]uint64)(s.young[base:])
	old := (*[blockWords]uint64)(s.old[base:])
	inYoung, inOld := true, true
	h := hash
	for range seenProbes {
		word, bit := h>>6&7, uint64(1)<<(h&63)
		inYoung = inYoung && young[word]&bit != 0
		inOld = inOld && old[word]&bit != 0
		young[word] |= bit
		h >>= 9
	}
	if !inYoung {
		if s.added++; s.added >= s.capacity {
			s.Rotate()
		}
	}
	return inYoung || inOld
}

// Has reports whether the key is known, and adds nothing.
func (s *Seen) Has(hash uint64) bool {
	base := (hash >> 45 & (s.blocks - 1)) * blockWords
	young := (*[blockWords]uint64)(s.young[base:])
	old := (*[blockWords]uint64)(s.old[base:])
	inYoung, inOld := true, true
	for range seenProbes {
		word, bit := hash>>6&7, uint64(1)<<(hash&63)
		inYoung = inYoung && young[word]&bit != 0
		inOld = inOld && old[word]&bit != 0
		hash >>= 9
	}
	return inYoung || inOld
}

// Rotate starts a new generation and forgets the one before the last.
func (s *Seen) Rotate() {
	s.young, s.old = s.old, s.young
	clear(s.young)
	s.added = 0
}

// ErrMalformed is wrapped by every error about bytes that do not hold together.
var ErrMalformed = errors.New("malformed sketch")

// AppendBinary appends the filter's versioned binary form.
func (s *Seen) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, 'S', 1)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.capacity))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.added))
	for _, generation := range [][]uint64{s.young, s.old} {
		for _, word := range generation {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
	}
	return dst, nil
}

// UnmarshalBinary reads what AppendBinary wrote into a filter made by NewSeen for
// the same capacity; anything else is refused with ErrMalformed.
func (s *Seen) UnmarshalBinary(data []byte) error {
	if len(data) != 18+16*len(s.young) || data[0] != 'S' || data[1] != 1 {
		return fmt.Errorf("seen-before filter of %d bytes, want %d of version 1: %w", len(data), 18+16*len(s.young), ErrMalformed)
	}
	capacity, added := binary.LittleEndian.Uint64(data[2:]), binary.LittleEndian.Uint64(data[10:])
	if capacity != uint64(s.capacity) || added >= capacity {
		return fmt.Errorf("seen-before filter with %d of %d keys, want a capacity of %d: %w", added, capacity, s.capacity, ErrMalformed)
	}
	s.added = int(added)
	words := data[18:]
	for _, generation := range [][]uint64{s.young, s.old} {
		for i := range generation {
			generation[i] = binary.LittleEndian.Uint64(words)
			words = words[8:]
		}
	}
	return nil
}
