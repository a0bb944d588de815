package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"strings"
)

// request is what the sketches are given of one: keys as numbers, and two quantities.
type request struct {
	client, path uint64
	micros       uint64 // how long it took
	bytes        uint64
}

// traffic is a kind of it: every call makes another generator of endless requests.
type traffic struct {
	name string
	make func(seed uint64) func() request
}

// kinds are the kinds of traffic; log may be empty, then there is no real one.
func kinds(log string) ([]traffic, error) {
	all := []traffic{{"zipf", zipf}, {"random", random}, {"mixed", mixed}}
	for _, paths := range []int{3000, 6000, 20_000} {
		all = append(all, traffic{"uniform " + thousands(paths), uniform(uint64(paths))})
	}
	if log == "" {
		return all, nil
	}
	lines, err := readLog(log)
	if err != nil {
		return nil, err
	}
	return append(all, traffic{"log", func(seed uint64) func() request { return replay(lines, seed) }}), nil
}

// power draws numbers from 0 to n-1 in proportion to 1/(1+i)^s.
func power(r *rand.Rand, s float64, n int) func() uint64 {
	sums := make([]float64, n)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -s)
		sums[i] = sum
	}
	return func() uint64 { return uint64(sort.SearchFloat64s(sums, r.Float64()*sum)) }
}

// zipf is a busy site: a few pages and clients make much of the traffic, many a little.
func zipf(seed uint64) func() request {
	r := rand.New(rand.NewPCG(seed, 1))
	clients, paths := power(r, 0.9, 300_000), power(r, 1.05, 100_000)
	return func() request {
		return request{clients(), paths(), uint64(math.Exp(10 + 1.5*r.NormFloat64())), uint64(math.Exp(9 + 2*r.NormFloat64()))}
	}
}

// random is an attack on random pages: each asked for once, from half a million clients.
func random(seed uint64) func() request {
	r := rand.New(rand.NewPCG(seed, 2))
	return func() request {
		return request{r.Uint64N(500_000), r.Uint64(), r.Uint64N(30_000_000), 146 + r.Uint64N(20)}
	}
}

// mixed is that attack upon that site.
func mixed(seed uint64) func() request {
	site, attack, r := zipf(seed), random(seed), rand.New(rand.NewPCG(seed, 3))
	return func() request {
		if r.IntN(5) < 2 {
			return site()
		}
		return attack()
	}
}

// uniform is a crawl of so many pages, each asked for as often as another: all parts have the
// same keys, and more of them than they keep.
func uniform(paths uint64) func(seed uint64) func() request {
	return func(seed uint64) func() request {
		r := rand.New(rand.NewPCG(seed, 6))
		return func() request {
			return request{r.Uint64N(50_000), r.Uint64N(paths), uint64(math.Exp(10 + 1.5*r.NormFloat64())), 4000 + r.Uint64N(60_000)}
		}
	}
}

// readLog reads client, path and size of a combined log, gzipped or not. It has no
// durations: sizes stand for them.
func readLog(name string) (lines []request, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := io.Reader(f)
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	s := bufio.NewScanner(in)
	for s.Scan() {
		quoted := strings.Split(s.Text(), `"`)
		if len(quoted) < 3 {
			continue
		}
		client, _, _ := strings.Cut(quoted[0], " ")
		target := strings.Fields(quoted[1])
		after := strings.Fields(quoted[2])
		if len(target) < 2 || len(after) < 2 {
			continue
		}
		path, _, _ := strings.Cut(target[1], "?")
		size, _ := strconv.ParseUint(after[1], 10, 64) // "-" is 0
		lines = append(lines, request{textKey(client), textKey(path), size, size})
	}
	if s.Err() == nil && len(lines) < 1000 {
		return nil, fmt.Errorf("%s: only %d lines of a combined log", name, len(lines))
	}
	return lines, s.Err()
}

// replay is the log itself, once; after that, and from another beginning for every seed,
// lines drawn from it.
func replay(lines []request, seed uint64) func() request {
	r := rand.New(rand.NewPCG(seed, 4))
	i := r.IntN(len(lines))
	n := 0
	return func() request {
		if n++; n > len(lines) {
			return lines[r.IntN(len(lines))]
		}
		i = (i + 1) % len(lines)
		return lines[i]
	}
}

// textKey is a number for a text; what it is does not matter, it is hashed again.
func textKey(s string) (h uint64) {
	h = 14695981039346656037
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
