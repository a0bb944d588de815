package sketch

import (
	"math"
	"math/bits"
	"slices"
)

const (
	// TallyMax is how many keys a Tally holds at most between merges.
	TallyMax = 4096
	// tallyKeep is how many of more than can be kept are.
	tallyKeep = TallyMax * 3 / 4
	// mergeMax is how many keys a Tally holds at most after another was merged into it: where
	// room is made after each of many, the keys of the last push out those of the first. One of
	// 1,024 more still fits a table of 16,384.
	mergeMax = 2*TallyMax - 1024
	// golden makes of a key its rank, a number that has nothing to do with its place in
	// the table. Odd, so that every key has a rank of its own.
	golden = 0x9E3779B1
	// doorBits are the bits of a place at the door, doorKnocks after how many knocks it is
	// closed and begins anew: then one in eight places is taken.
	doorBits, doorKnocks = 15, 4096
)

// Tally counts the requests of each key where there are too many keys to keep. It holds
// up to 4,096 keys, or fewer by Limit: exactly all of them while there are no more, then the
// heavy ones and a sample of the light ones, in which a key is the likelier the more requests
// it has. From it come the heavy keys with bounds on their counts (Top), and the entropy (Bits).
//
// Every key has a fixed rank u, drawn uniformly from (0, 1] by its hash. When the table is
// full, keys go whose count is at most t*u, for the least t that makes room; a key that
// comes (again) later may have missed that much, and carries it as the bound of its error.
// A key that may have missed something is let in when it knocks for the second time among
// 4,096 knocks (a doorkeeper, as in TinyLFU: Einziger, Friedman and Manes 2017): keys that
// come once would take the room of seven in eight others. What that can miss, one request
// in each 4,096 knocks, is a part of the bound.
//
// This is priority sampling (Duffield, Lund and Thorup 2007) of keys, over Misra and
// Gries' counters (1982) with an error kept for each as lossy counting does (Manku and
// Motwani 2002), and room made in batches (Anderson et al. 2017). So, whatever the order
// of the requests:
//
//   - a key's true count is between Least and Most;
//   - a key with more than Missed() requests is in the table;
//   - every key of low rank is in the table, with its true count. Of tallies that are merged
//     the same keys are, so that these are a sample of all keys, each as likely as another
//     (coordinated sampling: Brewer, Early and Joice 1972; Cohen and Kaplan 2007). How low
//     is its level.
//
// A count stands for 2^32-1 where it would be greater. Keys are told apart by 32 bits of
// their hash: in a million keys, one in 4 million requests is counted for another.
//
// Merging is commutative to the byte (which 32 names are kept aside), and associative to the
// byte while there are at most 4,096 keys in all; beyond that the bounds hold in any order. It
// is not idempotent: a count is a sum. The zero value is empty; it takes 12 KiB at 500 keys,
// 100 KiB at most where requests are inserted, 400 KiB where others are merged into it.
type Tally struct {
	slots []tallied // open addressing, near the order of keys
	n     int
	total uint64
	cut   uint64 // t: what is not in the table has at most t*u requests, and ...
	names names

	passes uint64       // ... this many more, if cut*u is at least 1
	level  uint64       // a key of which level*u is below 1 has missed nothing, whether it is here or not
	limit  int          // of keys while inserting; 0 is TallyMax; kept over Reset
	knocks int          // since the door was closed
	door   *[512]uint64 // keys that knocked, one bit each; kept over Reset
}

// tallied is a key with what was counted since it is here. A count of 0 is a free slot. The
// bar is as much of the cut as the key was counted through: it stays while n is more than
// bar*u, and of the rest of the cut it may have missed (cut-bar)*u. In this form merging
// changes only keys that both have, whose counts and bars add up: those of one alone may have
// missed what the other's cut says, and that is added to the cut.
type tallied struct{ key, n, bar uint32 }

// rank is u in units of 2^-32.
func rank(key uint32) uint64 { return uint64(key*golden) + 1 }

// share is the greatest whole number that is at most cut*u.
func share(cut uint64, key uint32) uint32 {
	if cut == 0 {
		return 0
	}
	high, low := bits.Mul64(cut, rank(key))
	if high>>32 != 0 {
		return math.MaxUint32
	}
	return clamp(high<<32 | low>>32)
}

// absent is how many requests a key that is not in the table can have had, but for the passes.
func (t *Tally) absent(key uint32) uint32 {
	if share(t.level, key) == 0 {
		return 0
	}
	return share(t.cut, key)
}

// begins is the bar of a key that comes so many times at once and may have missed so many requests. It is at most the level times
// the count where nothing was missed, which makes such a key stay while the level says that
// it is here: merging adds both sides, and raising the cut raises the level as much.
func (t *Tally) begins(key, n, miss uint32) uint32 {
	if miss > 0 {
		return t.barOf(key, miss)
	}
	bar := clamp(t.cut)
	each := uint64(bar)
	if n > 1 { // hardly any
		each /= uint64(n)
	}
	if t.level < each {
		bar = clamp(t.level * uint64(n))
	}
	return bar
}

