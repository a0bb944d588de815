package main

import (
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/sketch"
)

// sketches are what is measured, for one stream or a part of one.
type sketches struct {
	clients, paths   sketch.Distinct
	byClient, byPath sketch.Tally
	micros, bytes    sketch.Quantiles
}

func (s *sketches) insert(q *request, secret uint64) {
	client, path := key(q.client, secret), key(q.path, secret+1)
	s.clients.Insert(client)
	s.paths.Insert(path)
	s.byClient.Insert(client, 1, nil)
	s.byPath.Insert(path, 1, nil)
	s.micros.Insert(q.micros)
	s.bytes.Insert(q.bytes)
}

func key(id, secret uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], id)
	return xxh3.HashSeed(b[:], secret)
}

func (s *sketches) merge(o *sketches) {
	s.clients.Merge(&o.clients)
	s.paths.Merge(&o.paths)
	s.byClient.Merge(&o.byClient)
	s.byPath.Merge(&o.byPath)
	s.micros.Merge(&o.micros)
	s.bytes.Merge(&o.bytes)
}

// exact is the same by counting everything.
type exact struct {
	n                  int
	clients, paths     map[uint64]uint32
	micros, bytes      []uint64
	clientH, pathH     float64
	secret             uint64
	clientTop, pathTop map[uint32]uint32 // keys with at least 1 %, as a Tally names them
}

func newExact(secret uint64, n int) *exact {
	return &exact{secret: secret, clients: map[uint64]uint32{}, paths: map[uint64]uint32{}, micros: make([]uint64, 0, n), bytes: make([]uint64, 0, n)}
}

func (e *exact) insert(q *request) {
	e.n++
	e.clients[q.client]++
	e.paths[q.path]++
	e.micros = append(e.micros, q.micros)
	e.bytes = append(e.bytes, q.bytes)
}

func (e *exact) finish() {
	slices.Sort(e.micros)
	slices.Sort(e.bytes)
	e.clientH, e.clientTop = e.count(e.clients, e.secret)
	e.pathH, e.pathTop = e.count(e.paths, e.secret+1)
}

func (e *exact) count(counts map[uint64]uint32, secret uint64) (bits float64, top map[uint32]uint32) {
	top = map[uint32]uint32{}
	total := float64(e.n)
	for id, n := range counts {
		bits += float64(n) / total * math.Log2(total/float64(n))
		if float64(n) >= 0.01*total {
			top[uint32(key(id, secret))] = n
		}
	}
	return bits, top
}

// result is one comparison: the worst of the two keys or quantities that there are.
type result struct {
	distinct []float64 // relative errors: clients, paths
	entropy  float64   // bits
	allowed  float64   // the greater of 0.1 bit and 2 %
	heavy    int       // keys of at least 1 %
	missed   int       // of them, not found
	counts   float64   // greatest relative error of theirs
	outside  int       // keys whose true count is not within the bounds that are given
	quantile float64   // greatest relative error of p50, p95 and p99
}

func (e *exact) compare(s *sketches) (r result) {
	for _, d := range []struct {
		got  float64
		want int
	}{{s.clients.Estimate(), len(e.clients)}, {s.paths.Estimate(), len(e.paths)}} {
		r.distinct = append(r.distinct, math.Abs(d.got/float64(d.want)-1))
	}
	for _, h := range []struct {
		tally *sketch.Tally
		want  float64
		top   map[uint32]uint32
	}{{&s.byClient, e.clientH, e.clientTop}, {&s.byPath, e.pathH, e.pathTop}} {
		off, allowed := math.Abs(h.tally.Bits()-h.want), max(0.1, 0.02*h.want)
		if off/allowed >= r.entropy/max(r.allowed, 0.1) {
			r.entropy, r.allowed = off, allowed
		}
		e.compareTop(&r, h.tally, h.top)
	}
	for _, q := range []struct {
		sketch *sketch.Quantiles
		all    []uint64
	}{{&s.micros, e.micros}, {&s.bytes, e.bytes}} {
		p, got := []float64{0.5, 0.95, 0.99}, make([]float64, 3)
		q.sketch.Read(got, p)
		for i := range p {
			want := float64(q.all[int(math.Ceil(p[i]*float64(len(q.all))))-1])
			if want > 0 {
				r.quantile = max(r.quantile, math.Abs(got[i]/want-1))
			}
		}
	}
	return r
}

