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
	// A large filter begins with a small one, of a quarter of its blocks, for a quarter of the keys:
	// most sites know a thousand paths, not ten thousand.
	seenSmall = 4
)

// Seen answers whether a key was added before, and forgets: two generations, of which
// the older is emptied when the newer has taken its capacity of keys, or is as old as
// Advance is told that it may be. A key stays known for at least one generation after
// it was last added. A generation of up to 512 keys is a set, and exact, in 16 bytes a
// key; a larger one is a blocked Bloom filter (Bloom 1970; Putze, Sanders and Singler
// 2007), a small one until that is full, and a large one beside it from then on (Almeida,
// Baquero, Preguiça and Hutchison 2007). Wrong answers are always "seen", at most 2 % of new
// keys.
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

// generation is a set of few keys, or a filter of one or two parts where there are words.
type generation struct {
	few   []uint64 // open addressing, 0 is free
	n     int      // keys of the set, or of the small part, about
	small []uint64 // words
	words []uint64 // of the large part
}

// smallKeys is how many keys the small part takes of a filter of so many blocks.
func smallKeys(blocks uint64) int { return int(blocks/seenSmall) * (blockWords * 64 / seenBits) }

// filter reports whether it is one.
func (g *generation) filter() bool { return g.words != nil || g.small != nil }

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

// Recent reports whether the key is in the newer generation, and adds nothing.
func (s *Seen) Recent(hash uint64) bool { return s.young.has(hash, s.blocks) }

// add adds a key and reports whether it was there.
func (g *generation) add(hash, blocks uint64) bool {
	if !g.filter() {
		if g.n < seenFew {
			return g.addFew(hash)
		}
		if g.hasFew(hash) {
			return true
		}
		g.thicken(blocks)
	}
	if g.words == nil {
		if g.n < smallKeys(blocks) {
			in := mark(g.small, hash, blocks/seenSmall)
			if !in {
				g.n++
			}
			return in
		}
		g.words = make([]uint64, blocks*blockWords)
	}
	if g.small != nil && marked(g.small, hash, blocks/seenSmall) {
		return true
	}
	return mark(g.words, hash, blocks)
}

// mark sets a key's bits in a filter of so many blocks, and reports whether all were.
func mark(words []uint64, hash, blocks uint64) bool {
	block := (*[blockWords]uint64)(words[(hash>>45&(blocks-1))*blockWords:]) // the low 45 bits are the probes'
	in := true
	for range seenProbes {
		word, bit := hash>>6&7, uint64(1)<<(hash&63)
		in = in && block[word]&bit != 0
		block[word] |= bit
		hash >>= 9
	}
	return in
}

// marked reports whether all of a key's bits are set.
func marked(words []uint64, hash, blocks uint64) bool {
	block := (*[blockWords]uint64)(words[(hash>>45&(blocks-1))*blockWords:])
	for range seenProbes {
		if block[hash>>6&7]&(1<<(hash&63)) == 0 {
			return false
		}
		hash >>= 9
	}
	return true
}