// barOf is the bar of a key that may have missed so many requests, at most all that the cut
// is for it.
func (t *Tally) barOf(key, miss uint32) uint32 {
	r := rank(key)
	return clamp(t.cut - min((uint64(miss)<<32+r-1)/r, t.cut))
}

// clamp is the number, or the greatest that fits.
func clamp(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) }

// Insert counts a key, given by its hash, weight times. The name is what a person calls
// it; it is copied if it is kept, cut to 96 bytes, and may be nil.
func (t *Tally) Insert(hash uint64, weight uint32, name []byte) {
	if weight == 0 {
		return
	}
	t.total += uint64(weight)
	key := uint32(hash)
	if len(t.slots) == 0 {
		t.slots = make([]tallied, 16)
	}
	mask := len(t.slots) - 1
	for i := t.slot(key); ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.n == 0 {
			break
		}
		if s.key == key {
			s.n = clamp(uint64(s.n) + uint64(weight))
			if s.n&(s.n-1) == 0 { // now and then; a heavy one soon enough
				t.name(key, s.n, name)
			}
			return
		}
	}
	miss := t.absent(key)
	if weight == 1 && miss > 0 && !t.knock(key) {
		return
	}
	if most := t.room(); t.n >= most {
		t.makeRoom(most * 3 / 4)
		miss = t.absent(key)
	}
	t.put(tallied{key, weight, t.begins(key, weight, miss)})
	if len(name) > 0 && len(t.names.list) < namesMax && t.cut == 0 { // it cannot have a name yet
		t.names.add(key, weight, name)
		return
	}
	t.name(key, weight, name)
}

// Limit has Insert keep at most so many keys (16 to TallyMax), so that the tally costs less
// to merge: the sample is smaller, and the bounds wider. From 32 requests a key on it may keep
// twice as many, and so on: what merging costs a request stays the same. Merging makes no use
// of it.
func (t *Tally) Limit(keys int) { t.limit = min(max(keys, 16), TallyMax) }

// room is how many keys Insert keeps.
func (t *Tally) room() int {
	if t.limit == 0 {
		return TallyMax
	}
	room := t.limit
	for room < TallyMax && t.total > 32*uint64(room) {
		room *= 2
	}
	return min(room, TallyMax)
}

// knock reports whether a key has knocked before.
func (t *Tally) knock(key uint32) bool {
	if t.door == nil {
		t.door = new([512]uint64)
	}
	if t.knocks%doorKnocks == 0 {
		if t.passes++; t.knocks > 0 {
			clear(t.door[:])
		}
	}
	t.knocks++
	place := key * golden >> (32 - doorBits)
	word, bit := &t.door[place>>6], uint64(1)<<(place&63)
	before := *word&bit != 0
	*word |= bit
	return before
}

// slot is where the search for a key begins: in the order of keys.
func (t *Tally) slot(key uint32) int {
	return int(uint64(key) * uint64(len(t.slots)) >> 32)
}

// find is the key's slot, or nil.
func (t *Tally) find(key uint32) *tallied {
	if t.n == 0 {
		return nil
	}
	mask := len(t.slots) - 1
	for i := t.slot(key); t.slots[i].n != 0; i = (i + 1) & mask {
		if t.slots[i].key == key {
			return &t.slots[i]
		}
	}
	return nil
}

// put adds a key that is not there, in a table that may grow.
func (t *Tally) put(c tallied) {
	if crowded(t.n+1, len(t.slots)) {
		t.grow()
	}
	mask := len(t.slots) - 1
	i := t.slot(c.key)
	for t.slots[i].n != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = c
	t.n++
}

// crowded reports whether so many keys are too many for a table. Small ones, of which there
// are tens of thousands, are filled more.
func crowded(n, slots int) bool {
	if slots <= 64 {
		return 4*n > 3*slots
	}
	return 2*n > slots
}

// grow doubles the table.
func (t *Tally) grow() {
	old := t.slots
	t.slots, t.n = make([]tallied, max(16, 2*len(old))), 0
	for _, s := range old {
		if s.n != 0 {
			t.put(s)
		}
	}
}

// priority is by how much the cut must rise to take the key.
func (c *tallied) priority() uint64 {
	r := rank(c.key)
	until := (uint64(c.n)<<32 + r - 1) / r
	return until - min(uint64(c.bar), until)
}

// Shrink drops the lightest keys until at most keep are left: less memory for wider
// bounds.
func (t *Tally) Shrink(keep int) {
	if t.n > keep {
		t.shrink(keep)
	}
}

func (t *Tally) shrink(keep int) {
	t.raise(t.rise(keep))
}

