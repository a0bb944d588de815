package sketch

import "math"

// caution is by how much a key must exceed its bar to be in the sample: nearer to it stand
// counts that were begun late, which are too low. Chosen by measured error, whole and in 64
// parts, of 10^5 to 10^7 requests: below 1.5 the error comes of that, above 2 of how few keys
// are left.
const caution = 1.75

// each gives every key that the sample stands on: its count, and how many keys of such a
// count it stands for, which is 1 for the heavy. A key is taken for one of those whose
// requests came while it was counted: with n of them it is in the table where its rank is
// below n/bar, which is one key in bar/n. Of keys whose other requests were missed this
// makes too many with too few requests each; of keys that had no others, as a client in
// parts that have no client in common, it is right, and holding their n against the whole
// cut would leave of them a fraction of the sample.
func (t *Tally) each(do func(n, keys float64, heavy bool)) {
	var at taken
	for some := range chunks(t.slots) {
		for _, i := range at.of(some) {
			if n, keys, heavy := stands(&some[i]); keys > 0 {
				do(n, keys, heavy)
			}
		}
	}
}

// stands is a key's count and how many keys of such a count it stands for, none where it is not
// of the sample.
func stands(s *tallied) (n, keys float64, heavy bool) {
	n, bar := float64(s.n), caution*float64(s.bar)
	switch {
	case n >= bar:
		return n, 1, true
	case n*(1<<32) > bar*float64(rank(s.key)):
		return n, bar / n, false
	}
	return n, 0, false
}

const (
	// surely is for how many times what it may have missed a key must be counted to be taken
	// as sure. Chosen by measured error, with doubt: of fewer the lost counts show, of more too
	// few keys are left.
	surely = 4
	// heavily is for how many times that it must be counted to be there whatever its rank: few
	// such keys, of which one was drawn and another not, would be most of the error.
	heavily = 2
	// sureLeast is from how many sampled keys on an estimate says how far off it is.
	sureLeast = 16
)

// sure is the entropy by those keys alone that cannot have missed much, however the parts that
// were merged had them in common: the sample of low rank, counted exactly, and of the others
// those whose count, if they are of a rank that low, is four times what all parts together
// can have dropped of them. With n requests a key is one of these where its rank is below
// n/(4*cut), whatever its bar says, and with 2*cut always; n is what was counted and half of what may have been
// missed, as a key that is asked for all the time and was dropped once did miss something. So it
// has little bias, but fewer keys where no two parts have one in common.
type sure struct {
	ratio
	low, high uint64     // rank of the sample that is counted exactly; rank for each request
	always    uint64     // count of keys that are there whatever their rank
	few       [64]uint32 // keys by their count
}

func (t *Tally) newSure() sure {
	return sure{
		ratio: ratio{total: float64(t.total)},
		low:   math.MaxUint32 / max(t.level, 1), high: (1 << 32) / (surely * t.cut),
		always: heavily * t.cut,
	}
}

// highest is the highest rank with which a key of n requests is one of these.
func (r *sure) highest(n uint32) uint64 {
	if uint64(n) >= r.always {
		return 1 << 32
	}
	return max(r.low, uint64(n)*r.high)
}

// add takes a chunk's keys, of the tally.
func (r *sure) add(t *Tally, some []tallied, there []uint8) {
	for _, i := range there {
		s := &some[i]
		n := s.n
		if rank(s.key) > r.low {
			n = clamp(uint64(n) + uint64(share(t.missed(s), s.key)/2))
		}
		last := r.highest(n)
		if rank(s.key) > last {
			continue
		}
		if n < uint32(len(r.few)) {
			r.few[n]++
			continue
		}
		r.ratio.add(n, 1, last)
	}
}

// bits is the estimate, of what all keys were added to. off is the standard error, by the spread among
// the sample; ok is false where that is too small to know.
func (r *sure) bits() (bits, off float64, ok bool) {
	for n, keys := range r.few {
		if keys > 0 {
			r.ratio.add(uint32(n), keys, r.highest(uint32(n)))
		}
	}
	if r.keys < sureLeast {
		return 0, 0, false
	}
	bits, off = r.ratio.bits()
	return bits, off, true
}

// ratio is an estimate of the entropy by keys that were drawn independently of each other.
type ratio struct {
	total                 float64 // requests of all keys
	keys                  float64 // that were drawn
	heavy, heavyBits      float64 // requests of keys that are surely there
	light, lightBits      float64 // of those drawn, as many as they stand for
	square, cross, spread float64 // the sums that its variance is made of
}

// add takes so many keys of n requests each, which are there because their ranks are no higher
// than the last.
func (r *ratio) add(n, keys uint32, last uint64) {
	requests, each := float64(keys)*float64(n), math.Log2(r.total/float64(n))
	if last == 1<<32 {
		r.heavy, r.heavyBits = r.heavy+requests, r.heavyBits+requests*each
		return
	}
	chance := float64(last) / (1 << 32)
	light := requests / chance
	r.keys += float64(keys)
	r.light, r.lightBits = r.light+light, r.lightBits+light*each
	v := (1 - chance) / chance * float64(n) * light
	r.square, r.cross, r.spread = r.square+v, r.cross+v*each, r.spread+v*each*each
}

// bits is the estimate and its standard error (Sarndal, Swensson and Wretman 1992, the ratio
// estimator under Poisson sampling).
func (r *ratio) bits() (bits, off float64) {
	mean := r.lightBits / r.light
	rest := max(0, r.total-r.heavy)
	variance := r.spread - 2*mean*r.cross + mean*mean*r.square
	return max(0, (r.heavyBits+rest*mean)/r.total), rest / r.total * math.Sqrt(max(0, variance)) / r.light
}
