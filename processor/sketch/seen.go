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
	// seenFew is how many keys a generation holds exactly, before it becomes a filter.
	seenFew = 512
)

// Seen answers whether a key was added before, and forgets: two generations, of which
// the older is emptied when the newer has taken its capacity of keys, or is as old as
// Advance is told that it may be. A key stays known for at least one generation after
// it was last added. A generation of up to 512 keys is a set, and exact, in 16 bytes a
// key; a larger one is a blocked Bloom filter (Bloom 1970; Putze, Sanders and Singler
// 2007). Wrong answers are always "seen", at most 2 % of new keys.
//
// Merging unites: commutative, associative, idempotent.
type Seen struct {
	blocks   uint64 // of a filter, a power of two
	capacity int
	added    int   // new keys in the newer generation
	began    int64 // unix second since which it is the newer; 0 is not known
	young    generation
	old      generation
}

// generation is a set of few keys, or a filter where there are words.
type generation struct {
	few   []uint64 // open addressing, 0 is free
	n     int
	words []uint64
}

// NewSeen makes a filter for generations of up to capacity keys, in at most about
// 3 bytes a key, taken when there are keys.
func NewSeen(capacity int) *Seen {
	blocks := uint64(1)
	for blocks*512 < uint64(capacity)*seenBits {
		blocks *= 2
	}
	return &Seen{blocks: blocks, capacity: capacity}
}

// Add adds a key by its hash and reports whether it was known.
func (s *Seen) Add(hash uint64) (known bool) {
	inYoung := s.young.add(hash, s.blocks)
	known = inYoung || s.old.has(hash, s.blocks)
	if !inYoung {
		if s.added++; s.added >= s.capacity {
			s.Rotate()
		}
	}
	return known
}

// Has reports whether the key is known, and adds nothing.
func (s *Seen) Has(hash uint64) bool {
	return s.young.has(hash, s.blocks) || s.old.has(hash, s.blocks)
}

// add adds a key and reports whether it was there.
func (g *generation) add(hash, blocks uint64) bool {
	if g.words == nil {
		if g.n < seenFew {
			return g.addFew(hash)
		}
		if g.hasFew(hash) {
			return true
		}
		g.thicken(blocks)
	}
	block := (*[blockWords]uint64)(g.words[(hash>>45&(blocks-1))*blockWords:]) // the low 45 bits are the probes'
	in := true
	for range seenProbes {
		word, bit := hash>>6&7, uint64(1)<<(hash&63)
		in = in && block[word]&bit != 0
		block[word] |= bit
		hash >>= 9
	}
	return in
}

func (g *generation) has(hash, blocks uint64) bool {
	if g.words == nil {
		return g.n > 0 && g.hasFew(hash)
	}
	block := (*[blockWords]uint64)(g.words[(hash>>45&(blocks-1))*blockWords:])
	for range seenProbes {
		if block[hash>>6&7]&(1<<(hash&63)) == 0 {
			return false
		}
		hash >>= 9
	}
	return true
}

func (g *generation) hasFew(hash uint64) bool {
	if len(g.few) == 0 {
		return false
	}
	hash = max(hash, 1) // 0 is free: the keys 0 and 1 are one
	mask := uint64(len(g.few) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch g.few[i] {
		case hash:
			return true
		case 0:
			return false
		}
	}
}

func (g *generation) addFew(hash uint64) bool {
	if 2*(g.n+1) > len(g.few) {
		old := g.few
		g.few, g.n = make([]uint64, max(8, 2*len(old))), 0
		for _, key := range old {
			if key != 0 {
				g.addFew(key)
			}
		}
	}
	hash = max(hash, 1)
	mask := uint64(len(g.few) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch g.few[i] {
		case hash:
			return true
		case 0:
			g.few[i] = hash
			g.n++
			return false
		}
	}
}

// thicken makes a set a filter.
func (g *generation) thicken(blocks uint64) {
	few := g.few
	g.few, g.n, g.words = nil, 0, make([]uint64, blocks*blockWords)
	for _, key := range few {
		if key != 0 {
			g.add(key, blocks)
		}
	}
}

