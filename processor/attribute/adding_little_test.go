package attribute

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestAScoreOfWhatSignaturesLeave: of a flood that one signature tells, but for some hundredths of which every fact tells a little, and
// during which fewer visitors come than usual, a score stops most of these hundredths, and touches people in proportion.
func TestAScoreOfWhatSignaturesLeave(t *testing.T) {
	taken, stopped, touched := 0, 0, 0
	for seed := range uint64(6) {
		normal, suspect, r := weakAttack(seed, 4000)
		suspect.Reset()
		for range 20 {
			suspect.take(weakly(r, r.Uint32(), usually))
		}
		for i := range 900 {
			q := weakly(r, r.Uint32(), .6)
			q.AcceptEncoding, q.Path = []byte("gzip, deflate"), fmt.Appendf(nil, "/%x/%d", r.Uint32(), i)
			suspect.take(q)
		}
		for range 60 {
			suspect.take(weakly(r, r.Uint32(), .6))
		}
		suspect.Span = time.Minute
		measures := Analyse(normal, suspect, Budget{MaxScores: 4})
		for _, m := range measures {
			if m.Scope != schemas.ScopeScore {
				continue
			}
			taken++
			if most := 1.2*scoreWorth*mostFor*SoftTimes*.005*m.Stops + 1./4000; float64(len(m.Touches))/4000 > most {
				t.Errorf("seed %d: a score that stops %.3f of the attack touches %d of 4000 people", seed, m.Stops, len(m.Touches))
			}
		}
		stopped += reached(measures, r, 1000, .6)
		touched += reached(measures, r, 2000, usually)
	}
	t.Logf("%d scores: of 6000 bots %d are stopped, of 12000 people %d", taken, stopped, touched)
	if taken < 5 || stopped < 3600 || touched > 180 {
		t.Errorf("%d scores: of 6000 bots %d are stopped, of 12000 people %d", taken, stopped, touched)
	}
}
