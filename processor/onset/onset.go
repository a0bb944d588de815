// Package onset finds, in a log that holds an attack, when it began and ended.
//
// Detection asks of each moment whether it departs from what was learned before;
// here nothing was learned and a person says that there is an attack, so the
// whole log is at hand and the question is which stretch of it departs most from
// the rest: a temporal scan statistic (Kulldorff, "A spatial scan statistic",
// Communications in Statistics 26(6), 1997), made robust against the
// overdispersion of web traffic.
package onset

import (
	"cmp"
	"math"
	"slices"
)

// MaxBins bounds the number of bins that Scan is meant for: it costs a quadratic
// number of steps.
const MaxBins = 4096

// Span is a run of bins [From, To) that departs from the others.
type Span struct {
	From, To int
	// Score is the log-likelihood ratio of the run having a rate of its own,
	// divided by the overdispersion, summed over the series.
	Score float64
	// Inside and Outside are the mean of the first series in a bin of the run and
	// in a bin outside of it.
	Inside, Outside float64
}

// Limits of what counts as a departure.
const (
	minBins  = 3    // shorter than that is one person's burst
	minRatio = 1.4  // inside against outside, or it is a day's curve
	minScore = 25.0 // far above what the maximum over all spans reaches by chance
	beside   = 24   // bins before and after its start that must differ: a day's curve rises slowly
)

// Scan finds the span in which the series, each a count per bin and all of one
// length, are most above the rest of their own log. At most half of the bins can
// be the span: what is there most of the time is the normal. It reports false
// where nothing departs.
func Scan(series ...[]float64) (Span, bool) {
	if len(series) == 0 || len(series[0]) < 2*minBins {
		return Span{}, false
	}
	n := len(series[0])
	sums := make([][]float64, len(series))
	spread := make([]float64, len(series))
	for k, counts := range series {
		sums[k] = make([]float64, n+1)
		for i, c := range counts {
			sums[k][i+1] = sums[k][i] + c
		}
		spread[k] = dispersion(counts)
	}
	best := Span{}
	for from := beside; from < n; from++ {
		if !rises(sums, from) {
			continue
		}
		for to := from + minBins; to <= n && to-from <= n/2; to++ {
			share := float64(to-from) / float64(n)
			score := 0.0
			for k := range sums {
				score += excess(sums[k][to]-sums[k][from], sums[k][n], share) / spread[k]
			}
			if score > best.Score {
				best = Span{From: from, To: to, Score: score}
			}
		}
	}
	if best.Score < minScore {
		return Span{}, false
	}
	inside := sums[0][best.To] - sums[0][best.From]
	best.Inside = inside / float64(best.To-best.From)
	best.Outside = (sums[0][n] - inside) / float64(n-best.To+best.From)
	return best, best.Inside >= minRatio*best.Outside
}

// rises reports whether some series steps up at bin from, against the bins just
// before it.
func rises(sums [][]float64, from int) bool {
	n := len(sums[0]) - 1
	before, after := max(0, from-beside), min(n, from+beside)
	for _, sum := range sums {
		left := (sum[from] - sum[before]) / float64(from-before)
		right := (sum[after] - sum[from]) / float64(after-from)
		if right > 0 && right >= minRatio*left {
			return true
		}
	}
	return false
}

// excess is the log-likelihood ratio that c of total events fall into a span
// that holds the given share of the time, 0 where they are not more than that.
func excess(c, total, share float64) float64 {
	expected := total * share
	if c <= expected || total == 0 {
		return 0
	}
	ratio := c * math.Log(c/expected)
	if rest := total - c; rest > 0 {
		ratio += rest * math.Log(rest/(total-expected))
	}
	return ratio
}

// dispersion estimates variance to mean from successive differences, the largest
// twentieth of them left out, so that neither a shift of level nor the attack
// itself counts (von Neumann, "Distribution of the ratio of the mean square
// successive difference to the variance", 1941). At least 1, as for Poisson.
func dispersion(counts []float64) float64 {
	squares := make([]float64, 0, len(counts))
	total := 0.0
	for i, c := range counts {
		total += c
		if i > 0 {
			d := c - counts[i-1]
			squares = append(squares, d*d)
		}
	}
	slices.SortFunc(squares, cmp.Compare[float64])
	squares = squares[:len(squares)-len(squares)/20]
	sum := 0.0
	for _, s := range squares {
		sum += s
	}
	mean := total / float64(len(counts))
	if mean == 0 || len(squares) == 0 {
		return 1
	}
	return max(1, sum/float64(len(squares))/2/mean)
}
