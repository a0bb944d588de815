package sketch

import (
	"encoding/binary"
	"fmt"
)

// AppendWithin appends which of base's keys d has, a bit for each in their order, lowest first.
// It reports false, and appends nothing, where d has others, or where there are too many to
// be listed. What a site's clients did is so told in an eighth of a byte a client.
func (d *Distinct) AppendWithin(dst []byte, base *Distinct) ([]byte, bool) {
	if d.dense || base.dense || d.n > base.n {
		return dst, false
	}
	var some, all [sparseMax]uint32
	keys, at := d.sorted(some[:0]), len(dst)
	var bits byte
	for i, key := range base.sorted(all[:0]) {
		if len(keys) > 0 && keys[0] == key {
			bits |= 1 << (i & 7)
			keys = keys[1:]
		}
		if i&7 == 7 || i == base.n-1 {
			dst, bits = append(dst, bits), 0
		}
	}
	if len(keys) > 0 {
		return dst[:at], false
	}
	return dst, true
}

// MergeWithin adds those keys of a binary form, of the sparse kind, for which AppendWithin
// wrote a bit at the beginning of bits, and returns the rest of bits.
func (d *Distinct) MergeWithin(base, bits []byte) (rest []byte, err error) {
	in := input{what: "distinct count within another", data: base}
	if len(base) < 20 || base[0] != 2 || base[1] != precision || base[3] != 1 || binary.BigEndian.Uint32(base[4:]) != 0 {
		in.fail("the other is no list")
		return nil, in.err()
	}
	count := int(binary.BigEndian.Uint32(base[8:]))
	size := (count + 7) / 8
	if count > sparseMax || size > len(bits) {
		in.fail(fmt.Sprintf("%d keys for %d bytes", count, len(bits)))
		return nil, in.err()
	}
	in.data = base[20:]
	key := uint64(0)
	for i := range count {
		key += in.uint(1<<32 - 1)
		if in.bad == "" && bits[i/8]>>(i&7)&1 == 1 {
			d.take(&in, uint32(key))
		}
	}
	return bits[size:], in.err()
}