func (g *generation) merge(other *generation, blocks uint64) {
	if other.words == nil {
		for _, key := range other.few {
			if key != 0 {
				g.add(key, blocks)
			}
		}
		return
	}
	if g.words == nil {
		g.thicken(blocks)
	}
	for i, word := range other.words {
		g.words[i] |= word
	}
}

// empty forgets the keys; a set keeps its memory, a filter goes: what was much once need
// not be again.
func (g *generation) empty() {
	clear(g.few)
	g.n, g.words = 0, nil
}

// Rotate starts a new generation and forgets the one before the last.
func (s *Seen) Rotate() {
	words := s.old.words
	s.young, s.old = s.old, s.young
	s.young.empty()
	if words != nil && s.old.words != nil { // it will be a filter again
		clear(words)
		s.young = generation{words: words}
	}
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
	s.young.merge(&other.young, s.blocks)
	s.old.merge(&other.old, s.blocks)
	s.added = max(s.added, other.added)
	s.began = max(s.began, other.began)
	return nil
}

// Reset forgets everything and keeps the memory.
func (s *Seen) Reset() {
	s.Rotate()
	s.Rotate()
}

// AppendBinary appends the letter S, the version, the capacity, the keys added, when
// the generation began (8 bytes each, least significant first), and of both generations
// the number of keys of a set, or 65535 for a filter, in 2 bytes and its words: the keys in
// ascending order, or the bits.
func (s *Seen) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, 'S', 3)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.capacity))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.added))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.began))
	for _, g := range []*generation{&s.young, &s.old} {
		n, words := uint16(seenFilter), g.words
		if words == nil {
			n, words = uint16(g.n), make([]uint64, 0, g.n)
			for _, key := range g.few {
				if key != 0 {
					words = append(words, key)
				}
			}
			slices.Sort(words)
		}
		dst = binary.LittleEndian.AppendUint16(dst, n)
		for _, word := range words {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
	}
	return dst, nil
}

// seenFilter stands in the binary form for a generation that is a filter.
const seenFilter = 65535

// UnmarshalBinary reads what AppendBinary wrote into a filter made by NewSeen for
// the same capacity; anything else is refused with ErrMalformed and changes nothing.
func (s *Seen) UnmarshalBinary(data []byte) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("seen-before filter: %s: %w", fmt.Sprintf(format, args...), ErrMalformed)
	}
	if len(data) < 26 || data[0] != 'S' || data[1] != 3 {
		return fail("%d bytes that are no version 3", len(data))
	}
	capacity, added := binary.LittleEndian.Uint64(data[2:]), binary.LittleEndian.Uint64(data[10:])
	began := int64(binary.LittleEndian.Uint64(data[18:]))
	if capacity != uint64(s.capacity) || added >= capacity || began < 0 || began > 1<<40 {
		return fail("%d of %d keys since %d, want a capacity of %d", added, capacity, began, s.capacity)
	}
	var generations [2]generation
	rest := data[26:]
	for i := range generations {
		var err error
		if rest, err = generations[i].unmarshal(rest, s.blocks); err != nil {
			return fail("%v", err)
		}
	}
	if len(rest) > 0 {
		return fail("%d bytes after its end", len(rest))
	}
	s.added, s.began, s.young, s.old = int(added), began, generations[0], generations[1]
	return nil
}

func (g *generation) unmarshal(data []byte, blocks uint64) (rest []byte, err error) {
	if len(data) < 2 {
		return nil, fmt.Errorf("cut short")
	}
	n, data := int(binary.LittleEndian.Uint16(data)), data[2:]
	words := n
	if n == seenFilter {
		words = int(blocks * blockWords)
	} else if n > seenFew {
		return nil, fmt.Errorf("a set of %d keys, at most %d", n, seenFew)
	}
	if len(data) < 8*words {
		return nil, fmt.Errorf("cut short")
	}
	if n == seenFilter {
		g.words = make([]uint64, words)
	}
	last := uint64(0)
	for i := range words {
		word := binary.LittleEndian.Uint64(data[8*i:])
		if n == seenFilter {
			g.words[i] = word
			continue
		}
		if word <= last {
			return nil, fmt.Errorf("keys out of order")
		}
		last = word
		g.addFew(word)
	}
	return data[8*words:], nil
}
