package sketch

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

const (
	perOctave   = 64   // bins from a value to its double
	maxBins     = 2048 // in all
	maxQuantity = 1<<37 - 1
)

// Quantiles estimates the quantiles of whole numbers, such as microseconds or bytes, with
// a relative error of at most 1/128 = 0.78 %, and exactly below 128: a DDSketch (Masson,
// Rim and Lee 2019) with the logarithm interpolated linearly between powers of two, which
// for whole numbers is a shift. Values from 2^37 on (38 hours; 128 GiB) count as 2^37-1.
//
// github.com/DataDog/sketches-go is not used: an Add there takes 40 ns, and its binary form cannot be merged without allocating a sketch.
//
// Merging adds counts: commutative and associative to the byte; not idempotent. The zero
// value is empty; 16 KiB a sketch at most, 128 bytes while it has 8 different values.
type Quantiles struct {
	bins  []bin // open addressing, near the order of values
	n     int
	total uint64
}

// bin is how often values of one bin came; 0 is a free slot. Bin 0 is at index 1.
type bin struct{ index, n uint32 }

// binOf is the number of a value's bin: the value itself below 128, then 64 for each
// doubling.
func binOf(value uint64) uint32 {
	value = min(value, maxQuantity)
	if value < 2*perOctave {
		return uint32(value)
	}
	shift := bits.Len64(value) - 7
	return uint32(shift*perOctave) + uint32(value>>shift)
}

// middle is the value that a bin stands for.
func middle(index uint32) float64 {
	if index < 2*perOctave {
		return float64(index)
	}
	shift := index/perOctave - 1
	low := uint64(index-shift*perOctave) << shift
	return float64(low) + float64(uint64(1)<<shift-1)/2
}

// Insert counts a value.
func (q *Quantiles) Insert(value uint64) { q.add(binOf(value), 1) }

// InsertWeighted counts a value so many times.
func (q *Quantiles) InsertWeighted(value uint64, weight uint32) { q.add(binOf(value), weight) }

func (q *Quantiles) add(index, n uint32) {
	q.total += uint64(n)
	if len(q.bins) == 0 {
		q.bins = make([]bin, 16)
	}
	mask := len(q.bins) - 1
	for i := int(index) * len(q.bins) / maxBins; ; i = (i + 1) & mask {
		b := &q.bins[i]
		if b.n == 0 {
			if 2*(q.n+1) > len(q.bins) && len(q.bins) < maxBins {
				q.grow()
				q.total -= uint64(n)
				q.add(index, n)
				return
			}
			*b = bin{index, n}
			q.n++
			return
		}
		if b.index == index {
			b.n = clamp(uint64(b.n) + uint64(n))
			return
		}
	}
}

// grow doubles the table. At 2,048 every bin has its own slot.
func (q *Quantiles) grow() {
	old, total := q.bins, q.total
	q.bins, q.n = make([]bin, 2*len(old)), 0
	for _, b := range old {
		if b.n != 0 {
			q.add(b.index, b.n)
		}
	}
	q.total = total
}

// Merge adds what other has counted. other is not changed.
func (q *Quantiles) Merge(other *Quantiles) {
	if other.n == 0 {
		return
	}
	if q.n == 0 && len(q.bins) == len(other.bins) {
		copy(q.bins, other.bins)
		q.n, q.total = other.n, other.total
		return
	}
	if len(q.bins) == 0 {
		q.bins = make([]bin, 16)
	}
	q.total += other.total
	if len(other.bins) <= fewKeys {
		for _, b := range other.bins {
			if b.n != 0 {
				q.mergeBin(b)
			}
		}
		return
	}
	var at taken
	for from := other.bins; len(from) > 0; {
		some := from[:min(chunk, len(from))]
		for _, i := range at.ofBins(some) {
			q.mergeBin(some[i])
		}
		from = from[len(some):]
	}
}

// mergeBin adds to a bin that is there, or to the zeros of the free slot where it would be.
// The total is not changed.
func (q *Quantiles) mergeBin(b bin) {
	bins := q.bins
	for i := int(b.index) * len(bins) / maxBins; ; i++ {
		to := &bins[i&(len(bins)-1)]
		free, other := 0, to.index^b.index
		if to.n == 0 {
			free, other = 1, 0
		}
		if other != 0 {
			continue
		}
		to.index, to.n = b.index, clamp(uint64(to.n)+uint64(b.n))
		if q.n += free; 2*q.n > len(bins) && len(bins) < maxBins {
			q.grow()
		}
		return
	}
}

