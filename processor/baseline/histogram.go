package baseline

import "github.com/weir-project/weir/processor/state"

const (
	bins = 128
	// maxWeight is when a histogram forgets half of what it holds: 30 days of
	// 10-second windows, so that the site of last year is not what is normal.
	maxWeight = 30 * 24 * 360
)

// histogram counts values of 0 up to width*bins in equal bins; what lies beyond is
// in the last. Quantiles are interpolated within a bin.
type histogram struct {
	counts []uint32 // of the bins from first on: a signal uses few of all
	first  int32
	n      uint32
}

// at is the count of a bin, which is made room for where there is none.
func (h *histogram) at(i int) *uint32 {
	if at := i - int(h.first); at >= 0 && at < len(h.counts) {
		return &h.counts[at]
	}
	from, to := i, i+1
	if len(h.counts) > 0 {
		from, to = min(from, int(h.first)), max(to, int(h.first)+len(h.counts))
	}
	counts := make([]uint32, to-from)
	copy(counts[max(int(h.first)-from, 0):], h.counts)
	h.counts, h.first = counts, int32(from)
	return &counts[i-from]
}

func (h *histogram) add(v, width float64) {
	*h.at(min(max(int(v/width), 0), bins-1))++
	if h.n++; h.n < maxWeight {
		return
	}
	h.scaleDown(2)
}

// fade forgets nearly all, and keeps a memory of the shape.
func (h *histogram) fade() { h.scaleDown(8) }

func (h *histogram) scaleDown(by uint32) {
	h.n = 0
	for i := range h.counts {
		h.counts[i] /= by
		h.n += h.counts[i]
	}
}

// quantile is 0 for an empty histogram.
func (h *histogram) quantile(q, width float64) float64 {
	target, below := q*float64(h.n), 0.0
	for i, c := range h.counts {
		if c > 0 && below+float64(c) >= target {
			return (float64(int(h.first)+i) + (target-below)/float64(c)) * width
		}
		below += float64(c)
	}
	return 0
}

// spread is one standard deviation around the centre, by MAD and by the upper quantiles,
// whichever says more.
func (h *histogram) spread(centre, width float64) float64 {
	spread := 1.4826 * h.deviation(centre, width)
	if h.n >= 100 {
		spread = max(spread, (h.quantile(0.99, width)-centre)/2.326)
	}
	if h.n >= 1000 {
		spread = max(spread, (h.quantile(0.999, width)-centre)/3.09)
	}
	return spread
}

// deviation is the median distance from the centre: MAD, found by walking outwards
// from it on both sides.
func (h *histogram) deviation(centre, width float64) float64 {
	low, high := 0.0, width*bins
	for range 16 {
		d := (low + high) / 2
		if 2*h.within(centre-d, centre+d, width) < float64(h.n) {
			low = d
		} else {
			high = d
		}
	}
	return high
}

// within is how many values lie between, spread evenly over their bins.
func (h *histogram) within(from, to, width float64) (n float64) {
	for i, c := range h.counts {
		if c == 0 {
			continue
		}
		left, right := float64(int(h.first)+i)*width, float64(int(h.first)+i+1)*width
		if part := min(right, to) - max(left, from); part > 0 {
			n += float64(c) * part / width
		}
	}
	return n
}

func (h *histogram) write(w *state.Writer) {
	used := 0
	for _, c := range h.counts {
		if c > 0 {
			used++
		}
	}
	w.Uint(uint64(used))
	for i, c := range h.counts {
		if c > 0 {
			w.Uint(uint64(int(h.first) + i))
			w.Uint(uint64(c))
		}
	}
}

func (h *histogram) read(r *state.Reader) {
	*h = histogram{}
	for range r.Count(bins) {
		i := r.Uint(bins - 1)
		c := r.Uint(maxWeight)
		*h.at(int(i)) = uint32(c)
		if h.n += uint32(c); h.n > maxWeight {
			r.Fail("a histogram of more than %d windows", maxWeight)
			return
		}
	}
}
