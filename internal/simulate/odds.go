package simulate

import (
	"math"
	"math/bits"
	"net/netip"
	"time"

	"github.com/weir-project/weir/schemas"
)

// factsOf is how many facts the oracle has of a request.
const factsOf = schemas.NumTraits + 14

// facts are hashes of what the oracle sees of a request; each is of one kind.
type facts [factsOf]uint32

// place is what is asked for, and from where, and how often ordinary traffic had each.
type place struct {
	path, wide, narrow uint64 // hashes
	asked, came        uint32
}

func (f *facts) fill(traits *[schemas.NumTraits]uint64, knows *acquaintance, x deed, p place, now time.Time) {
	n := 0
	put := func(v uint64) {
		f[n] = uint32(mix(uint64(n), v) >> 32)
		n++
	}
	for _, v := range traits {
		put(v)
	}
	bit := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	few := func(n uint16) uint64 { return uint64(bits.Len16(n)) }
	before, on := &knows.before, &knows.now
	pause := uint64(0)
	if !knows.last.IsZero() {
		pause = 1 + uint64(bits.Len64(uint64(max(now.Sub(knows.last).Seconds(), 0))))
	}
	put(p.path)
	put(uint64(bits.Len32(p.asked)))
	put(p.wide)
	put(p.narrow)
	put(uint64(bits.Len32(p.came)))
	put(few(before.pages)<<8 | few(before.assets)<<1 | bit(before.cookie))
	put(few(before.pages) << 8)
	put(few(on.pages)<<8 | bit(on.assets > 0))
	put(few(on.assets))
	put(few(on.refused)<<8 | few(on.failed))
	put(bit(on.cookie)<<2 | bit(on.follows)<<1 | bit(on.changed))
	put(bit(x.asset))
	put(pause)
	put(bit(x.cookie)<<1 | bit(x.follows))
}

// plainFacts are hashes of what a score adds up: a request's own traits, the networks that it comes from, and whether
// ordinary traffic had asked for its path.
type plainFacts [schemas.NumScored + 1]uint32

func (f *plainFacts) fill(traits *[schemas.NumTraits]uint64, client netip.Addr, asked bool) {
	for i, v := range traits {
		f[i] = uint32(mix(uint64(i), v) >> 32)
	}
	for i, t := range schemas.Networks {
		network, _ := t.NetworkOf(client)
		f[schemas.NumTraits+i] = uint32(label(network.String()) >> 32)
	}
	f[schemas.NumScored] = uint32(mix(uint64(schemas.NumScored)) >> 32)
	if asked {
		f[schemas.NumScored]++
	}
}

// each calls do with the place of each fact.
func (f *plainFacts) each(do func(at uint32)) {
	for _, x := range f {
		do(x & (oddsSize - 1))
	}
}

// odds is a logistic regression on facts and pairs of facts: the logarithm of how much likelier a request is the
// attack's.
type odds struct {
	weights, squares []float32 // by hash; the squares of past gradients (AdaGrad: Duchi, Hazan and Singer 2011)
	bias             float32
}

const (
	oddsSize   = 1 << 20
	oddsPasses = 4
	oddsRate   = .1
	oddsDecay  = 1e-5 // of a weight, a step
)

func newOdds() *odds {
	return &odds{weights: make([]float32, oddsSize), squares: make([]float32, oddsSize)}
}

// each calls do with the place of each fact and pair.
func (f *facts) each(do func(at uint32)) {
	for i, x := range f {
		do(x & (oddsSize - 1))
		for _, y := range f[:i] {
			do((x*0x9E3779B1 ^ y*0x85EBCA77 ^ (x*0xC2B2AE3D)>>15) & (oddsSize - 1))
		}
	}
}

// seer calls do with the place of each thing that is seen of a row.
type seer func(r *oracleRow, do func(at uint32))

func (o *odds) of(r *oracleRow, sees seer) float32 {
	sum := o.bias
	sees(r, func(at uint32) { sum += o.weights[at] })
	return sum
}

// learn makes the truth of a request likelier by a step.
func (o *odds) learn(r *oracleRow, sees seer) {
	want := float32(0)
	if r.attack {
		want = 1
	}
	g := 1/(1+float32(math.Exp(-float64(o.of(r, sees))))) - want
	o.bias -= oddsRate / 10 * g
	sees(r, func(at uint32) {
		d := g + oddsDecay*o.weights[at]
		o.squares[at] += d * d
		o.weights[at] -= oddsRate * d / (float32(math.Sqrt(float64(o.squares[at]))) + .1)
	})
}

// judge scores each row since the scenario began, or all of them, by what was learned of the clients of the other half.
func judge(rows []oracleRow, sees seer, before bool) {
	for side := range uint64(2) {
		o, order := newOdds(), stream(side, label("oracle"))
		var others []int
		for i := range rows {
			if rows[i].client&1 != side {
				others = append(others, i)
			}
		}
		for range oddsPasses {
			order.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
			for _, i := range others {
				o.learn(&rows[i], sees)
			}
		}
		for i := range rows {
			if r := &rows[i]; r.client&1 == side && (before || !r.ordinary) {
				r.score = o.of(r, sees)
			}
		}
	}
}
