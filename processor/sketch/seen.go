package sketch

import (
	"encoding/binary"
	"fmt"
	"slices"
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
// emptied when the newer has taken its capacity of keys, or is as old as Advance is told
// that it may be. A key stays known for at least one generation after it was last added.
// Wrong answers are always "seen", at most 2 % of new keys.
//
// Merging unites: commutative, associative, idempotent.
type Seen struct {
	blocks   uint64 // a power of two
	capacity int
	added    int   // new keys in the newer generation
	began    int64 // unix second since which it is the newer; 0 is not known
	young    []uint64
	old      []uint64
}

// NewSeen makes a filter for generations of up to capacity keys, in about
// 3 bytes a key: half of it when the first key is added, half when the first generation
// ends.
func NewSeen(capacity int) *Seen {
	blocks := uint64(1)
	for blocks*512 < uint64(capacity)*seenBits {
		blocks *= 2
	}
	return &Seen{blocks: blocks, capacity: capacity}
}

// Add adds a key by its hash and reports whether it was known.
func (s *Seen) Add(hash uint64) (known bool) {
	known = s.Has(hash)
	if s.young == nil {
		s.young = make([]uint64, s.blocks*blockWords)
	}
	young, had, h := s.block(s.young, hash), true, hash
	for range seenProbes {
		word, bit := h>>6&7, uint64(1)<<(h&63)
		had = had && young[word]&bit != 0
		young[word] |= bit
		h >>= 9
	}
	if !had {
		if s.added++; s.added >= s.capacity {
			s.Rotate()
		}
	}
	return known
}

// block is a key's; the low 45 bits of its hash are the probes'.
func (s *Seen) block(generation []uint64, hash uint64) *[blockWords]uint64 {
	return (*[blockWords]uint64)(generation[(hash>>45&(s.blocks-1))*blockWords:])
}

// Has reports whether the key is known, and adds nothing.
func (s *Seen) Has(hash uint64) bool {
	return s.in(s.young, hash) || s.in(s.old, hash)
}

func (s *Seen) in(generation []uint64, hash uint64) bool {
	if generation == nil {
		return false
	}
	block := s.block(generation, hash)
	for range seenProbes {
		if block[hash>>6&7]>>(hash&63)&1 == 0 {
			return false
		}
		hash >>= 9
	}
	return true
}

// Rotate starts a new generation and forgets the one before the last.
func (s *Seen) Rotate() {
	s.young, s.old = s.old, s.young
	clear(s.young)
	s.added, s.began = 0, 0
}

// Advance tells the filter the time, a unix second, and forgets what is old: the newer
// generation becomes the older after life seconds, so a key is known for one to two lives
// after it was last added. Time that goes back changes nothing.
func (s *Seen) Advance(now, life int64) {
	switch {
	case s.began == 0:
		s.began = now
	case now-s.began >= 2*life:
		s.Rotate()
		s.Rotate()
		s.began = now
	case now-s.began >= life:
		began := s.began + life
		s.Rotate()
		s.began = began
	}
}

// Merge adds what other knows. The filters must have been made for the same capacity.
func (s *Seen) Merge(other *Seen) error {
	if s.capacity != other.capacity {
		return fmt.Errorf("merge a seen-before filter for %d keys into one for %d", other.capacity, s.capacity)
	}
	s.young, s.old = unite(s.young, other.young), unite(s.old, other.old)
	s.added = max(s.added, other.added)
	s.began = max(s.began, other.began)
	return nil
}

func unite(a, b []uint64) []uint64 {
	if a == nil && b != nil {
		a = make([]uint64, len(b))
	}
	for i, word := range b {
		a[i] |= word
	}
	return a
}

// Reset forgets everything and keeps the memory.
func (s *Seen) Reset() {
	s.Rotate()
	s.Rotate()
}

// AppendBinary appends the letter S, the version, the capacity, the keys added, when
// the generation began (8 bytes each, least significant first), and both generations'
// words.
func (s *Seen) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, 'S', 2)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.capacity))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.added))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.began))
	for _, generation := range [][]uint64{s.young, s.old} {
		if generation == nil {
			dst = append(dst, make([]byte, 8*s.words())...)
		}
		for _, word := range generation {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
	}
	return dst, nil
}

// words is how many a generation has.
func (s *Seen) words() int { return int(s.blocks * blockWords) }

// UnmarshalBinary reads what AppendBinary wrote into a filter made by NewSeen for
// the same capacity; anything else is refused with ErrMalformed and changes nothing.
// Version 1 had no time.
func (s *Seen) UnmarshalBinary(data []byte) error {
	head := 26
	if len(data) > 1 && data[1] == 1 {
		head = 18
	}
	if len(data) != head+16*s.words() || data[0] != 'S' || data[1] < 1 || data[1] > 2 {
		return fmt.Errorf("seen-before filter of %d bytes, want %d of version 2: %w", len(data), 26+16*s.words(), ErrMalformed)
	}
	capacity, added := binary.LittleEndian.Uint64(data[2:]), binary.LittleEndian.Uint64(data[10:])
	began := int64(0)
	if head == 26 {
		began = int64(binary.LittleEndian.Uint64(data[18:]))
	}
	if capacity != uint64(s.capacity) || added >= capacity || began < 0 || began > 1<<40 {
		return fmt.Errorf("seen-before filter with %d of %d keys since %d, want a capacity of %d: %w", added, capacity, began, s.capacity, ErrMalformed)
	}
	s.added, s.began = int(added), began
	words := data[head:]
	for _, generation := range []*[]uint64{&s.young, &s.old} {
		here := words[:8*s.words()]
		words = words[len(here):]
		*generation = readWords(*generation, here)
	}
	return nil
}

// readWords fills a generation; one that stays empty is not made.
func readWords(generation []uint64, data []byte) []uint64 {
	if generation == nil {
		if !slices.ContainsFunc(data, func(b byte) bool { return b != 0 }) {
			return nil
		}
		generation = make([]uint64, len(data)/8)
	}
	for i := range generation {
		generation[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
	return generation
}
