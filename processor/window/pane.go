package window

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/weir-project/weir/processor/sketch"
)

// Key names what a pane tells requests apart by.
type Key int

// The keys. Their names are what a caller inserts them with.
const (
	ByClient  Key = iota // an address: 16 bytes, IPv4 mapped
	ByPrefix             // the /24 or /48 it is in: 16 bytes, and its length in bits
	ByPath               // without the query
	ByAgent              // the User-Agent
	ByReferer            // where the format carries it
	NumKeys   = int(ByReferer) + 1
)

// Pane is what a site's requests of some time were: one second of one partition, or a
// merge of such. Panes of different seconds, and of partitions that have no client in
// common, merge in any order. The zero value is empty. Not for concurrent use.
type Pane struct {
	Counts   Counts
	Clients  sketch.Distinct
	Paths    sketch.Distinct
	Marked   [NumMarks]sketch.Distinct // clients
	Pages    sketch.Distinct           // paths of what is no asset
	Tallies  [NumKeys]sketch.Tally
	Duration sketch.Quantiles // microseconds, where the format carries it
	Size     sketch.Quantiles // bytes of the answer's body
}

// Merge adds what other has counted. other is not changed.
func (p *Pane) Merge(other *Pane) {
	p.mergeDistinct(other)
	for i := range p.Tallies {
		p.Tallies[i].Merge(&other.Tallies[i])
	}
	p.Duration.Merge(&other.Duration)
	p.Size.Merge(&other.Size)
}

// mergeCounts is Merge without what keys are called.
func (p *Pane) mergeCounts(other *Pane) {
	p.mergeDistinct(other)
	for i := range p.Tallies {
		p.Tallies[i].MergeCounts(&other.Tallies[i])
	}
	p.Duration.Merge(&other.Duration)
	p.Size.Merge(&other.Size)
}

func (p *Pane) mergeDistinct(other *Pane) {
	p.Counts.Add(&other.Counts)
	p.Clients.Merge(&other.Clients)
	p.Paths.Merge(&other.Paths)
	p.Pages.Merge(&other.Pages)
	for i := range p.Marked {
		p.Marked[i].Merge(&other.Marked[i])
	}
}

// SecondKeys is how many keys of a kind are kept while one second is counted: all of them
// where there are no more, beyond that the heavy ones and a sample.
const SecondKeys = 1024

// Limit makes the pane one of a second.
func (p *Pane) Limit() {
	for i := range p.Tallies {
		p.Tallies[i].Limit(SecondKeys)
	}
}

// Empty reports whether no request was counted.
func (p *Pane) Empty() bool { return p.Counts[Requests] == 0 }

// Reset empties the pane and keeps its memory.
func (p *Pane) Reset() {
	p.Counts = Counts{}
	p.each(func(_ int, s part) bool { s.Reset(); return true })
}

// Recycle empties the pane and keeps the memory that its content needed: what a busy
// site's second has left behind goes when a quiet one's second did not need it.
func (p *Pane) Recycle() {
	p.Counts = Counts{}
	p.each(func(_ int, s part) bool { s.Trim(); s.Reset(); return true })
}

// part is one sketch of a pane.
type part interface {
	AppendBinary([]byte) ([]byte, error)
	MergeBinary([]byte) error
	Empty() bool
	Reset()
	Trim()
}

// parts is how many sketches a pane has.
const parts = 2 + NumMarks + NumKeys + 3

// each calls do with the pane's sketches, numbered as in the binary form, until it
// returns false.
func (p *Pane) each(do func(number int, s part) bool) {
	if !do(0, &p.Clients) || !do(1, &p.Paths) || !do(2, &p.Duration) || !do(3, &p.Size) {
		return
	}
	for i := range p.Marked {
		if !do(4+i, &p.Marked[i]) {
			return
		}
	}
	for i := range p.Tallies {
		if !do(4+NumMarks+i, &p.Tallies[i]) {
			return
		}
	}
	do(4+NumMarks+NumKeys, &p.Pages)
}