// rise is by how much the cut must rise so that at most keep are left.
func (t *Tally) rise(keep int) uint64 {
	var scratch [mergeMax + TallyMax]uint64
	all := scratch[:0]
	for i := range t.slots {
		if t.slots[i].n != 0 {
			all = append(all, t.slots[i].priority())
		}
	}
	return smallest(all, len(all)-keep)
}

// sampled is one part of the keys, those that begin with four zero bits.
const sampled = 16

// makeRoom drops keys until about keep are left. Any cut that drops enough is as true as
// another.
func (t *Tally) makeRoom(keep int) {
	before := t.n
	t.raise(t.riseAbout(keep))
	if t.n > keep+(before-keep)/2 { // crafted, or too few to go by
		t.shrink(keep)
	}
}

// riseAbout is by how much the cut must rise so that about keep are left, as a sixteenth of
// the keys has it, which stand together at the table's beginning: to find it among all costs
// more than to drop them. 0 where these are too few to go by.
func (t *Tally) riseAbout(keep int) uint64 {
	var scratch [2 * mergeMax / sampled]uint64
	some := scratch[:0]
	for i := range t.slots {
		s := &t.slots[i]
		if s.n == 0 {
			if i > len(t.slots)/sampled {
				break
			}
			continue
		}
		if s.key < math.MaxUint32/sampled && len(some) < len(scratch) {
			some = append(some, s.priority())
		}
	}
	if drop := len(some) * (t.n - keep) / t.n; drop >= 4 {
		return smallest(some, drop)
	}
	return 0
}

// smallest is the number that would stand at the place n, from 1, if all were sorted.
// It changes their order.
func smallest(all []uint64, n int) uint64 {
	low, high := 0, len(all)-1
	for high-low > 12 {
		pivot := all[low+(high-low)/2]
		i, j := low, high
		for i <= j {
			for all[i] < pivot {
				i++
			}
			for all[j] > pivot {
				j--
			}
			if i <= j {
				all[i], all[j] = all[j], all[i]
				i++
				j--
			}
		}
		switch {
		case n-1 <= j:
			high = j
		case n-1 >= i:
			low = i
		default:
			return all[n-1]
		}
	}
	slices.Sort(all[low : high+1])
	return all[n-1]
}

// raise raises the cut by so much, and drops the keys that it takes then. From a free slot on
// every key is taken out and, if it stays, put back: no later than it stood, as those before
// it can only have moved up.
func (t *Tally) raise(by uint64) {
	if by == 0 {
		return
	}
	t.cut += by
	t.level += by
	from := 0
	for from < len(t.slots) && t.slots[from].n != 0 {
		from++
	}
	t.n = 0
	t.putBack(t.slots[min(from+1, len(t.slots)):], by)
	t.putBack(t.slots[:from], by)
}

// putBack is raise for a part of the slots.
func (t *Tally) putBack(part []tallied, by uint64) {
	var at taken
	var kept [chunk]tallied
	mask := len(t.slots) - 1
	for some := range chunks(part) {
		all := at.raised(some, by, &kept)
		clear(some)
		for _, s := range all {
			i := t.slot(s.key)
			for t.slots[i].n != 0 {
				i = (i + 1) & mask
			}
			t.slots[i] = s
		}
		t.n += len(all)
	}
}

// Total is how many requests were counted.
func (t *Tally) Total() uint64 { return t.total }

// Missed is how many requests a key that is not in the table can have at most.
func (t *Tally) Missed() uint64 { return t.cut + t.passes }

// missed is as much of the cut as a key in the table was not counted through.
func (t *Tally) missed(s *tallied) uint64 { return t.cut - min(uint64(s.bar), t.cut) }

// most is how many requests a key in the table can have at most.
func (t *Tally) most(s *tallied) uint64 {
	miss := share(t.missed(s), s.key)
	if miss == 0 || share(t.level, s.key) == 0 {
		return uint64(s.n)
	}
	return uint64(s.n) + uint64(miss) + t.passes
}

// Len is how many keys are held, and whether these are all that came.
func (t *Tally) Len() (n int, all bool) { return t.n, t.cut == 0 }

// Empty reports whether nothing was counted.
func (t *Tally) Empty() bool { return t.total == 0 }

// Trim gives back the memory that the present content does not need.
func (t *Tally) Trim() {
	if spare(len(t.slots), t.n) {
		old := t.slots
		t.slots, t.n = nil, 0
		for _, s := range old {
			if s.n != 0 {
				t.put(s)
			}
		}
	}
	if t.n > 0 && t.cut == 0 {
		t.door = nil
	}
}

// Reset empties the tally and keeps its memory.
func (t *Tally) Reset() {
	if t.n > 0 {
		clear(t.slots)
	}
	if t.knocks > 0 {
		clear(t.door[:])
	}
	t.n, t.total, t.cut, t.passes, t.level, t.knocks = 0, 0, 0, 0, 0, 0
	t.names.reset()
}
