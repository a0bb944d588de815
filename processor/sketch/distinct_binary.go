package sketch

import (
	"encoding/binary"
	"fmt"
)

// AppendBinary appends version 2 of the form of github.com/axiomhq/hyperloglog: 4 bytes
// (2, precision, 0, 1 for sparse), then for the sparse form an empty set, the number of
// keys, the last, the bytes of the list (all 4 bytes, most significant first), and the
// list: the sorted keys' differences as varints; for the dense form the number of
// registers and the registers.
func (d *Distinct) AppendBinary(dst []byte) ([]byte, error) {
	if d.dense {
		dst = append(dst, 2, precision, 0, 0)
		dst = binary.BigEndian.AppendUint32(dst, registers)
		return append(dst, d.regs[:]...), nil
	}
	var scratch [sparseMax]uint32
	keys := d.sorted(scratch[:0])
	dst = append(dst, 2, precision, 0, 1, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(keys)))
	last := uint32(0)
	if len(keys) > 0 {
		last = keys[len(keys)-1]
	}
	dst = binary.BigEndian.AppendUint32(dst, last)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	last = 0
	for _, key := range keys {
		dst = binary.AppendUvarint(dst, uint64(key-last))
		last = key
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

// sorted appends the sparse keys in their order. In the table they stand almost so:
// those that do not wander by a few places, a rare one to the end.
func (d *Distinct) sorted(dst []uint32) []uint32 {
	for _, key := range d.keys {
		if key == 0 {
			continue
		}
		dst = append(dst, key)
		for i := len(dst) - 1; i > 0 && dst[i] < dst[i-1]; i-- {
			dst[i], dst[i-1] = dst[i-1], dst[i]
		}
	}
	return dst
}

// UnmarshalBinary replaces the content by what AppendBinary, or axiomhq/hyperloglog at
// precision 14, wrote. Malformed bytes are refused with ErrMalformed; d is then empty.
func (d *Distinct) UnmarshalBinary(data []byte) error {
	d.Reset()
	err := d.MergeBinary(data)
	if err != nil {
		d.Reset()
	}
	return err
}

// MergeBinary adds what was written by AppendBinary, without allocating once d is as
// large as it will be.
func (d *Distinct) MergeBinary(data []byte) error {
	in := input{what: "distinct count", data: data}
	if len(data) < 8 || data[0] != 2 || data[1] != precision || data[2] != 0 || data[3] > 1 {
		in.fail(fmt.Sprintf("%d bytes that do not begin like one of version 2 and precision %d", len(data), precision))
		return in.err()
	}
	length := binary.BigEndian.Uint32(data[4:])
	in.data = data[8:]
	if data[3] == 1 {
		return d.mergeSparse(&in, length)
	}
	if length != registers || len(in.data) != registers {
		in.fail(fmt.Sprintf("%d registers in %d bytes, want %d", length, len(in.data), registers))
		return in.err()
	}
	regs := in.bytes(registers)
	if !atMost(regs, maxRho) {
		in.fail(fmt.Sprintf("a register is greater than %d", maxRho))
		return in.err()
	}
	if !d.dense {
		d.toDense()
	}
	maxBytes(d.regs[:], regs)
	return nil
}

// mergeSparse reads the sparse form: a set of keys in any order, and a sorted list.
func (d *Distinct) mergeSparse(in *input, unsorted uint32) error {
	if unsorted > registers {
		in.fail("too many keys")
	}
	for range unsorted {
		key := in.bytes(4)
		if key == nil {
			break
		}
		d.take(in, binary.BigEndian.Uint32(key))
	}
	head := in.bytes(12)
	if head == nil {
		return in.err()
	}
	count, last, size := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if int(size) != len(in.data) || count > size {
		in.fail(fmt.Sprintf("a list of %d keys in %d bytes, of which %d are here", count, size, len(in.data)))
	}
	key := uint64(0)
	for i := range count {
		step := in.uint(1<<32 - 1)
		if key += step; key>>32 != 0 || i > 0 && step == 0 {
			in.fail("the keys do not ascend")
		}
		d.take(in, uint32(key))
		if in.bad != "" {
			break
		}
	}
	if uint32(key) != last {
		in.fail("the last key is another")
	}
	return in.err()
}

// take adds a sparse key that came from outside.
func (d *Distinct) take(in *input, key uint32) {
	if in.bad != "" {
		return
	}
	place, rho := register(key)
	if key == 0 || rho > maxRho || key&1 == 0 && (key>>26 != 0 || rho > sparsePP-precision) || key&1 == 1 && (rho <= sparsePP-precision || key>>7&(1<<(sparsePP-precision)-1) != 0) {
		in.fail(fmt.Sprintf("%#08x is no key", key))
		return
	}
	if d.dense {
		d.raise(place, rho)
		return
	}
	d.insertKey(key)
}
