package sketch

import "math"

// doubt is how many standard errors of the sure estimate the other may be away from it. Chosen
// by measured error, over some hundred streams in 1 to 64 parts: of fewer the error of the sure
// one shows where it stands on few keys, of more that of the other where many keys that come once
// stand beside thousands that all parts have.
const doubt = 0.75

// Bits is the Shannon entropy of what was counted, the mean of log2(N/n) over its N
// requests, each of a key that has n of them: exact while all keys are in the table. Beyond
// that it is estimated twice, by all keys as likely as they have requests, and by those that
// cannot have missed much. The first is much the nearer, unless parts were merged that have
// keys in common, each of which a part counted only for a while: thousands of paths, each
// asked for as often, alone or beside random ones. There the second is the nearer, and knows about how far
// off it is by chance. So the first is taken, as far as the second does not contradict it. 0 for an empty stream.
func (t *Tally) Bits() float64 {
	switch {
	case t.total == 0:
		return 0
	case t.cut == 0:
		return t.exactBits()
	}
	bits, sure := t.estimates()
	if of, off, ok := sure.bits(); ok {
		bits = min(max(bits, of-doubt*off), of+doubt*off)
	}
	return bits
}

// estimates are both, by one pass over the keys.
func (t *Tally) estimates() (proportional float64, s sure) {
	p := proportion{total: float64(t.total)}
	s = t.newSure()
	var at taken
	for some := range chunks(t.slots) {
		there := at.of(some)
		p.add(some, there)
		s.add(t, some, there)
	}
	return p.bits(t), s
}

// proportional is the first of them.
func (t *Tally) proportional() float64 {
	p := proportion{total: float64(t.total)}
	var at taken
	for some := range chunks(t.slots) {
		p.add(some, at.of(some))
	}
	return p.bits(t)
}

// proportion is the estimate by each: heavy keys are summed as they are, and for the rest of the
// requests stands the mean over the sample (a ratio estimate: its error falls as one over the
// root of the sample's size).
type proportion struct {
	total            float64
	heavy, heavyBits float64
	light, lightBits float64
	few              [64]struct{ heavy, light float64 } // requests of keys by their count: one logarithm for all
}

// add takes a chunk's keys.
func (p *proportion) add(some []tallied, there []uint8) {
	for _, i := range there {
		n, keys, heavy := stands(&some[i])
		few := n < float64(len(p.few))
		switch {
		case keys == 0:
		case heavy && few:
			p.few[int(n)].heavy += n
		case heavy:
			p.heavy += n
			p.heavyBits += n * math.Log2(p.total/n)
		case few:
			p.few[int(n)].light += keys * n
		default:
			p.light += keys * n
			p.lightBits += keys * n * math.Log2(p.total/n)
		}
	}
}

// bits is the estimate, of what all keys were added to.
func (p *proportion) bits(t *Tally) float64 {
	for n := 1; n < len(p.few); n++ {
		if f := &p.few[n]; f.heavy > 0 || f.light > 0 {
			each := math.Log2(p.total / float64(n))
			p.heavy, p.heavyBits = p.heavy+f.heavy, p.heavyBits+f.heavy*each
			p.light, p.lightBits = p.light+f.light, p.lightBits+f.light*each
		}
	}
	sum, rest := p.heavyBits, p.total-p.heavy
	switch {
	case rest <= 0:
	case p.light > 0:
		sum += rest * p.lightBits / p.light
	default: // nothing is known of them but that each is light
		sum += rest * math.Log2(p.total/min(max(1, caution*float64(t.cut)), p.total))
	}
	return max(0, sum/p.total)
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
// seen stands for those like it that were missed (Horvitz and Thompson 1952). What it adds to
// plain counting is of the same keys as that. 0 for an empty stream.
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
	return max(0, sum+t.Bits()-t.proportional())
}
