package processor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

const (
	// ripeAfter is how many seconds after its last request, and patientFor how many after its
	// first, a probe that has not behaved like a person yet is taken for none.
	ripeAfter, patientFor = 30, 120
	// maxVisits bounds the probes that a site watches at once.
	maxVisits = 2048
	// strayShare: where more than this share of a decision's probes may be people, at 95 %,
	// it is not clean. Eight without a person show that it is.
	strayShare = 1.0 / 3
	// hurtPeople is how many probes must behave like people before a decision is lifted for
	// it: one may be a bot with luck.
	hurtPeople = 2
)

// probeKey is by what edges draw probes, made of the processor's secret: nobody outside
// knows it, and it tells nothing of the secret.
func probeKey(secret [32]byte) string {
	sum := sha256.Sum256(append([]byte("weir probes "), secret[:]...))
	return hex.EncodeToString(sum[:8])
}

// visit is a probe that is watched. Each counts once, when it has behaved like a person or
// has had time to; one that turns out to be a person later counts as one then.
type visit struct {
	Client   uint64 `json:"client"`
	Decision uint64 `json:"decision"`
	First    int64  `json:"first"` // unix seconds
	Last     int64  `json:"last"`
	Counted  bool   `json:"counted"`
	Person   bool   `json:"person"`
	conduct
}

// meet takes what a pane says of people.
func (s *site) meet(p *Pane) {
	passed := p.Counts[window.Requests] - min(p.Counts[window.Stopped], p.Counts[window.Requests])
	s.regulars.take(p.Second, &p.People.Regulars, passed)
	for i := range p.People.Probes {
		s.watch(p.Second, &p.People.Probes[i])
	}
}

// watch adds what a probe did to what is known of it. What no decision matches counts for all that matched it before.
func (s *site) watch(second int64, q *probed) {
	if q.decision == ofProbe {
		for i := range s.visits {
			if v := &s.visits[i]; v.Client == q.client {
				v.add(&q.conduct)
				v.Last = second
			}
		}
		return
	}
	for i := range s.visits {
		if v := &s.visits[i]; v.Client == q.client && v.Decision == q.decision {
			v.add(&q.conduct)
			v.Last = second
			return
		}
	}
	if len(s.visits) < maxVisits {
		s.visits = append(s.visits, visit{Client: q.client, Decision: q.decision, First: second, Last: second, conduct: q.conduct})
	}
}

// ripen counts the probes that have shown what they are.
func (s *site) ripen(second int64) {
	kept := s.visits[:0]
	for i := range s.visits {
		v := s.visits[i]
		if person := v.person(); person && !v.Person || !v.Counted && (second-v.Last >= ripeAfter || second-v.First >= patientFor) {
			for _, d := range s.know.decisions {
				if d.hash != v.Decision {
					continue
				}
				if !v.Counted {
					d.live.Probes++
				}
				if person {
					d.live.People++
				}
			}
			v.Counted, v.Person = true, person
		}
		if !v.Counted || second-v.Last < schemas.ProbeEpoch/2 {
			kept = append(kept, v)
		}
	}
	s.visits = kept
}

// judged is what probes have shown of a decision.
func (d *decision) judged() *schemas.Live {
	live := d.live
	if live.Probes == 0 {
		return nil
	}
	live.Upper = attribute.UpperShare(live.People, live.Probes)
	live.Touched = attribute.LowerCount(live.People) / schemas.ProbeShare
	return &live
}

// clean reports whether probes have shown that hardly anybody whom a decision matches is a
// person.
func (d *decision) clean() bool {
	return attribute.UpperShare(d.live.People, d.live.Probes) < strayShare
}

// strays reports whether a decision's probes behave like people so much that it is not to
// be renewed.
func (d *decision) strays() bool { return d.live.People > 0 && !d.clean() }

// locksOut reports whether a decision that blocks is not renewed because its probes behave like people. It is remembered as what hurts is:
// two seconds later nothing matches what it did, so that it would be the first to be decided anew, for as long and as many people.
func (s *site) locksOut(d *decision) bool {
	return d.Action == schemas.Block && d.ends != "" && d.strays() && !s.saysNothing(d)
}

// probesHurt says why a decision is to be lifted, where the people that its probes stand for
// are more, at 95 %, than the budget allows; "" where they are not.
func (s *site) probesHurt(d *decision, second int64) string {
	if d.live.People < hurtPeople || s.saysNothing(d) {
		return ""
	}
	budget := s.d.o.Collateral
	if d.Action != schemas.Block {
		budget *= attribute.SoftTimes
	}
	normal := s.normalSample()
	if normal.Span <= 0 {
		return ""
	}
	people := normal.Visits() / normal.Span.Seconds() * math.Max(float64(second-d.since), periodSeconds)
	least := attribute.LowerCount(d.live.People) / schemas.ProbeShare
	if least <= budget*people {
		return ""
	}
	return fmt.Sprintf("lifted: %d of %d probes behave like people, so that it has stopped %.0f of them at least, where %.0f come and %.2g %% may be touched",
		d.live.People, d.live.Probes, least, people, 100*budget)
}
