package sketch

import (
	"fmt"

	"github.com/axiomhq/hyperloglog"
)

const (
	// exactMax is how many distinct keys a Distinct holds exactly. An ordinary
	// site's second stays far below it, and the exact set costs less than a
	// sparse HyperLogLog.
	exactMax = 256
	// precision of the HyperLogLog: 2^14 registers, 0.8 % standard error.
	precision = 14
)

// Distinct estimates how many distinct keys were inserted: exactly up to 256,
// beyond that by HyperLogLog (Flajolet et al., 2007; Heule et al., 2013) with
// 0.8 % standard error in 16 KiB. Merging is commutative, associative and
// idempotent. The zero value is empty. Not for concurrent use.
type Distinct struct {
	set   []uint64 // open addressing, 0 is free
	n     int
	zero  bool // the key 0 was inserted
	dense bool
	hll   *hyperloglog.Sketch // kept over Reset
}

// Insert adds a key by its hash.
func (d *Distinct) Insert(hash uint64) {
	if d.dense {
		d.hll.InsertHash(hash)
		return
	}
	if hash == 0 {
		d.zero = true
		return
	}
	if 2*(d.n+1) > len(d.set) && !d.grow() {
		d.hll.InsertHash(hash)
		return
	}
	mask := uint64(len(d.set) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch d.set[i] {
		case hash:
			return
		case 0:
			d.set[i] = hash
			d.n++
			return
		}
	}
}

// grow doubles the exact set, or turns to the HyperLogLog and reports false.
func (d *Distinct) grow() bool {
	if d.n >= exactMax {
		d.toDense()
		return false
	}
	old := d.set
	d.set = make([]uint64, max(16, 2*len(old)))
	mask := uint64(len(d.set) - 1)
	for _, hash := range old {
		if hash == 0 {
			continue
		}
		i := hash & mask
		for d.set[i] != 0 {
			i = (i + 1) & mask
		}
		d.set[i] = hash
	}
	return true
}

func (d *Distinct) toDense() {
	if d.hll == nil {
		// The only error is about the precision, which is a valid constant.
		d.hll, _ = hyperloglog.NewSketch(precision, false)
	}
	d.dense = true
	for _, hash := range d.set {
		if hash != 0 {
			d.hll.InsertHash(hash)
		}
	}
	if d.zero {
		d.hll.InsertHash(0)
	}
}

// Merge adds what other has seen. other is not changed.
func (d *Distinct) Merge(other *Distinct) error {
	if other.dense {
		if !d.dense {
			d.toDense()
		}
		if err := d.hll.Merge(other.hll); err != nil {
			return fmt.Errorf("merge distinct counts: %w", err)
		}
		return nil
	}
	if other.zero {
		d.Insert(0)
	}
	for _, hash := range other.set {
		if hash != 0 {
			d.Insert(hash)
		}
	}
	return nil
}

// Estimate is the number of distinct keys. It costs some 400 microseconds where
// there are more than 256: once a window, never once a request.
func (d *Distinct) Estimate() float64 {
	if d.dense {
		return float64(d.hll.Estimate())
	}
	if d.zero {
		return float64(d.n + 1)
	}
	return float64(d.n)
}

// Reset empties the count and keeps its memory.
func (d *Distinct) Reset() {
	if d.dense {
		d.hll.Reset()
	}
	clear(d.set)
	d.n, d.zero, d.dense = 0, false, false
}
