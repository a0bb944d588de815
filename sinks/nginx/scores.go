package nginx

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// nginx cannot add, but it can write one text behind another, and a pattern can tell how long a text is. So what a
// value is worth is a run of as many letters (a unary number), the runs of all traits stand behind each other, and a
// score is reached where there are at least so many. What would be unknown breaks the run at its beginning.

// preparedScore is a score whose values nginx can carry.
type preparedScore struct {
	score *schemas.Score
	keys  [][]string // by trait, by value
}

// prepareScore parses a score and quotes its values, or says why nginx cannot carry it.
func prepareScore(value string) (*preparedScore, error) {
	score, err := schemas.ParseScore(value)
	if err != nil {
		return nil, err
	}
	p := &preparedScore{score: score, keys: make([][]string, len(score.Traits))}
	for i := range score.Traits {
		t := &score.Traits[i]
		if _, listed := schemas.ListedOf(t.Trait); listed { // "", which is neither, must be none of the others
			for _, v := range [...]string{schemas.PathUnknown, schemas.PathKnown} {
				if points := t.PointsOf([]byte(v)); !has(t, v) {
					t.Values = append(t.Values, schemas.ScoreValue{Value: v, Points: points})
				}
			}
			score.Sort()
		}
		for _, v := range t.Values {
			key, err := traitKey(schemas.TraitValue{Trait: t.Trait, Value: v.Value})
			if err != nil {
				return nil, fmt.Errorf("score: %w", err)
			}
			p.keys[i] = append(p.keys[i], key)
		}
	}
	return p, nil
}

func has(t *schemas.ScoreTrait, value string) bool {
	for _, v := range t.Values {
		if v.Value == value {
			return true
		}
	}
	return false
}

// numberedScore is a score whose values have numbers.
type numberedScore struct {
	*preparedScore
	numbers [][]int // as keys
	hit     hit
}

// addScore takes what prepareScore returned, in a fixed order, as add does.
func (l *signatureList) addScore(p *preparedScore, h hit) {
	n := numberedScore{preparedScore: p, numbers: make([][]int, len(p.keys)), hit: h}
	for i, keys := range p.keys {
		for _, key := range keys {
			n.numbers[i] = append(n.numbers[i], l.number(p.score.Traits[i].Trait, key))
		}
	}
	l.scores = append(l.scores, n)
}

// run is a number of points.
func run(points int) string {
	if points == 0 {
		return `""`
	}
	return strings.Repeat("x", points)
}

// writeScores defines a variable with the hits of each score, and returns their names one behind the other.
func (l *signatureList) writeScores(b *bytes.Buffer, prefix string) (all string) {
	for n, s := range l.scores {
		name := fmt.Sprintf("%s_score%d", prefix, n+1)
		var first, rest string
		for i := range s.score.Traits {
			t := &s.score.Traits[i]
			if len(t.Values) == 0 {
				rest += strings.Repeat("x", t.Other)
				continue
			}
			other := run(t.Other)
			if _, listed := schemas.ListedOf(t.Trait); listed {
				other = "-"
				first += fmt.Sprintf("${%s_%s}", name, t.Trait)
			} else {
				rest += fmt.Sprintf("${%s_%s}", name, t.Trait)
			}
			fmt.Fprintf(b, "map $%s_is_%s $%s_%s {\n    default %s;\n", prefix, t.Trait, name, t.Trait, other)
			for j, v := range t.Values {
				fmt.Fprintf(b, "    %d %s;\n", s.numbers[i][j], run(v.Points))
			}
			b.WriteString("}\n")
		}
		// Two traits that are unknown each may follow a run of the other: none may stand in what counts.
		fmt.Fprintf(b, "map \"%s%s\" $%s {\n    default \"\";\n    \"~^x*-\" \"\";\n    \"~^x{%d}\" %s;\n}\n", first, rest, name, s.score.Least, appendHits(nil, []hit{s.hit}))
		all += "${" + name + "}"
	}
	return all
}