func (g *generation) has(hash, blocks uint64) bool {
	if !g.filter() {
		return g.n > 0 && g.hasFew(hash)
	}
	return g.small != nil && marked(g.small, hash, blocks/seenSmall) || g.words != nil && marked(g.words, hash, blocks)
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

// thicken makes a set a filter, a small one where a quarter of the blocks is some.
func (g *generation) thicken(blocks uint64) {
	few := g.few
	g.few, g.n = nil, 0
	if smallKeys(blocks) > seenFew {
		g.small = make([]uint64, blocks/seenSmall*blockWords)
	} else {
		g.words = make([]uint64, blocks*blockWords)
	}
	for _, key := range few {
		if key != 0 {
			g.add(key, blocks)
		}
	}
}

// merge adds the keys of a set to the large part where either is a filter or both are more
// than a set: how full a small part is would depend on the order.
func (g *generation) merge(other *generation, blocks uint64) {
	if !g.filter() && !other.filter() {
		for _, key := range other.few {
			if key != 0 && g.n >= seenFew && !g.hasFew(key) {
				g.enlarge(blocks)
			}
			if key != 0 && g.filter() {
				mark(g.words, key, blocks)
			} else if key != 0 {
				g.addFew(key)
			}
		}
		return
	}
	if !g.filter() && g.n > 0 || other.words != nil || !other.filter() && other.n > 0 {
		g.enlarge(blocks)
	}
	if !other.filter() {
		for _, key := range other.few {
			if key != 0 {
				mark(g.words, key, blocks)
			}
		}
		return
	}
	if other.small != nil && g.small == nil {
		g.small = make([]uint64, len(other.small))
	}
	for i, word := range other.small {
		g.small[i] |= word
	}
	for i, word := range other.words {
		g.words[i] |= word
	}
	g.n = max(g.n, other.n)
}

// enlarge makes a set, or a small filter, a large one.
func (g *generation) enlarge(blocks uint64) {
	few := !g.filter()
	if g.words == nil {
		g.words = make([]uint64, blocks*blockWords)
	}
	if few {
		for _, key := range g.few {
			if key != 0 {
				mark(g.words, key, blocks)
			}
		}
		g.few, g.n = nil, 0
	}
}

// empty forgets the keys; a set keeps its memory, a filter goes: what was much once need
// not be again.
func (g *generation) empty() {
	clear(g.few)
	g.n, g.small, g.words = 0, nil, nil
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

// Clone is a copy that shares nothing.
func (s *Seen) Clone() *Seen {
	c := *s
	for _, g := range []*generation{&c.young, &c.old} {
		g.few, g.small, g.words = slices.Clone(g.few), slices.Clone(g.small), slices.Clone(g.words)
	}
	return &c
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
// the number of keys of a set, in 2 bytes, and the keys in ascending order; or 65535 for a
// filter and its words; or 65534, and what a small filter holds as a word, and its words; or
// 65533 and both, the small one first.
func (s *Seen) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, 'S', 3)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.capacity))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.added))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.began))
	for _, g := range []*generation{&s.young, &s.old} {
		dst = g.append(dst)
	}
	return dst, nil
}

func (g *generation) append(dst []byte) []byte {
	put := func(words []uint64) {
		for _, word := range words {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
	}
	switch {
	case g.small != nil:
		n := uint16(seenSmallFilter)
		if g.words != nil {
			n = seenBothFilters
		}
		dst = binary.LittleEndian.AppendUint16(dst, n)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(g.n))
		put(g.small)
		put(g.words)
	case g.words != nil:
		dst = binary.LittleEndian.AppendUint16(dst, seenFilter)
		put(g.words)
	default:
		keys := make([]uint64, 0, g.n)
		for _, key := range g.few {
			if key != 0 {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(keys)))
		put(keys)
	}
	return dst
}

// What stands in the binary form for the number of keys of a generation that is a filter.
const (
	seenFilter      = 65535
	seenSmallFilter = 65534
	seenBothFilters = 65533
)

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
	take := func(n int) (words []uint64) {
		if len(data) < 8*n {
			err = fmt.Errorf("cut short")
			return nil
		}
		words = make([]uint64, n)
		for i := range words {
			words[i] = binary.LittleEndian.Uint64(data[8*i:])
		}
		data = data[8*n:]
		return words
	}
	if len(data) < 2 {
		return nil, fmt.Errorf("cut short")
	}
	n := int(binary.LittleEndian.Uint16(data))
	data = data[2:]
	switch small := int(blocks / seenSmall); {
	case n == seenFilter:
		g.words = take(int(blocks) * blockWords)
	case n == seenSmallFilter || n == seenBothFilters:
		if smallKeys(blocks) <= seenFew {
			return nil, fmt.Errorf("a small filter where there is none")
		}
		if held := take(1); err == nil {
			if held[0] > uint64(smallKeys(blocks)) {
				return nil, fmt.Errorf("a small filter of %d keys, at most %d", held[0], smallKeys(blocks))
			}
			g.n, g.small = int(held[0]), take(small*blockWords)
		}
		if n == seenBothFilters && err == nil {
			g.words = take(int(blocks) * blockWords)
		}
	case n > seenFew:
		return nil, fmt.Errorf("a set of %d keys, at most %d", n, seenFew)
	default:
		last := uint64(0)
		for _, key := range take(n) {
			if key <= last {
				return nil, fmt.Errorf("keys out of order")
			}
			last = key
			g.addFew(key)
		}
	}
	return data, err
}
