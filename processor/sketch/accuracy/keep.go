package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// kept is a cell as it is written to a file, so that what was measured need not be again.
type kept struct {
	Draw     uint64  `json:"draw"`
	Kind     string  `json:"kind"`
	N        int     `json:"requests"`
	Parts    int     `json:"parts"`
	Trials   int     `json:"trials"`
	Distinct int     `json:"distinct"` // counts behind P95
	P95      float64 `json:"p95"`
	Entropy  float64 `json:"entropy"`
	Allowed  float64 `json:"allowed"`
	Heavy    int     `json:"heavy"`
	Missed   int     `json:"missed"`
	Outside  int     `json:"outside"`
	Counts   float64 `json:"counts"`
	Quantile float64 `json:"quantile"`
}

func (c *cell) keep(draw uint64) kept {
	return kept{draw, c.kind, c.n, c.parts, c.trials, c.counted, c.p95, c.entropy, c.allowed, c.heavy, c.missed, c.outside, c.counts, c.quantile}
}

func (k *kept) cell() cell {
	return cell{
		kind: k.Kind, n: k.N, parts: k.Parts, trials: k.Trials, counted: k.Distinct, p95: k.P95,
		result: result{
			entropy: k.Entropy, allowed: k.Allowed, heavy: k.Heavy, missed: k.Missed, outside: k.Outside,
			counts: k.Counts, quantile: k.Quantile,
		},
	}
}

// store is the cells of a file, which grows by one line for each pair: whole, and in parts.
// Without a name it keeps nothing.
type store struct {
	name  string
	pairs [][2]kept
}

func openStore(name string) (*store, error) {
	s := &store{name: name}
	if name == "" {
		return s, nil
	}
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := json.NewDecoder(file); ; {
		var pair [2]kept
		switch err := lines.Decode(&pair); {
		case err == io.EOF:
			return s, nil
		case err != nil:
			return nil, fmt.Errorf("%s: after %d cells: %w; remove what is cut short", name, len(s.pairs), err)
		}
		s.pairs = append(s.pairs, pair)
	}
}

// find is what was measured of a kind at a size, if it was with so many trials and parts.
func (s *store) find(kind string, n, trials, parts int) (whole, merged cell, ok bool) {
	for i := range s.pairs {
		if w, m := &s.pairs[i][0], &s.pairs[i][1]; w.Kind == kind && w.N == n && w.Trials == trials && m.Parts == parts && w.Distinct == counted(n, trials) {
			return w.cell(), m.cell(), true
		}
	}
	return whole, merged, false
}

// drawn is the number to draw by: that of what is kept, or the wanted one, or a new one.
func (s *store) drawn(want uint64) (uint64, error) {
	if len(s.pairs) > 0 {
		was := s.pairs[0][0].Draw
		if want != 0 && want != was {
			return 0, fmt.Errorf("%s was drawn by %d, not by %d; name another file", s.name, was, want)
		}
		return was, nil
	}
	if want == 0 {
		want = rand.Uint64()
	}
	return want, nil
}

func (s *store) add(whole, merged *cell, draw uint64) error {
	if s.name == "" {
		return nil
	}
	line, err := json.Marshal([2]kept{whole.keep(draw), merged.keep(draw)})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(s.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
