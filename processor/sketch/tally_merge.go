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
	if t.n == 0 && len(t.slots) == len(other.slots) {
		copy(t.slots, other.slots)
		t.n = other.n
	} else {
		t.mergeKeys(other.slots)
	}
	t.mergeEnd(tallyHead{total: other.total, cut: other.cut, passes: other.passes, level: other.level})
}

// mergeKeys adds the keys of another's table.
func (t *Tally) mergeKeys(from []tallied) {
	if len(t.slots) == 0 {
		t.grow()
	}
	if len(from) <= fewKeys {
		for i := range from {
			if from[i].n != 0 {
				t.mergeKey(from[i])
			}
		}
		return
	}
	var at taken
	for some := range chunks(from) {
		there := at.of(some)
		t.mergeSome(some, there)
	}
}

// mergeSome is mergeKey of a chunk's keys, one after the other without a look at the table between them while it has
// room for all.
func (t *Tally) mergeSome(some []tallied, there []uint8) {
	for crowded(t.n+len(there), len(t.slots)) {
		if len(there) == 0 {
			return
		}
		t.mergeKey(some[there[0]])
		there = there[1:]
	}
	slots, n := t.slots, t.n
	for _, i := range there {
		n += mergeInto(slots, some[i])
	}
	t.n = n
}

// mergeAll adds keys, of which none is free. Unlike mergeKeys it leaves them on the stack.
func (t *Tally) mergeAll(from []tallied) {
	if len(t.slots) == 0 {
		t.grow()
	}
	for i := range from {
		t.mergeKey(from[i])
	}
}

// mergeKey adds to a key that is there, or to the zeros of the free slot where it would be.
func (t *Tally) mergeKey(c tallied) {
	if t.n += mergeInto(t.slots, c); crowded(t.n, len(t.slots)) {
		t.grow()
	}
}

// mergeInto adds to a key's slot, or to the zeros of the free one where it would be, and says how many of these it took.
func mergeInto(slots []tallied, c tallied) int {
	for i := int(uint64(c.key) * uint64(len(slots)) >> 32); ; i++ {
		s := &slots[i&(len(slots)-1)]
		free, other := 0, s.key^c.key
		if s.n == 0 {
			free, other = 1, 0
		}
		if other != 0 {
			continue
		}
		s.key = c.key
		s.n = clamp(uint64(s.n) + uint64(c.n))
		s.bar = clamp(uint64(s.bar) + uint64(c.bar))
		return free
	}
}

// mergeEnd adds the rest of another, and makes room.
func (t *Tally) mergeEnd(h tallyHead) {
	t.total += h.total
	t.cut += h.cut
	t.passes += h.passes
	t.level = max(t.level, h.level)
	if t.n > mergeMax {
		t.makeRoom(TallyMax)
	}
}

// The greatest numbers that a binary form may have.
const (
	maxTotal = 1 << 48
	maxCut   = 1 << 40
)

// AppendBinary appends the letter T, the version, the total, the cut, what the level lacks of
// it, the passes of the door, the number of keys; for each key, in their order, twice how far it is from the one before,
// plus 1 where its count follows, and what its bar lacks of the cut: without, they are 1 and
// 0, as those of most keys are; the number of names, and for each the number of its key in
// that order, its length and its bytes. All numbers are varints. Of more than 4,096 keys,
// which there can be after merging, the lightest are left out, as Shrink does.
func (t *Tally) AppendBinary(dst []byte) ([]byte, error) {
	if t.n <= fewKeys { // most tallies: to clear room for all takes longer
		var scratch [fewKeys]tallied
		return t.appendKeys(dst, t.sorted(scratch[:0], 0), 0), nil
	}
	var scratch [TallyMax]tallied
	by := uint64(0)
	if t.n > TallyMax {
		by = t.riseAbout(tallyKeep)
	}
	all := t.sorted(scratch[:0], by)
	if len(all) > TallyMax { // crafted
		by = t.rise(tallyKeep)
		all = t.sorted(scratch[:0], by)
	}
	return t.appendKeys(dst, all, by), nil
}

// fewKeys are as many as need no large room.
const fewKeys = 64

// appendKeys appends the form, of the keys that a cut higher by so much leaves.
func (t *Tally) appendKeys(dst []byte, all []tallied, by uint64) []byte {
	cut := t.cut + by
	dst = append(dst, 'T', tallyVersion)
	dst = binary.AppendUvarint(dst, t.total)
	dst = binary.AppendUvarint(dst, cut)
	dst = binary.AppendUvarint(dst, t.cut-t.level)
	dst = binary.AppendUvarint(dst, t.passes)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	last := uint32(0)
	for i := range all {
		c := &all[i]
		step := uint64(c.key-last) << 1
		last = c.key
		lacks := cut - min(uint64(c.bar), cut)
		if c.n == 1 && lacks == 0 {
			dst = binary.AppendUvarint(dst, step)
			continue
		}
		dst = binary.AppendUvarint(dst, step|1)
		dst = binary.AppendUvarint(dst, uint64(c.n))
		dst = binary.AppendUvarint(dst, lacks)
	}
	return t.names.append(dst, all)
}