// Total is how many values were counted.
func (q *Quantiles) Total() uint64 { return q.total }

// Empty reports whether nothing was counted.
func (q *Quantiles) Empty() bool { return q.total == 0 }

// Read sets each of out to the quantile that p at its place asks for: the least value that
// at least that share of all values do not exceed. p ascends from 0 to 1. NaN where
// nothing was counted.
func (q *Quantiles) Read(out, p []float64) {
	var scratch [maxBins]bin
	all := q.sorted(scratch[:0])
	at, below := 0, uint64(0)
	for i := range p {
		if len(all) == 0 {
			out[i] = math.NaN()
			continue
		}
		rank := uint64(max(1, math.Ceil(p[i]*float64(q.total))))
		for at < len(all)-1 && below+uint64(all[at].n) < rank {
			below += uint64(all[at].n)
			at++
		}
		out[i] = middle(all[at].index)
	}
}

// sorted appends the bins in their order. In the table they stand almost so.
func (q *Quantiles) sorted(dst []bin) []bin {
	for _, b := range q.bins {
		if b.n == 0 {
			continue
		}
		dst = append(dst, b)
		for i := len(dst) - 1; i > 0 && dst[i].index < dst[i-1].index; i-- {
			dst[i], dst[i-1] = dst[i-1], dst[i]
		}
	}
	return dst
}

// Trim gives back the memory that the present content does not need.
func (q *Quantiles) Trim() {
	if spare(len(q.bins), q.n) {
		old, total := q.bins, q.total
		q.bins, q.n = nil, 0
		for _, b := range old {
			if b.n != 0 {
				q.add(b.index, b.n)
			}
		}
		q.total = total
	}
}

// Reset empties the sketch and keeps its memory.
func (q *Quantiles) Reset() {
	if q.n > 0 {
		clear(q.bins)
	}
	q.n, q.total = 0, 0
}

// AppendBinary appends the letter Q, the version, the number of bins, and for each in
// their order twice how far it is from the one before, plus 1 where its count follows, which
// is 1 else: varints.
func (q *Quantiles) AppendBinary(dst []byte) ([]byte, error) {
	if q.n <= fewKeys {
		var scratch [fewKeys]bin
		return appendBins(dst, q.sorted(scratch[:0])), nil
	}
	var scratch [maxBins]bin
	return appendBins(dst, q.sorted(scratch[:0])), nil
}

// quantilesVersion is the binary form that is written. The one before, which is read as well,
// had the count of every bin.
const (
	quantilesVersion = 2
	quantilesBefore  = 1
)

func appendBins(dst []byte, all []bin) []byte {
	dst = append(dst, 'Q', quantilesVersion)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	last := uint32(0)
	for _, b := range all {
		step := uint64(b.index-last) << 1
		last = b.index
		if b.n == 1 {
			dst = binary.AppendUvarint(dst, step)
			continue
		}
		dst = binary.AppendUvarint(dst, step|1)
		dst = binary.AppendUvarint(dst, uint64(b.n))
	}
	return dst
}

// UnmarshalBinary replaces the content by what AppendBinary wrote. Malformed bytes are
// refused with ErrMalformed; q is then empty.
func (q *Quantiles) UnmarshalBinary(data []byte) error {
	q.Reset()
	err := q.MergeBinary(data)
	if err != nil {
		q.Reset()
	}
	return err
}

// MergeBinary adds what was written by AppendBinary, without allocating once q is as
// large as it will be.
func (q *Quantiles) MergeBinary(data []byte) error {
	in := input{what: "quantiles", data: data}
	before := len(data) > 1 && data[1] == quantilesBefore
	if before {
		in.header('Q', quantilesBefore)
	} else {
		in.header('Q', quantilesVersion)
	}
	index := uint64(0)
	for i := range in.uint(maxBins) {
		step, n := in.uint(2*maxBins+1), uint64(1)
		switch {
		case before:
			n = in.uint(math.MaxUint32)
		case step&1 != 0:
			if n = in.uint(math.MaxUint32); n == 1 {
				in.fail("a bin is longer than it must be")
			}
		}
		if !before {
			step >>= 1
		}
		index += step
		if in.bad == "" && (i > 0 && step == 0 || index >= maxBins || n == 0) {
			in.fail(fmt.Sprintf("bin %d with %d values after %d others", index, n, i))
		}
		if in.bad != "" {
			break
		}
		q.add(uint32(index), uint32(n))
	}
	return in.err()
}
