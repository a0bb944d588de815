package schemas

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a score, so that it stays one decision and a few short maps at an edge.
const (
	MaxScore         = 22 << 10 // bytes of its text
	MaxScoreValues   = 192      // values in all, networks apart
	MaxScoreNetworks = 256      // networks in all
	MaxPoints        = 64       // of one value
)

// Score adds up what each trait of a request speaks for the attack: every trait has points for
// its values, and others for all that are not listed. A request matches where every trait is known and the
// points come to Least or more. So many weak facts tell together what no three of them do; an edge needs to
// add, which nginx does with a run of so many letters for each value and one pattern on their length.
type Score struct {
	Least  int          // 1 or more
	Traits []ScoreTrait // ordered by Trait, each at most once
}

// ScoreTrait is what one trait's values are worth.
type ScoreTrait struct {
	Trait  Trait
	Other  int          // points of a value that is not listed
	Values []ScoreValue // ordered by Value, each at most once
}

// ScoreValue is what one value is worth.
type ScoreValue struct {
	Value  string
	Points int // 0 to MaxPoints
}

// String is the canonical text form, `57 of user_agent:3 "curl/8"=12 "wget"=9 tls:4`: the least sum,
// then each trait with the points of what is not listed and its Go-quoted values with theirs.
func (s *Score) String() string {
	b := strconv.AppendInt(nil, int64(s.Least), 10)
	b = append(b, " of"...)
	for i := range s.Traits {
		t := &s.Traits[i]
		b = append(append(append(b, ' '), t.Trait.String()...), ':')
		b = strconv.AppendInt(b, int64(t.Other), 10)
		for _, v := range t.Values {
			b = append(strconv.AppendQuoteToASCII(append(b, ' '), v.Value), '=')
			b = strconv.AppendInt(b, int64(v.Points), 10)
		}
	}
	return string(b)
}

// ParseScore reads what String writes; traits and values may be in any order.
func ParseScore(text string) (*Score, error) {
	if len(text) > MaxScore {
		return nil, fmt.Errorf("score: has %d bytes, at most %d", len(text), MaxScore)
	}
	least, rest, ok := strings.Cut(text, " of ")
	s := &Score{}
	var err error
	if s.Least, err = strconv.Atoi(least); !ok || err != nil {
		return nil, fmt.Errorf("score %q: want a number, \"of\" and traits", cut(text))
	}
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		name, value := "", ""
		if rest[0] == '"' {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("score: a value does not end at %q", cut(rest))
			}
			if value, err = strconv.Unquote(quoted); err != nil {
				return nil, fmt.Errorf("score: the value %s: %w", cut(quoted), err)
			}
			rest, ok = strings.CutPrefix(rest[len(quoted):], "=")
		} else {
			name, rest, ok = strings.Cut(rest, ":")
		}
		if !ok {
			return nil, fmt.Errorf("score: want trait:points or \"value\"=points at %q", cut(rest))
		}
		number, after, _ := strings.Cut(rest, " ")
		points, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("score: %q is no number of points", cut(number))
		}
		rest = after
		if name == "" {
			if len(s.Traits) == 0 {
				return nil, errors.New("score: a value stands before any trait")
			}
			t := &s.Traits[len(s.Traits)-1]
			t.Values = append(t.Values, ScoreValue{value, points})
			continue
		}
		trait, ok := parseScored(name)
		if !ok {
			return nil, fmt.Errorf("score: no trait %q; one of %s", cut(name), strings.Join(traitNames[:], ", "))
		}
		s.Traits = append(s.Traits, ScoreTrait{Trait: trait, Other: points})
	}
	s.Sort()
	return s, s.Validate()
}

// parseScored is ParseTrait of what scores go by.
func parseScored(name string) (Trait, bool) {
	for i, n := range traitNames {
		if n == name {
			return Trait(i), true
		}
	}
	return 0, false
}

// IsScore tells the text of a score from that of a signature.
func IsScore(text string) bool { return text != "" && text[0] >= '0' && text[0] <= '9' }

