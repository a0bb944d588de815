package detect

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestTheKnob(t *testing.T) {
	none := LimitsOf(&Tail{}, 1, 1)
	if math.Abs(none.sum-enterSum) > .05 || math.Abs(none.slow-slowEnough) > .05 || none.surge != crowdScore {
		t.Errorf("one false incident a month at one site that nothing is known of: limits %+v, want %v, %v, %v", none, enterSum, slowEnough, crowdScore)
	}
	rapid.Check(t, func(t *rapid.T) {
		var tail Tail
		for _, e := range rapid.SliceOfN(rapid.Float64Range(0, 12), 0, 200).Draw(t, "evidence") {
			tail.Learn(e)
		}
		few, many := rapid.Float64Range(.01, 1000).Draw(t, "few"), rapid.Float64Range(1, 50).Draw(t, "times")
		sites := rapid.IntRange(1, 1000).Draw(t, "sites")
		a, b := LimitsOf(&tail, few, sites), LimitsOf(&tail, few*many, sites)
		if a.sum < b.sum || a.slow < b.slow || a.scattered < b.scattered || a.surge < b.surge {
			t.Errorf("%v accepted: %+v; %v accepted: %+v: more must not raise a limit", few, a, few*many, b)
		}
		more := LimitsOf(&tail, few, sites+1)
		if more.sum < a.sum {
			t.Errorf("%d sites: %+v; one more: %+v", sites, a, more)
		}
		if a.sum < leastLimit*enterSum || a.sum > mostLimit*enterSum {
			t.Errorf("limit %v is out of bounds", a.sum)
		}
		text, err := json.Marshal(tail)
		var back Tail
		if err != nil || json.Unmarshal(text, &back) != nil || back != tail {
			t.Errorf("%+v came back as %+v", tail, back)
		}
	})
}

// TestLimitsAreCalibrated: on quiet traffic whose evidence has an exponential tail, what is
// learned in one month is exceeded in the following ones as often as was accepted.
func TestLimitsAreCalibrated(t *testing.T) {
	for _, mean := range []float64{0.6, 0.9} {
		for _, accepted := range []float64{1, 4, 20} {
			r := rand.New(rand.NewPCG(7, uint64(10*mean)))
			evidence := func() float64 {
				if r.Float64() > 0.01 { // hundreds of peaks a month
					return 0
				}
				return 2 + mean*r.ExpFloat64()
			}
			var tail Tail
			for range stepsMonth {
				tail.Learn(evidence())
			}
			limit, exceeded, since := tail.limit(accepted), 0, 0
			const months = 24
			for range months * stepsMonth {
				since++
				if evidence() > limit {
					if since > tailApart {
						exceeded++
					}
					since = 0
				}
			}
			if got := float64(exceeded) / months; got > 2*accepted || got < accepted/3 {
				t.Errorf("mean %v: %v a month accepted, limit %.2f is exceeded %.2f times a month", mean, accepted, limit, got)
			}
		}
	}
}

// TestPeaksAreNotCountedTwice: a visitor who stays over the threshold is one peak.
func TestPeaksAreNotCountedTwice(t *testing.T) {
	var tail Tail
	for _, e := range []float64{5, 0, 6, 5, 0, 0, 7} {
		tail.Learn(e)
	}
	if tail.Peaks != 1 || tail.Above != 3 {
		t.Errorf("%+v, want one peak of 3 above", tail)
	}
	for range tailApart {
		tail.Learn(0)
	}
	if tail.Learn(5); tail.Peaks != 2 || tail.Above != 4 {
		t.Errorf("%+v, want two peaks of 4 above", tail)
	}
}

// TestPoisonedLimits: whoever keeps a site near its limits lifts them by half at most.
func TestPoisonedLimits(t *testing.T) {
	var tail Tail
	for i := range stepsMonth {
		tail.Learn([]float64{0, 8.9}[i%13/12])
	}
	if l := LimitsOf(&tail, 1, 1000); l.sum > 1.5*enterSum || l.slow > 1.5*slowEnough {
		t.Errorf("limits %+v", l)
	}
}
