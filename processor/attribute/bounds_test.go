package attribute

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestUpperShare compares with published Clopper-Pearson one-sided 95 % limits.
func TestUpperShare(t *testing.T) {
	for _, c := range []struct {
		x, n int
		want float64
	}{
		{0, 10, 0.2589}, {0, 100, 0.0295}, {0, 600, 0.00498}, {1, 10, 0.3942}, {5, 100, 0.1023}, {10, 20, 0.6980},
		{0, 0, 1}, {7, 7, 1},
	} {
		if got := UpperShare(c.x, c.n); math.Abs(got-c.want) > 0.0002 {
			t.Errorf("UpperShare(%d, %d) = %.5f, want %.4f", c.x, c.n, got, c.want)
		}
	}
}

func TestUpperShareGrowsWithWhatWasSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5000).Draw(t, "n")
		x := rapid.IntRange(0, n-1).Draw(t, "x")
		u := UpperShare(x, n)
		if u <= float64(x)/float64(n) || u > 1 || UpperShare(x+1, n) < u {
			t.Fatalf("UpperShare(%d, %d) = %v, next %v", x, n, u, UpperShare(x+1, n))
		}
	})
}

// TestUpperCount compares with quantiles of the chi-squared distribution of twice the shape in
// degrees of freedom, halved, and with the exponential's.
func TestUpperCount(t *testing.T) {
	for _, c := range []struct{ shape, want float64 }{{0, 0}, {0.5, 1.9207}, {1, 2.9957}, {2, 4.7439}, {5, 9.1535}, {50, 62.171}} {
		if got := upperCount(c.shape); math.Abs(got-c.want) > 0.001*max(c.want, 1) {
			t.Errorf("upperCount(%v) = %.4f, want %.4f", c.shape, got, c.want)
		}
	}
}

func TestPoissonAtLeast(t *testing.T) {
	for _, c := range []struct {
		x          int
		mean, want float64
	}{{0, 3, 1}, {1, 0.1, 0.09516}, {4, 0.5, 0.001752}, {3, 0, 0}, {2, 5, 1}} {
		if got := poissonAtLeast(c.x, c.mean); math.Abs(got-c.want) > 1e-4 {
			t.Errorf("poissonAtLeast(%d, %v) = %v, want %v", c.x, c.mean, got, c.want)
		}
	}
}

// TestPoissonAtMost compares with sums of all terms by their logarithms, of which the first is too small for a float64 in
// those above 745.
func TestPoissonAtMost(t *testing.T) {
	for _, c := range []struct {
		x          int
		mean, want float64
	}{
		{-1, 3, 0}, {0, 0, 1}, {0, 3, 0.049787}, {2, 3, 0.423190}, {5, 3, 0.916082}, {700, 745, 0.050416}, {900, 1000, 0.000698},
		{1000, 1000, 0.508409}, {1100, 1000, 0.999132}, {5000, 5200, 0.002699}, {1 << 40, 3, 1},
	} {
		if got := poissonAtMost(c.x, c.mean); !(math.Abs(got-c.want) < 2e-6) {
			t.Errorf("poissonAtMost(%d, %v) = %.6f, want %.6f", c.x, c.mean, got, c.want)
		}
	}
}

func TestLowerRiskRatio(t *testing.T) {
	if r := LowerRiskRatio(50, 100, 1, 1000); r < 50 || r > 350 {
		t.Errorf("half against a thousandth: %v", r)
	}
	if r := LowerRiskRatio(5, 100, 50, 1000); r > 1 {
		t.Errorf("equal shares: %v, want below 1", r)
	}
	if r := LowerRiskRatio(0, 100, 5, 100); r != 0 {
		t.Errorf("nothing seen: %v", r)
	}
}