func (e *exact) compareTop(r *result, tally *sketch.Tally, top map[uint32]uint32) {
	found := map[uint32]sketch.Heavy{}
	for _, h := range tally.Top(nil, 0.01, 1000) {
		found[h.Key] = h
	}
	r.heavy += len(top)
	for key, n := range top {
		h, ok := found[key]
		if !ok {
			r.missed++
			continue
		}
		if uint64(n) < h.Least || uint64(n) > h.Most {
			r.outside++
		}
		r.counts = max(r.counts, math.Abs(float64(h.Least)/float64(n)-1))
	}
}

// distincts are how many distinct counts each cell rests on, about: 95 % of few are no more
// than the worst of them. Of ten million requests there are fewer, for the time they take.
func distincts(n int) int {
	if n > 1_000_000 {
		return 100
	}
	return 400
}

// counted is how many they are, of so many trials: each counts clients and paths as often.
func counted(n, trials int) int { return 2 * trials * max(distincts(n)/2/trials, 1) }

// again counts the different clients and paths of a stream once more, under another secret:
// whole, and in parts that are merged. A key that comes twice changes nothing in these
// sketches, so once each is enough.
func again(keys [2][]uint64, secret uint64, parts int) (whole, merged []float64) {
	for i, keys := range keys {
		var one, sum sketch.Distinct
		for part := range parts {
			var cut sketch.Distinct
			for _, id := range keys[len(keys)*part/parts : len(keys)*(part+1)/parts] {
				h := key(id, secret+uint64(i))
				one.Insert(h)
				cut.Insert(h)
			}
			sum.Merge(&cut)
		}
		whole = append(whole, math.Abs(one.Estimate()/float64(len(keys))-1))
		merged = append(merged, math.Abs(sum.Estimate()/float64(len(keys))-1))
	}
	return whole, merged
}

// cell is what all trials of one kind and size came to.
type cell struct {
	kind    string
	n       int
	parts   int
	trials  int
	result          // the worst of all, but for:
	p95     float64 // 95 % of the trials' distinct counts are within
	counted int     // how many these are
}

// measure runs the trials of a kind at a size: whole, and cut into parts by client, the
// parts merged in an order of their own. The same draw has the same streams and secrets.
func measure(t traffic, n, trials, parts int, draw uint64) (whole, merged cell) {
	whole = cell{kind: t.name, n: n, parts: 1, trials: trials}
	merged = cell{kind: t.name, n: n, parts: parts, trials: trials}
	for trial := range trials {
		seed := draw + uint64(n)<<16 + uint64(trial)
		secret, next := seed*0x9E3779B97F4A7C15, t.make(seed)
		e, one, cut := newExact(secret, n), new(sketches), make([]sketches, parts)
		for i := range cut { // as the panes of seconds do
			cut[i].byClient.Limit(1024)
			cut[i].byPath.Limit(1024)
		}
		for range n {
			q := next()
			e.insert(&q)
			one.insert(&q, secret)
			cut[key(q.client, 7)%uint64(parts)].insert(&q, secret)
		}
		e.finish()
		sum := new(sketches)
		for _, i := range rand.New(rand.NewPCG(seed, 5)).Perm(parts) {
			sum.merge(&cut[i])
		}
		whole.add(e.compare(one))
		merged.add(e.compare(sum))
		keys := [2][]uint64{slices.Collect(maps.Keys(e.clients)), slices.Collect(maps.Keys(e.paths))}
		for more := range counted(n, trials)/2/trials - 1 {
			a, b := again(keys, secret+2*uint64(more+1), parts)
			whole.distinct, merged.distinct = append(whole.distinct, a...), append(merged.distinct, b...)
		}
	}
	whole.p95, merged.p95 = percentile95(whole.distinct), percentile95(merged.distinct)
	whole.counted, merged.counted = len(whole.distinct), len(merged.distinct)
	return whole, merged
}

func (c *cell) add(r result) {
	c.distinct = append(c.distinct, r.distinct...)
	if c.allowed == 0 || r.entropy/r.allowed > c.entropy/c.allowed {
		c.entropy, c.allowed = r.entropy, r.allowed
	}
	c.heavy += r.heavy
	c.missed += r.missed
	c.outside += r.outside
	c.counts = max(c.counts, r.counts)
	c.quantile = max(c.quantile, r.quantile)
}

func percentile95(all []float64) float64 {
	slices.Sort(all)
	return all[int(math.Ceil(0.95*float64(len(all))))-1]
}
