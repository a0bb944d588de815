package attribute

import "github.com/weir-project/weir/schemas"

// Rule is what a decision on requests goes by: a signature, or else a score.
type Rule struct {
	Signature schemas.Signature
	Score     *schemas.Score
}

// matcher reports whether a request matches that has these traits and comes from these networks.
type matcher func(t *Traits, from *networks) bool

// ofItems matches those who have them all.
func ofItems(items []item) matcher {
	return func(t *Traits, _ *networks) bool { return hasAll(t, items) }
}

// matcher is what an edge holding the rule does with a request's traits.
func (x *Extractor) matcher(r Rule) matcher {
	if r.Score != nil {
		return x.adder(r.Score).match
	}
	return ofItems(x.items(r.Signature))
}

// adder is a schemas.Score on hashed traits.
type adder struct {
	least  int
	traits []schemas.Trait
	other  []int
	points itemNumbers
}

func (x *Extractor) adder(s *schemas.Score) *adder {
	values := 0
	for i := range s.Traits {
		values += len(s.Traits[i].Values)
	}
	d := &adder{least: s.Least, points: numbersFor(values)}
	for i := range s.Traits {
		t := &s.Traits[i]
		d.traits, d.other = append(d.traits, t.Trait), append(d.other, t.Other)
		for _, v := range t.Values {
			d.points.put(x.itemOf(t.Trait, v.Value), int32(v.Points)) // at most schemas.MaxPoints
		}
	}
	return d
}

func (d *adder) match(t *Traits, from *networks) bool {
	sum, known := d.sum(t, from)
	return known && sum >= d.least
}

// sum is what a request's traits come to; known is false where one of them is not.
func (d *adder) sum(t *Traits, from *networks) (sum int, known bool) {
	for i, trait := range d.traits {
		value := t.value(from, trait)
		if value == 0 {
			return 0, false
		}
		if points, listed := d.points.of(item{trait, value}); listed {
			sum += int(points)
		} else {
			sum += d.other[i]
		}
	}
	return sum, true
}

// matchBy is the bitmap of the rows that a rule matches.
func (m *matrix) matchBy(match matcher) []uint64 {
	b := make([]uint64, m.words)
	for i := range m.rows {
		if match(&m.rows[i], &m.nets[m.owner[i]]) {
			b[i/64] |= 1 << (i % 64)
		}
	}
	return b
}

// ScoreInForce is a score that a decision holds, and the normal clients that were found to be touched by it
// when they were scored by what was learned without them.
type ScoreInForce struct {
	Score   *schemas.Score
	Touches []uint64
}

// coverScores takes out what scores in force match.
func (a *analysis) coverScores(inForce []ScoreInForce) {
	for _, s := range inForce {
		match := a.x.matcher(Rule{Score: s.Score})
		normal := a.normal.matchBy(match)
		touches := make(map[uint64]bool, len(s.Touches))
		for _, id := range s.Touches {
			touches[id] = true
		}
		for i, owner := range a.normal.owner {
			if touches[a.normal.hashes[owner]] {
				normal[i/64] |= 1 << (i % 64)
			}
		}
		a.doubt += leastDoubt
		a.take(a.suspect.matchBy(match), normal)
		a.earlier.takeRows(match)
	}
}
