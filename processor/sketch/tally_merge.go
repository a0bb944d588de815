package sketch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Merge adds what other has counted. other is not changed.
func (t *Tally) Merge(other *Tally) {
	t.MergeCounts(other)
	for i := range other.names.list {
		t.offer(other.names.list[i].key, other.names.of(i))
	}
}

// MergeCounts is Merge without what keys are called, which costs as much again where there
// are few keys.
func (t *Tally) MergeCounts(other *Tally) {
	if other.total == 0 {
		return
	}
	before := t.cut
	t.mergeBegin(other.cut)
	if t.n == 0 && len(t.slots) == len(other.slots) && before == 0 {
		copy(t.slots, other.slots)
		t.n = other.n
	} else {
		for i := range other.slots {
			if s := &other.slots[i]; s.n != 0 {
				t.mergeKey(*s, before, other.cut)
			}
		}
	}
	t.passes += other.passes
	t.mergeEnd(before, other.cut, other.total)
}

// mergeBegin lets every key have missed what other may have dropped of it.
func (t *Tally) mergeBegin(cut uint64) {
	if cut == 0 {
		return
	}
	if cut >= math.MaxInt32 {
		for i := range t.slots {
			if s := &t.slots[i]; s.n != 0 {
				s.miss = clamp(uint64(s.miss) + uint64(share(cut, s.key)))
			}
		}
		return
	}
	for i := range t.slots { // the same for an ordinary cut, without a branch to guess
		s := &t.slots[i]
		miss := uint64(s.miss) + cut*rank(s.key)>>32
		if s.n == 0 {
			miss = 0
		}
		s.miss = clamp(miss)
	}
}

// mergeKey adds a key of other. ours is our cut before the merge, theirs the other's.
func (t *Tally) mergeKey(c tallied, ours, theirs uint64) {
	if crowded(t.n+1, len(t.slots)) {
		t.grow()
	}
	mask := len(t.slots) - 1
	i := t.slot(c.key)
	for ; t.slots[i].n != 0; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.key != c.key {
			continue
		}
		s.n = clamp(uint64(s.n) + uint64(c.n))
		if theirs != 0 || c.miss != 0 {
			s.miss = clamp(uint64(s.miss) + uint64(c.miss) - min(uint64(share(theirs, c.key)), uint64(s.miss)))
		}
		return
	}
	if ours != 0 {
		c.miss = clamp(uint64(c.miss) + uint64(share(ours, c.key)))
	}
	t.slots[i] = c
	t.n++
}

// mergeEnd makes room. The cuts add up, and so does what keys have and may have missed: but
// for rounding, no key falls below the sum that was above its own.
func (t *Tally) mergeEnd(ours, theirs, total uint64) {
	t.total += total
	t.cut = max(t.cut, ours+theirs)
	if t.n > TallyMax || t.n > tallyKeep && ours != 0 && theirs != 0 {
		t.makeRoom(TallyMax / 2)
	}
}

// The greatest numbers that a binary form may have.
const (
	maxTotal = 1 << 48
	maxCut   = 1 << 40
)

// AppendBinary appends the letter T, the version, the total, the cut, the passes of the door,
// the number of keys; for each key, in their order, twice how far it is from the one before,
// plus 1 where its count and its error follow: without, they are 1 and 0, as those of most
// keys are; the number of names, and for each the number of its key in that order, its length
// and its bytes. All numbers are varints.
func (t *Tally) AppendBinary(dst []byte) ([]byte, error) {
	var scratch [TallyMax]tallied
	all := t.sorted(scratch[:0])
	dst = append(dst, 'T', tallyVersion)
	dst = binary.AppendUvarint(dst, t.total)
	dst = binary.AppendUvarint(dst, t.cut)
	dst = binary.AppendUvarint(dst, t.passes)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	last := uint32(0)
	for i := range all {
		c := &all[i]
		step := uint64(c.key-last) << 1
		last = c.key
		if c.n == 1 && c.miss == 0 {
			dst = binary.AppendUvarint(dst, step)
			continue
		}
		dst = binary.AppendUvarint(dst, step|1)
		dst = binary.AppendUvarint(dst, uint64(c.n))
		dst = binary.AppendUvarint(dst, uint64(c.miss))
	}
	return t.names.append(dst, all), nil
}

// tallyVersion is the binary form that is written. tallyBefore, which is read as well, had 4
// bytes for each key, and a count and an error for all.
const (
	tallyVersion = 2
	tallyBefore  = 1
)

// key reads what is written of a key that follows another.
func (in *input) key(last uint32, compact bool) (c tallied) {
	if !compact {
		return tallied{key: in.word(), n: uint32(in.uint(math.MaxUint32)), miss: uint32(in.uint(math.MaxUint32))}
	}
	step := in.uint(1<<33 - 1)
	if step>>1 > uint64(math.MaxUint32-last) {
		in.fail("a key beyond the last that there can be")
	}
	c = tallied{key: last + uint32(step>>1), n: 1}
	if step&1 != 0 {
		c.n, c.miss = uint32(in.uint(math.MaxUint32)), uint32(in.uint(math.MaxUint32))
		if c.n == 1 && c.miss == 0 {
			in.fail("a key is longer than it must be")
		}
	}
	return c
}

// sorted appends the keys in their order. In the table they stand almost so.
func (t *Tally) sorted(dst []tallied) []tallied {
	for _, s := range t.slots {
		if s.n == 0 {
			continue
		}
		dst = append(dst, s)
		for i := len(dst) - 1; i > 0 && dst[i].key < dst[i-1].key; i-- {
			dst[i], dst[i-1] = dst[i-1], dst[i]
		}
	}
	return dst
}

// UnmarshalBinary replaces the content by what AppendBinary wrote. Malformed bytes are
// refused with ErrMalformed; t is then empty.
func (t *Tally) UnmarshalBinary(data []byte) error {
	t.Reset()
	err := t.MergeBinary(data)
	if err != nil {
		t.Reset()
	}
	return err
}

// MergeBinary adds what was written by AppendBinary, without allocating once t is as
// large as it will be.
func (t *Tally) MergeBinary(data []byte) error {
	in := input{what: "tally", data: data}
	compact := len(data) < 2 || data[1] != tallyBefore
	if compact {
		in.header('T', tallyVersion)
	} else {
		in.header('T', tallyBefore)
	}
	total, cut, passes, n := in.uint(maxTotal), in.uint(maxCut), in.uint(maxCut), int(in.uint(TallyMax))
	if in.bad != "" {
		return in.err()
	}
	var keys [TallyMax]uint32 // for the names
	before, sum := t.cut, uint64(0)
	t.mergeBegin(cut)
	last := uint32(0)
	for i := range n {
		c := in.key(last, compact)
		last = c.key
		if in.bad != "" {
			break
		}
		if sum += uint64(c.n); c.n == 0 || i > 0 && c.key <= keys[i-1] || sum > total {
			in.fail(fmt.Sprintf("key %d of %d is out of order, without a count, or counts more than there is", i+1, n))
			break
		}
		keys[i] = c.key
		t.mergeKey(c, before, cut)
	}
	if in.bad == "" && cut == 0 && sum != total && sum < 1<<32-1 {
		in.fail(fmt.Sprintf("%d of %d requests are counted, and none was dropped", sum, total))
	}
	t.passes += passes
	t.mergeEnd(before, cut, total)
	t.readNames(&in, keys[:n])
	return in.err()
}
