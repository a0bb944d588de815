package nginx

import (
	"bytes"
	"fmt"
	"slices"
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
	left  error      // why a value was left out, nil where none was
}

// prepareScore parses a score and quotes its values, or says why nginx cannot carry it. A value that it cannot carry
// is left out, and counts no more than it is worth: what is not listed is worth no more by then, so that nobody is
// stopped whom the score would let pass.
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
		t.Values = slices.DeleteFunc(t.Values, func(v schemas.ScoreValue) bool {
			key, err := traitKey(schemas.TraitValue{Trait: t.Trait, Value: v.Value})
			if err != nil {
				p.left, t.Other = fmt.Errorf("score: %w", err), min(t.Other, v.Points)
				return true
			}
			p.keys[i] = append(p.keys[i], key)
			return false
		})
	}
	if p.left != nil && score.Validate() != nil { // nothing reaches it without what was left out
		return nil, p.left
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

// scoreGroup has the scores of one set of sites, with values of their own: an agent's pattern costs each request that
// is held against it, and another site's have nothing to do with what is attacked here.
type scoreGroup struct {
	values [schemas.NumScored]map[string]int // a map's key -> its number
	scores []numberedScore
}

// addScore takes what prepareScore returned, in a fixed order, as add does.
func (l *signatureList) addScore(p *preparedScore, h hit) {
	if l.scores == nil {
		l.scores = map[int]*scoreGroup{}
	}
	group := l.scores[h.sites]
	if group == nil {
		group = &scoreGroup{}
		l.scores[h.sites] = group
	}
	n := numberedScore{preparedScore: p, numbers: make([][]int, len(p.keys)), hit: h}
	for i, keys := range p.keys {
		values := &group.values[p.score.Traits[i].Trait]
		if *values == nil {
			*values = map[string]int{}
		}
		for _, key := range keys {
			n.numbers[i] = append(n.numbers[i], numberOf(*values, key))
		}
	}
	group.scores = append(group.scores, n)
}

// run is a number of points.
func run(points int) string {
	if points == 0 {
		return `""`
	}
	return strings.Repeat("x", points)
}

// writeScores defines a variable with the hits of each score, and returns their names one behind the other. nginx
// evaluates what a request asks for: elsewhere than on its sites a score costs a look at which sites those are.
func (l *signatureList) writeScores(b *bytes.Buffer, prefix string) (all string) {
	numbers := make([]int, 0, len(l.scores))
	for sites := range l.scores {
		numbers = append(numbers, sites)
	}
	slices.Sort(numbers)
	n := 0
	for _, sites := range numbers {
		group := l.scores[sites]
		of := fmt.Sprintf("%s_scores%d", prefix, sites)
		for t, values := range group.values {
			if name := fmt.Sprintf("%s_is_%s", of, schemas.Trait(t)); schemas.Trait(t).IsNetwork() {
				writeNetworks(b, values, name)
			} else {
				writeNumbers(b, values, sourceOf(schemas.Trait(t), prefix), name)
			}
		}
		for _, s := range group.scores {
			n++
			name := fmt.Sprintf("%s_score%d", prefix, n)
			sum := s.writeSum(b, of, name)
			if sites > 0 {
				fmt.Fprintf(b, "map $%s_sites $%s_sum {\n    default \"\";\n    \"~\\|%d\\|\" \"%s\";\n}\n", prefix, name, sites, sum)
				sum = "${" + name + "_sum}"
			}
			// Two traits that are unknown each may follow a run of the other: none may stand in what counts.
			fmt.Fprintf(b, "map \"%s\" $%s {\n    default \"\";\n    \"~^x*-\" \"\";\n    \"~^x{%d}\" %s;\n}\n", sum, name, s.score.Least, appendHits(nil, []hit{s.hit}))
			all += "${" + name + "}"
		}
	}
	return all
}

// writeSum defines a variable with the points of each trait, and returns the text that is as long as their sum; of is
// how the variables with the values' numbers begin.
func (s *numberedScore) writeSum(b *bytes.Buffer, of, name string) string {
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
		fmt.Fprintf(b, "map $%s_is_%s $%s_%s {\n    default %s;\n", of, t.Trait, name, t.Trait, other)
		if t.Trait.IsNetwork() {
			b.WriteString("    \"\" -;\n")
		}
		for j, v := range t.Values {
			fmt.Fprintf(b, "    %d %s;\n", s.numbers[i][j], run(v.Points))
		}
		b.WriteString("}\n")
	}
	return first + rest
}