// Sort puts traits and values in their order.
func (s *Score) Sort() {
	slices.SortStableFunc(s.Traits, func(x, y ScoreTrait) int { return int(x.Trait) - int(y.Trait) })
	for i := range s.Traits {
		slices.SortStableFunc(s.Traits[i].Values, func(x, y ScoreValue) int { return cmp.Compare(x.Value, y.Value) })
	}
}

// Validate says what is wrong with a score, or nil. One that every request reaches is none, as is one
// that none can.
func (s *Score) Validate() error {
	values, networks, fewest, most := 0, 0, 0, 0
	for i := range s.Traits {
		t := &s.Traits[i]
		if int(t.Trait) >= NumScored {
			return fmt.Errorf("score: trait %d does not exist", t.Trait)
		}
		if i > 0 && s.Traits[i-1].Trait >= t.Trait {
			return fmt.Errorf("score: trait %s stands twice or out of order", t.Trait)
		}
		low, high := t.Other, t.Other
		for j, v := range t.Values {
			if j > 0 && t.Values[j-1].Value >= v.Value {
				return fmt.Errorf("score: a value of %s stands twice or out of order", t.Trait)
			}
			if t.Trait.IsNetwork() && !t.Trait.isValue(v.Value) {
				return fmt.Errorf("score: no client has the %s %q", t.Trait, cut(v.Value))
			}
			if len(v.Value) > MaxText {
				return fmt.Errorf("score: a value of %s has %d bytes, at most %d", t.Trait, len(v.Value), MaxText)
			}
			low, high = min(low, v.Points), max(high, v.Points)
		}
		if low < 0 || high > MaxPoints {
			return fmt.Errorf("score: points of %s are %d to %d, want 0 to %d", t.Trait, low, high, MaxPoints)
		}
		fewest, most = fewest+low, most+high
		if t.Trait.IsNetwork() {
			networks += len(t.Values)
		} else {
			values += len(t.Values)
		}
	}
	if networks > MaxScoreNetworks {
		return fmt.Errorf("score: has %d networks, at most %d", networks, MaxScoreNetworks)
	}
	if values > MaxScoreValues {
		return fmt.Errorf("score: has %d values, at most %d", values, MaxScoreValues)
	}
	if s.Least <= fewest || s.Least > most {
		return fmt.Errorf("score: at least %d points, where there can be %d to %d", s.Least, fewest, most)
	}
	return nil
}

// PointsOf is what a value of a trait is worth.
func (t *ScoreTrait) PointsOf(value []byte) int {
	low, high := 0, len(t.Values)
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch at := t.Values[middle].Value; {
		case at == string(value):
			return t.Values[middle].Points
		case at < string(value):
			low = middle + 1
		default:
			high = middle
		}
	}
	return t.Other
}

// Adds reports whether a request matches whose values value tells; known is false where the request's
// log format does not carry the trait. It does not allocate where value does not.
func (s *Score) Adds(value func(Trait) (value []byte, known bool)) bool {
	sum := 0
	for i := range s.Traits {
		v, known := value(s.Traits[i].Trait)
		if !known {
			return false
		}
		sum += s.Traits[i].PointsOf(v)
	}
	return sum >= s.Least
}

// FromNetworks reports whether a score goes by where clients come from.
func (s *Score) FromNetworks() bool {
	return slices.ContainsFunc(s.Traits, func(t ScoreTrait) bool { return t.Trait.IsNetwork() })
}

// Match reports whether the request matches; scratch is memory to work in, returned for the
// next call.
func (s *Score) Match(r *Request, scratch []byte) (match bool, _ []byte) {
	match = s.Adds(func(t Trait) (value []byte, known bool) {
		value, known = t.Value(scratch[:0], r)
		scratch = value
		return value, known
	})
	return match, scratch
}

// Asks reports whether a score is about what a list tells, as Signature.Asks.
func (s *Score) Asks(of Listed) bool {
	return slices.ContainsFunc(s.Traits, func(t ScoreTrait) bool { return t.Trait == of.Trait() })
}
