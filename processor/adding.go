package processor

import (
	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// maxScores bounds the scores in force on one site: of what one leaves another may stop a part, and each is a
// dozen maps at an edge.
const maxScores = 4

// rule is what a decision on requests goes by; ok is false for one on addresses.
func (d *decision) rule() (rule attribute.Rule, ok bool) {
	return attribute.Rule{Signature: d.signature, Score: d.score}, d.signature != nil || d.score != nil
}

// ofClient reports whether a decision is on a client.
func (d *decision) ofClient() bool {
	return d.signature == nil && d.score == nil && !d.prefix.IsValid()
}

// inForce is a score's decision as attribution is told of it.
func (d *decision) inForce() attribute.ScoreInForce {
	return attribute.ScoreInForce{Score: d.score, Touches: d.touches}
}

// asks reports whether a decision needs what a list tells.
func (d *decision) asks(of schemas.Listed) bool {
	return d.signature.Asks(of) || d.score != nil && d.score.Asks(of)
}

// makeRoom ends what a score is taken instead of: all that only asks by what a request says, but for what is among the measures too.
func (s *site) makeRoom(measures []attribute.Measure, second int64, emit func(schemas.Event)) {
	const why = "a score that stops more of the attack is in its place"
	again := make(map[string]bool)
	for i := range measures {
		again[measures[i].Value] = true
	}
	s.keepDecisions(func(d *decision) bool {
		if d.Action == schemas.Block || d.signature == nil && d.score == nil || again[d.Value] {
			return true
		}
		d.Live, d.Reason = d.judged(), why
		if s.arms(d) {
			s.keepArmed(d, why, second)
		}
		s.tell(schemas.DecisionRemoved, d, s.d.knownAt(second), emit)
		return false
	})
}

// adds is Score.Match, with what lists say.
func adds(score *schemas.Score, r *schemas.Request, said func(schemas.Listed) string, scratch []byte) (bool, []byte) {
	match := score.Adds(func(t schemas.Trait) (value []byte, known bool) {
		if of, listed := schemas.ListedOf(t); listed {
			value = append(scratch[:0], said(of)...)
			scratch = value
			return value, len(value) > 0
		}
		value, known = t.Value(scratch[:0], r)
		scratch = value
		return value, known
	})
	return match, scratch
}