// ErrMalformed is wrapped by every error about bytes that are no pane.
var ErrMalformed = errors.New("malformed pane")

// paneVersion is the binary form that this program writes and reads.
const paneVersion = 2

// maxCount bounds a counter of a binary form.
const maxCount = 1 << 48

// AppendBinary appends the letter P, the version, the number of counters and each of
// them; the set of sketches that are not empty, one bit each from the lowest: clients,
// paths, duration, size, the marks, the keys, the pages; and for each its length and its own binary
// form. All numbers are varints.
func (p *Pane) AppendBinary(dst []byte) ([]byte, error) { return p.appendForm(dst, 0) }

// appendForm does so without some sketches, a bit each.
func (p *Pane) appendForm(dst []byte, without uint64) ([]byte, error) {
	dst = append(dst, 'P', paneVersion, byte(NumCounts))
	for _, n := range p.Counts {
		dst = binary.AppendUvarint(dst, n)
	}
	set := uint64(0)
	p.each(func(number int, s part) bool {
		if !s.Empty() {
			set |= 1 << number
		}
		return true
	})
	set &^= without
	dst = binary.AppendUvarint(dst, set)
	var failed error
	p.each(func(number int, s part) bool {
		if set>>number&1 == 0 {
			return true
		}
		at := len(dst)
		dst = append(dst, 0, 0, 0) // a length of 3 bytes, whatever it is
		dst, failed = s.AppendBinary(dst)
		n := len(dst) - at - 3
		dst[at], dst[at+1], dst[at+2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
		return failed == nil
	})
	return dst, failed
}

// UnmarshalBinary replaces the content by what AppendBinary wrote. Anything else is
// refused with an error that wraps ErrMalformed; the pane is then empty.
func (p *Pane) UnmarshalBinary(data []byte) error {
	p.Reset()
	err := p.MergeBinary(data)
	if err != nil {
		p.Reset()
	}
	return err
}

// readCounts reads what a binary form begins with, and returns what follows it.
func readCounts(data []byte) (counts Counts, rest []byte, err error) {
	if len(data) < 3 || data[0] != 'P' {
		return counts, nil, fmt.Errorf("%d bytes that do not begin like a pane: %w", len(data), ErrMalformed)
	}
	if data[1] != paneVersion || data[2] != byte(NumCounts) {
		return counts, nil, fmt.Errorf("a pane of version %d with %d counters, this program knows %d with %d: %w", data[1], data[2], paneVersion, NumCounts, ErrMalformed)
	}
	data = data[3:]
	for i := range counts {
		v, n := binary.Uvarint(data)
		if n <= 0 || v > maxCount {
			return counts, nil, fmt.Errorf("counter %d of a pane is cut short or too large: %w", i, ErrMalformed)
		}
		counts[i], data = v, data[n:]
	}
	return counts, data, nil
}

// MergeBinary adds what was written by AppendBinary, as Merge would, without allocating
// once p is as large as it will be. Where it fails it may have merged a part.
func (p *Pane) MergeBinary(data []byte) error {
	counts, data, err := readCounts(data)
	if err != nil {
		return err
	}
	set, n := binary.Uvarint(data)
	if n <= 0 || set>>parts != 0 {
		return fmt.Errorf("a pane with sketches that this program does not know: %w", ErrMalformed)
	}
	data = data[n:]
	var failed error
	p.each(func(number int, s part) bool {
		if set>>number&1 == 0 {
			return true
		}
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			failed = fmt.Errorf("sketch %d of a pane is cut short: %w", number, ErrMalformed)
			return false
		}
		if err := s.MergeBinary(data[n : n+int(size)]); err != nil {
			failed = fmt.Errorf("sketch %d of a pane: %w: %w", number, ErrMalformed, err)
			return false
		}
		data = data[n+int(size):]
		return true
	})
	switch {
	case failed != nil:
		return failed
	case len(data) > 0:
		return fmt.Errorf("%d bytes follow a pane: %w", len(data), ErrMalformed)
	}
	p.Counts.Add(&counts)
	return nil
}
