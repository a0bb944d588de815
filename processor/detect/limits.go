package detect

import "math"

// Tail is how far quiet traffic goes of itself on one site: its evidence (see Evidence) in
// steps of ten seconds that were learned as normal, as peaks over a threshold (Pickands 1975,
// Balkema and de Haan 1974) with the exponential tail that scores of normal-like signals have.
// The zero value has seen nothing, and what is expected of any site holds.
type Tail struct {
	Steps  int     `json:"steps"`
	Peaks  int     `json:"peaks"`
	Above  float64 `json:"above"`          // by how much the peaks were over the threshold, summed
	Top    float64 `json:"top,omitempty"`  // of the peak that goes on
	Calmed int     `json:"calm,omitempty"` // steps since that was last over the threshold
}

const (
	// tailFrom is the threshold: little more than half of what opens an incident.
	tailFrom = 4.0
	// tailApart is how many steps without one part two peaks: two minutes, one visitor's stay.
	tailApart = 12
	// Before anything is seen, a site is expected to have tailPeaks peaks in tailSteps steps,
	// each over the threshold by tailAbove: with them, one false incident a month is an evidence
	// of enterSum. What is seen soon weighs more.
	tailPeaks, tailSteps, tailAbove = 1.0, 1766.0, 1.0
	// tailWeight is how many peaks of its own weigh as much as what is expected.
	tailWeight = 3.0
	stepsMonth = 30 * 24 * 360
	// maxTail is for how many steps a tail is remembered: 90 days.
	maxTail = 3 * stepsMonth
)

// Learn takes the evidence of a step of quiet traffic.
func (t *Tail) Learn(evidence float64) {
	if t.Steps++; t.Steps > maxTail {
		t.Steps, t.Peaks, t.Above = t.Steps/2, t.Peaks/2, t.Above/2
	}
	over := evidence - tailFrom
	if over <= 0 {
		if t.Calmed++; t.Calmed >= tailApart {
			t.Top = 0
		}
		return
	}
	if t.Top == 0 {
		t.Peaks++
	}
	if over > t.Top {
		t.Above += over - t.Top
		t.Top = over
	}
	t.Calmed = 0
}

// limit is the evidence that quiet traffic reaches so often a month: the threshold from which
// on no more is expected.
func (t *Tail) limit(accepted float64) float64 {
	monthly := (float64(t.Peaks) + tailPeaks) / (float64(t.Steps) + tailSteps) * stepsMonth
	mean := (t.Above + tailWeight*tailAbove) / (float64(t.Peaks) + tailWeight)
	return tailFrom + mean*math.Log(monthly/accepted)
}

// Limits are from where on a site departs from normal.
type Limits struct {
	sum       float64 // of volume and composition, see enterSum
	slow      float64 // of what departs a little for long, see slowEnough
	scattered float64 // see scatteredScore
	surge     float64 // see crowdScore
}

const (
	// A limit is at least and at most so much of what it is before anything is known: nothing
	// is an incident by one signal alone, and whoever teaches a site that it is often near its
	// limits lifts them no further.
	leastLimit, mostLimit = 0.75, 1.5
)

// LimitsOf are a site's, where so many false incidents a month are accepted over all of so
// many sites.
func LimitsOf(t *Tail, accepted float64, sites int) Limits {
	accepted = max(accepted, 1e-3) / float64(max(sites, 1))
	by := within(t.limit(accepted) / enterSum)
	return Limits{
		sum: by * enterSum, slow: by * slowEnough, scattered: max(enter, by*scatteredScore),
		surge: crowdScore * within(1-math.Log(accepted)/enterSum),
	}
}

func within(by float64) float64 { return min(max(by, leastLimit), mostLimit) }

// Evidence is how much a window speaks for an attack, whatever kind of crowd it could be
// besides: spreads of volume and of composition together, 0 where there is nothing above
// normal to speak of.
func Evidence(r *Reading, sc *Scores) float64 {
	if !enough(r, sc) || excessClients(r, sc) < minClients {
		return 0
	}
	mark := max(markScore(MissingShare, r, sc), markScore(UnknownShare, r, sc), markScore(UnfamiliarShare, r, sc), bareScore(r, sc), bareClients(r, sc, false))
	return max(volumeScore(sc), 0) + max(mark, 0)
}
