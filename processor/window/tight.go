package window

import (
	"encoding/binary"
	"fmt"

	"github.com/weir-project/weir/processor/sketch"
)

// The tight form of a pane is for memory alone: that of AppendBinary, where what is part of
// something else is told as such. Marked clients are among the clients, pages among the paths:
// while these are few enough to be listed, a bit for each says which.
//
//	which sketches are told so, a bit each; the length of their bits, a varint; the bits;
//	the binary form of the pane without them

// pagesBit is the pages' bit; those below are the marks'.
const pagesBit = NumMarks

// within are the sketches that may be told as part of another, by their bits.
func (p *Pane) within(bit int) (part, base *sketch.Distinct) {
	if bit == pagesBit {
		return &p.Pages, &p.Paths
	}
	return &p.Marked[bit], &p.Clients
}

// appendTight appends the tight form.
func (p *Pane) appendTight(dst []byte) ([]byte, error) {
	head := len(dst)
	dst = append(dst, 0, 0, 0, 0) // which, and a length of 3 bytes, whatever it is
	told, without := byte(0), uint64(0)
	for bit := range pagesBit + 1 {
		part, base := p.within(bit)
		if part.Empty() {
			continue
		}
		var ok bool
		if dst, ok = part.AppendWithin(dst, base); ok {
			told |= 1 << bit
			without |= 1 << partNumber(bit)
		}
	}
	n := len(dst) - head - 4
	dst[head], dst[head+1], dst[head+2], dst[head+3] = told, byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
	return p.appendForm(dst, without)
}

// partNumber is the number, in the binary form, of the sketch of a bit.
func partNumber(bit int) int {
	if bit == pagesBit {
		return 4 + NumMarks + NumKeys
	}
	return 4 + bit
}

// loosen parts a tight form into its parts.
func loosen(data []byte) (told byte, bits, form []byte, err error) {
	if len(data) < 4 {
		return 0, nil, nil, fmt.Errorf("%d bytes of a tight pane: %w", len(data), ErrMalformed)
	}
	size, n := binary.Uvarint(data[1:4])
	if n <= 0 || size > uint64(len(data)-1-n) || data[0]>>(pagesBit+1) != 0 {
		return 0, nil, nil, fmt.Errorf("the head of a tight pane: %w", ErrMalformed)
	}
	return data[0], data[1+n : 1+n+int(size)], data[1+n+int(size):], nil
}

// mergeTight adds what appendTight wrote.
func (p *Pane) mergeTight(data []byte) error {
	told, bits, form, err := loosen(data)
	if err != nil {
		return err
	}
	if told != 0 {
		clients, paths, err := bases(form)
		if err != nil {
			return err
		}
		for bit := range pagesBit + 1 {
			if told>>bit&1 == 0 {
				continue
			}
			base := clients
			if bit == pagesBit {
				base = paths
			}
			part, _ := p.within(bit)
			if bits, err = part.MergeWithin(base, bits); err != nil {
				return fmt.Errorf("sketch %d of a tight pane: %w: %w", partNumber(bit), ErrMalformed, err)
			}
		}
	}
	if len(bits) > 0 {
		return fmt.Errorf("%d bytes follow the bits of a tight pane: %w", len(bits), ErrMalformed)
	}
	return p.MergeBinary(form)
}

// bases are the clients' and the paths' forms in that of a pane: its first two.
func bases(form []byte) (clients, paths []byte, err error) {
	_, data, err := readCounts(form)
	if err != nil {
		return nil, nil, err
	}
	set, n := binary.Uvarint(data)
	if n <= 0 {
		return nil, nil, fmt.Errorf("a tight pane is cut short: %w", ErrMalformed)
	}
	data = data[n:]
	for number, to := range []*[]byte{&clients, &paths} {
		if set>>number&1 == 0 {
			continue
		}
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return nil, nil, fmt.Errorf("a tight pane is cut short: %w", ErrMalformed)
		}
		*to, data = data[n:n+int(size)], data[n+int(size):]
	}
	return clients, paths, nil
}
