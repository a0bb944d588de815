package sketch

import "math"

// Heavy is a key with many requests. Its true count is between Least and Most.
type Heavy struct {
	Key         uint32 // of the hash, the lower half
	Least, Most uint64
	Name        []byte // what it is called, cut to NameMax bytes; nil where that was not kept
}

// Top appends to dst the keys that may have at least the share of all requests, the
// heaviest first, at most limit. Every key above the share is among them if the share is
// at least Missed() of them and limit does not cut it off. The names are valid until the tally
// changes.
func (t *Tally) Top(dst []Heavy, share float64, limit int) []Heavy {
	from := len(dst)
	least := max(share*float64(t.total), 1)
	if limit <= 0 {
		return dst
	}
	bound := uint64(math.Ceil(least))
	bound -= min(bound-1, t.Missed()) // a key of fewer cannot have the share, whatever it missed
	if bound > math.MaxUint32 {
		return dst
	}
	floor := order(uint32(bound-1), 0)
	for i := range t.slots {
		s := &t.slots[i]
		if order(s.n, s.key) <= floor || float64(t.most(s)) < least {
			continue
		}
		if len(dst)-from == limit {
			dst = dst[:len(dst)-1]
		}
		dst = append(dst, Heavy{Key: s.key, Least: uint64(s.n), Most: t.most(s)})
		for i := len(dst) - 1; i > from && before(&dst[i], &dst[i-1]); i-- {
			dst[i], dst[i-1] = dst[i-1], dst[i]
		}
		if len(dst)-from == limit {
			last := &dst[len(dst)-1]
			floor = max(floor, order(uint32(last.Least), last.Key))
		}
	}
	for i := from; i < len(dst); i++ {
		dst[i].Name = t.Name(dst[i].Key)
	}
	return dst
}

// Least is how many requests a key, given by its hash, has at least.
func (t *Tally) Least(hash uint64) uint64 {
	if s := t.find(uint32(hash)); s != nil {
		return uint64(s.n)
	}
	return 0
}

// order is greater where a key comes before another: it has more requests, or as many and a
// smaller hash.
func order(n, key uint32) uint64 { return uint64(n)<<32 | uint64(^key) }

func before(a, b *Heavy) bool {
	if a.Least != b.Least {
		return a.Least > b.Least
	}
	return a.Key < b.Key
}

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
			s := &some[i]
			n, bar := float64(s.n), caution*float64(s.bar)
			switch {
			case n >= bar:
				do(n, 1, true)
			case n*(1<<32) > bar*float64(rank(s.key)):
				do(n, bar/n, false)
			}
		}
	}
}

// Bits is the Shannon entropy of what was counted, the mean of log2(N/n) over its N
// requests, each of a key that has n of them: exact up to 4,096 keys; beyond that heavy
// keys are summed as they are, and for the rest of the requests stands the mean over the
// sample (a ratio estimate: its error falls as one over the root of the sample's size).
// 0 for an empty stream.
func (t *Tally) Bits() float64 {
	if t.total == 0 {
		return 0
	}
	if t.cut == 0 {
		return t.exactBits()
	}
	total := float64(t.total)
	var heavy, heavyBits, light, lightBits float64
	var few [64]struct{ heavy, light float64 } // requests of keys by their count: one logarithm for all
	t.each(func(n, keys float64, isHeavy bool) {
		switch {
		case isHeavy && n < float64(len(few)):
			few[int(n)].heavy += n
		case isHeavy:
			heavy += n
			heavyBits += n * math.Log2(total/n)
		case n < float64(len(few)):
			few[int(n)].light += keys * n
		default:
			light += keys * n
			lightBits += keys * n * math.Log2(total/n)
		}
	})
	for n := 1; n < len(few); n++ {
		if f := &few[n]; f.heavy > 0 || f.light > 0 {
			each := math.Log2(total / float64(n))
			heavy, heavyBits = heavy+f.heavy, heavyBits+f.heavy*each
			light, lightBits = light+f.light, lightBits+f.light*each
		}
	}
	rest := total - heavy
	switch {
	case rest <= 0:
	case light > 0:
		heavyBits += rest * lightBits / light
	default: // nothing is known of them but that each is light
		heavyBits += rest * math.Log2(total/min(max(1, caution*float64(t.cut)), total))
	}
	return max(0, heavyBits/total)
}

// exactBits is Bits where every key is in the table. Most keys have few requests: those of
// as many each cost one logarithm together.
func (t *Tally) exactBits() float64 {
	var few [64][4]uint32 // keys by their count; four, so that equal neighbours do not wait for each other
	total, sum := float64(t.total), 0.0
	for i := range t.slots {
		n := t.slots[i].n
		if n < uint32(len(few)) {
			few[n][i%4]++
			continue
		}
		sum += float64(n) * math.Log2(total/float64(n))
	}
	for n := 1; n < len(few); n++ {
		if keys := few[n][0] + few[n][1] + few[n][2] + few[n][3]; keys > 0 {
			sum += float64(keys) * float64(n) * math.Log2(total/float64(n))
		}
	}
	return max(0, sum/total)
}

// SourceBits is the entropy of the source that the requests are a sample of: what Bits would
// come to if the same went on for ever. Where few requests came of many possible keys, Bits
// lies far below it. The estimator is that of Chao and Shen (2003): the share of keys not
// seen yet is the share of requests whose key came once (Good 1953; Turing), and each key
// seen stands for those like it that were missed (Horvitz and Thompson 1952). 0 for an empty
// stream.
func (t *Tally) SourceBits() float64 {
	if t.total == 0 {
		return 0
	}
	total := float64(t.total)
	var heavy, light, once float64
	t.each(func(n, keys float64, isHeavy bool) {
		if isHeavy {
			heavy += n
		} else {
			light += keys * n
		}
	})
	scale := 1.0 // of the sample, so that it stands for all other requests
	if light > 0 {
		scale = (total - heavy) / light
	}
	weight := func(keys float64, isHeavy bool) float64 {
		if isHeavy {
			return keys
		}
		return keys * scale
	}
	t.each(func(n, keys float64, isHeavy bool) {
		if n == 1 {
			once += weight(keys, isHeavy)
		}
	})
	cover := max(1-once/total, 1/total)
	sum := 0.0
	t.each(func(n, keys float64, isHeavy bool) {
		p := min(cover*n/total, 1)
		if seen := -math.Expm1(total * math.Log1p(-p)); seen > 0 {
			sum -= weight(keys, isHeavy) * p * math.Log2(p) / seen
		}
	})
	return max(0, sum)
}
