package detect

import "math"

// Peak is the highest that the signals of an incident have been.
type Peak struct {
	Even  [NumSignals]float64 `json:"even"` // on the even scale
	Score [NumSignals]float64 `json:"score"`
}

// Note raises it to a reading.
func (p *Peak) Note(r *Reading, sc *Scores) {
	for i := range signals {
		p.Even[i], p.Score[i] = max(p.Even[i], r.Even[i]), max(p.Score[i], sc.Score[i])
	}
}

// Raise raises it to another.
func (p *Peak) Raise(o *Peak) { p.Note(&Reading{Even: o.Even}, &Scores{Score: o.Score}) }

// CoversRate reports whether no more requests come than a person who called so many normal has seen, or twice as many.
func (p *Peak) CoversRate(now *Peak) bool {
	return now.Even[RequestRate] <= p.Even[RequestRate]+moreCounts
}

const (
	// acceptedScore is of signals in traffic that a person called normal: nothing opens by
	// them, and nothing stays open.
	acceptedScore = 1
	// Whoever calls a crowd normal has not seen the most of it yet: counts may double, and
	// what they are made of may depart by twice as many spreads.
	moreCounts, moreScore = math.Ln2, 2
)

// Accept lowers the scores of volume and composition where a reading goes no further than
// what a person called normal. Where it does in one of them, it is something else, and all
// counts. Harm always counts: a site that fails is never normal.
func (sc *Scores) Accept(r *Reading, normal *Peak) {
	for i, s := range signals {
		switch {
		case s.group == harm:
		case s.kind == count:
			if sc.Score[i] >= enter && r.Even[i] > normal.Even[i]+moreCounts {
				return
			}
		case sc.Score[i] >= enter && sc.Score[i] > moreScore*normal.Score[i]:
			return
		}
	}
	for i, s := range signals {
		if s.group != harm {
			sc.Score[i] = min(sc.Score[i], acceptedScore)
		}
	}
}
