package sketch

import "math"

const (
	sampleMax = 512 // distinct keys kept with their counts
	heavyMax  = 32  // counters for heavy keys outside the sample
)

// Entropy estimates the Shannon entropy, in bits, of the keys inserted.
//
// It keeps the exact counts of a uniform sample of the distinct keys (those whose
// hash has a certain number of leading zero bits, a number that grows as the
// sample fills: adaptive sampling, Wegman 1984, Flajolet 1990), and finds the heavy
// keys outside the sample by Misra and Gries' counters (1982), which are short by
// at most 1/32 of the stream. Up to 512 distinct keys it is exact. Merging is
// commutative and associative for the sample. The zero value is empty.
type Entropy struct {
	table []keyCount // open addressing, count 0 is free
	n     int
	level uint // leading zero bits that a key's hash needs to be in the sample
	total uint64
	heavy [heavyMax]keyCount
}

type keyCount struct {
	key   uint64
	count uint64
}

// Insert counts a key, given by its hash, weight times.
func (e *Entropy) Insert(hash, weight uint64) {
	e.total += weight
	e.add(hash, weight)
}

func (e *Entropy) add(hash, weight uint64) {
	if weight == 0 {
		return
	}
	if hash>>(64-e.level) != 0 { // a shift by 64 gives 0: level 0 takes all
		e.addHeavy(hash, weight)
		return
	}
	if 2*(e.n+1) > len(e.table) {
		e.grow()
		if hash>>(64-e.level) != 0 {
			e.addHeavy(hash, weight)
			return
		}
	}
	e.put(hash, weight)
}

func (e *Entropy) put(hash, weight uint64) {
	mask := uint64(len(e.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := &e.table[i]
		if slot.count == 0 {
			*slot = keyCount{hash, weight}
			e.n++
			return
		}
		if slot.key == hash {
			slot.count += weight
			return
		}
	}
}

// grow makes room: a larger table, or at the bound a higher level, which halves
// the sample; what leaves it goes to the heavy counters with its exact count.
func (e *Entropy) grow() {
	old := e.table
	if len(old) < 2*sampleMax {
		e.table, e.n = make([]keyCount, max(16, 2*len(old))), 0
		for _, slot := range old {
			if slot.count > 0 {
				e.put(slot.key, slot.count)
			}
		}
		return
	}
	e.raise(e.level + 1)
}

// raise drops from the sample what level does not take.
func (e *Entropy) raise(level uint) {
	old := append([]keyCount(nil), e.table...)
	clear(e.table)
	e.n, e.level = 0, level
	for _, slot := range old {
		switch {
		case slot.count == 0:
		case slot.key>>(64-level) != 0:
			e.addHeavy(slot.key, slot.count)
		default:
			e.put(slot.key, slot.count)
		}
	}
}

// addHeavy is Misra and Gries' step for a weighted key.
func (e *Entropy) addHeavy(hash, weight uint64) {
	free, least := -1, uint64(math.MaxUint64)
	for i := range e.heavy {
		slot := &e.heavy[i]
		if slot.count == 0 {
			free = i
			continue
		}
		if slot.key == hash {
			slot.count += weight
			return
		}
		least = min(least, slot.count)
	}
	if free >= 0 {
		e.heavy[free] = keyCount{hash, weight}
		return
	}
	cut := min(least, weight)
	for i := range e.heavy {
		e.heavy[i].count -= cut
		if e.heavy[i].count == 0 && weight > cut {
			e.heavy[i], weight = keyCount{hash, weight - cut}, cut
		}
	}
}

// Merge adds what other has counted. other is not changed.
func (e *Entropy) Merge(other *Entropy) {
	if other.level > e.level {
		if len(e.table) > 0 {
			e.raise(other.level)
		}
		e.level = other.level
	}
	e.total += other.total
	for _, slot := range other.table {
		e.add(slot.key, slot.count)
	}
	for _, slot := range other.heavy {
		if slot.count > 0 {
			e.addHeavy(slot.key, slot.count)
		}
	}
}

// Bits is the estimated entropy, 0 for an empty stream. Each key of count n out
// of N contributes log2(N/n) per request; heavy keys are summed as they are, the
// rest of the stream by the mean over the sample's light keys (a ratio estimate).
func (e *Entropy) Bits() float64 {
	if e.total == 0 {
		return 0
	}
	total := float64(e.total)
	limit := uint64(0)
	if e.level > 0 {
		limit = e.total / heavyMax // lighter than this the counters say nothing
	}
	var heavyMass, heavyBits, lightMass, lightBits float64
	count := func(slot keyCount, heavy bool) {
		n := float64(slot.count)
		if heavy {
			heavyMass += n
			heavyBits += n * math.Log2(total/n)
			return
		}
		lightMass += n
		lightBits += n * math.Log2(total/n)
	}
	for _, slot := range e.table {
		if slot.count > 0 {
			count(slot, e.level > 0 && slot.count > limit)
		}
	}
	for _, slot := range e.heavy {
		if slot.count > limit && e.level > 0 {
			count(slot, true)
		}
	}
	rest := total - heavyMass
	if lightMass > 0 && rest > 0 {
		heavyBits += rest * lightBits / lightMass
	}
	return heavyBits / total
}

// Total is how many requests were counted.
func (e *Entropy) Total() uint64 { return e.total }

// Reset empties the estimate and keeps its memory.
func (e *Entropy) Reset() {
	clear(e.table)
	e.n, e.level, e.total = 0, 0, 0
	e.heavy = [heavyMax]keyCount{}
}