// tallyVersion is the binary form that is written. Those before are read as well: in the third
// was no level, in the second stood how many requests a key may have missed, and in the first
// 4 bytes for each key, and a count and an error for all.
const (
	tallyVersion = 4
	tallyPlain   = 3
	tallyWide    = 1
)

// key reads what is written of a key that follows another, in a tally of a cut.
func (in *input) key(version byte, last uint32, cut uint64) (c tallied) {
	c.n = 1
	lacks, long := uint64(0), true
	if version == tallyWide {
		c.key = in.word()
	} else {
		step := in.uint(1<<33 - 1)
		if step>>1 > uint64(math.MaxUint32-last) {
			in.fail("a key beyond the last that there can be")
		}
		c.key, long = last+uint32(step>>1), step&1 != 0
	}
	if long {
		c.n, lacks = uint32(in.uint(math.MaxUint32)), in.uint(maxCut)
		if c.n == 1 && lacks == 0 && version != tallyWide {
			in.fail("a key is longer than it must be")
		}
	}
	if version < tallyPlain { // in requests
		r := rank(c.key)
		lacks = min((min(lacks, math.MaxUint32)<<32+r-1)/r, cut)
	}
	if lacks > cut {
		in.fail("a key that may have missed more than others")
		return c
	}
	c.bar = clamp(cut - lacks)
	return c
}

// sorted appends the keys in their order, but for those that a cut higher by so much takes.
// In the table they stand almost so.
func (t *Tally) sorted(dst []tallied, by uint64) []tallied {
	if by == 0 {
		dst = t.appendTaken(dst)
	} else {
		dst = t.appendRaised(dst, by)
	}
	for k := 1; k < len(dst); k++ {
		for i := k; i > 0 && dst[i].key < dst[i-1].key; i-- {
			dst[i], dst[i-1] = dst[i-1], dst[i]
		}
	}
	return dst
}

func (t *Tally) appendTaken(dst []tallied) []tallied {
	if len(t.slots) <= fewKeys {
		for i := range t.slots {
			if t.slots[i].n != 0 {
				dst = append(dst, t.slots[i])
			}
		}
		return dst
	}
	var at taken
	for some := range chunks(t.slots) {
		for _, i := range at.of(some) {
			dst = append(dst, some[i])
		}
	}
	return dst
}

func (t *Tally) appendRaised(dst []tallied, by uint64) []tallied {
	var at taken
	var kept [chunk]tallied
	for some := range chunks(t.slots) {
		dst = append(dst, at.raised(some, by, &kept)...)
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
	version := byte(tallyVersion)
	if len(data) > 1 && data[1] >= tallyWide && data[1] < tallyVersion {
		version = data[1]
	}
	in.header('T', version)
	h := in.tallyHead(version)
	n := int(in.uint(TallyMax))
	if in.bad != "" {
		return in.err()
	}
	if n <= fewKeys {
		var keys [fewKeys]uint32 // for the names
		return t.mergeForm(&in, h, keys[:n])
	}
	var keys [TallyMax]uint32
	return t.mergeForm(&in, h, keys[:n])
}

// tallyHead is what a binary form says of the whole.
type tallyHead struct {
	version                   byte
	total, cut, passes, level uint64
}

// tallyHead reads it. The cut is a level too: as high as one can be.
func (in *input) tallyHead(version byte) tallyHead {
	h := tallyHead{version: version, total: in.uint(maxTotal), cut: in.uint(maxCut)}
	h.level = h.cut
	if version >= tallyVersion {
		h.level -= in.uint(h.cut)
	}
	h.passes = in.uint(maxCut)
	return h
}

// mergeForm adds as many keys as there is room for, which it takes for the names.
func (t *Tally) mergeForm(in *input, h tallyHead, keys []uint32) error {
	sum := uint64(0)
	last := uint32(0)
	var read [64]tallied // merged at once
	some := read[:0]
	for i := range keys {
		c := in.key(h.version, last, h.cut)
		last = c.key
		if in.bad != "" {
			break
		}
		if sum += uint64(c.n); c.n == 0 || i > 0 && c.key <= keys[i-1] || sum > h.total {
			in.fail(fmt.Sprintf("key %d of %d is out of order, without a count, or counts more than there is", i+1, len(keys)))
			break
		}
		keys[i] = c.key
		if some = append(some, c); len(some) == len(read) {
			t.mergeAll(some)
			some = some[:0]
		}
	}
	t.mergeAll(some)
	if in.bad == "" && h.cut == 0 && sum != h.total && sum < 1<<32-1 {
		in.fail(fmt.Sprintf("%d of %d requests are counted, and none was dropped", sum, h.total))
	}
	t.mergeEnd(h)
	t.readNames(in, keys)
	return in.err()
}
