package attribute

import "math"

// confidence is one-sided, of every bound here.
const confidence = 0.95

// UpperShare is the one-sided upper 95 % bound of a share of which x in n were
// seen: Clopper and Pearson (1934), which for x = 0 is the rule of three (3/n).
// It is 1 where nothing was looked at.
func UpperShare(x, n int) float64 {
	if n <= 0 || x >= n {
		return 1
	}
	low, high := float64(x)/float64(n), 1.0
	for range 50 {
		p := (low + high) / 2
		if binomialAtMost(x, n, p) > 1-confidence {
			low = p
		} else {
			high = p
		}
	}
	return high
}

// binomialAtMost is P(X <= x) for X binomial(n, p), summed from the largest term
// down so that it costs no more terms than matter.
func binomialAtMost(x, n int, p float64) float64 {
	if p <= 0 {
		return 1
	}
	if p >= 1 {
		return 0
	}
	lx, _ := math.Lgamma(float64(x + 1))
	ly, _ := math.Lgamma(float64(n - x + 1))
	ln, _ := math.Lgamma(float64(n + 1))
	term := math.Exp(ln - lx - ly + float64(x)*math.Log(p) + float64(n-x)*math.Log1p(-p))
	sum := 0.0
	for k := x; k >= 0 && term > sum*1e-12; k-- {
		sum += term
		term *= float64(k) / float64(n-k+1) * (1 - p) / p
	}
	return sum
}

// poissonAtLeast is P(X >= x) for X Poisson with the mean.
func poissonAtLeast(x int, mean float64) float64 {
	if x <= 0 {
		return 1
	}
	if mean <= 0 {
		return 0
	}
	if float64(x) <= mean {
		return 1 // an upper bound will do: it refuses
	}
	lx, _ := math.Lgamma(float64(x + 1))
	term := math.Exp(float64(x)*math.Log(mean) - mean - lx)
	sum := 0.0
	for k := x; term > sum*1e-12; k++ {
		sum += term
		term *= mean / float64(k+1)
	}
	return min(sum, 1)
}

// poissonAtMost is P(X <= x) for X Poisson with the mean, summed from the largest term down: e to the power of less than
// -745, which no term of none at all has, is 0.
func poissonAtMost(x int, mean float64) float64 {
	switch {
	case x < 0:
		return 0
	case float64(x) >= mean:
		return 1 - poissonAtLeast(x+1, mean)
	}
	lx, _ := math.Lgamma(float64(x + 1))
	term := math.Exp(float64(x)*math.Log(mean) - mean - lx)
	sum := 0.0
	for k := x; k >= 0 && term > sum*1e-12; k-- {
		sum += term
		term *= float64(k) / mean
	}
	return min(sum, 1)
}

// LowerRiskRatio is the lower 95 % bound of (a/na)/(b/nb) by Katz's log method
// (1978), with half a count added so that b = 0 has a bound too.
func LowerRiskRatio(a, na, b, nb float64) float64 {
	if a <= 0 || na <= 0 || nb <= 0 {
		return 0
	}
	b, nb = b+0.5, nb+0.5
	variance := 1/a - 1/max(na, a) + 1/b - 1/nb
	return a / na / (b / nb) * math.Exp(-1.645*math.Sqrt(max(variance, 0)))
}

// upperCount is the upper 95 % point of a count of which so much was believed before and nothing was
// seen since: of a gamma distribution of that shape and scale one, which is the believed share's
// posterior by how many were looked at (Gelman et al., Bayesian Data Analysis, 2.6).
func upperCount(shape float64) float64 {
	if shape <= 0 {
		return 0
	}
	low, high := 0.0, shape+10*math.Sqrt(shape)+10
	for range 50 {
		if x := (low + high) / 2; gammaAtMost(shape, x) < confidence {
			low = x
		} else {
			high = x
		}
	}
	return high
}

// gammaAtMost is P(X <= x) for X gamma of the shape and scale one, by its series.
func gammaAtMost(shape, x float64) float64 {
	if x <= 0 {
		return 0
	}
	log, _ := math.Lgamma(shape + 1)
	term := math.Exp(shape*math.Log(x) - x - log)
	sum := 0.0
	for k := 1.0; term > sum*1e-12; k++ {
		sum += term
		term *= x / (shape + k)
	}
	return min(sum, 1)
}
