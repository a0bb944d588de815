package attribute

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// scoreTraits is how many values a score's evidence names.
const scoreTraits = 12

// scoreEvidence says what a score goes by: the values that speak most for the attack, as far as it has them.
func (a *analysis) scoreEvidence(s *schemas.Score, rows, normal []uint64) *schemas.Evidence {
	clients, requests := a.suspect.count(rows)
	_, normalRequests := a.normal.count(normal)
	own, all := a.touchedAll(normal), a.everybody()
	e := &schemas.Evidence{
		AttackShare: a.attackOf(requests/a.suspect.total, normalRequests/max(a.normal.total, 1)),
		NormalShare: float64(own.all) / float64(max(all.all, 1)),
		RiskRatio:   LowerRiskRatio(float64(clients), float64(len(a.suspect.clients)), float64(own.all), float64(all.all)),
		SQL:         ScoreSQL(a.budget.Site, a.budget.Since, s),
	}
	adder := a.x.adder(s)
	match := adder.match
	e.Nearest = a.nearestBy(func(t *Traits, from *networks) int { // those that come closest to it, and do not reach it
		if sum, known := adder.sum(t, from); known && sum < s.Least {
			return sum
		}
		return 0
	})
	for i := range a.suspectSample.clients {
		if c := &a.suspectSample.clients[i]; c.text >= 0 && c.head >= 0 && len(e.Samples) < maxExamples {
			if from := networksOf(c.addr); !match(a.first(a.suspectSample, c), &from) {
				continue
			}
			e.Samples = append(e.Samples, a.suspectSample.texts[c.text].String())
		}
	}
	type told struct {
		schemas.TraitEvidence
		much float64
	}
	var traits []told
	usual := a.usualPoints(s)
	for i := range s.Traits {
		t := &s.Traits[i]
		for _, v := range t.Values {
			if float64(v.Points) <= usual[i] {
				continue
			}
			told := told{TraitEvidence: a.traitEvidence(a.x.itemOf(t.Trait, v.Value), v.Value)}
			told.Bits = (float64(v.Points) - usual[i]) / perNat / math.Ln2
			told.much = told.Bits * told.Attack
			traits = append(traits, told)
		}
	}
	slices.SortStableFunc(traits, func(x, y told) int { return cmp.Compare(y.much, x.much) })
	for _, t := range traits[:min(len(traits), scoreTraits)] {
		e.Traits = append(e.Traits, t.TraitEvidence)
	}
	return e
}

// usualPoints is what each trait of a score comes to by the mean of normal traffic. What a value says is what it adds to
// that: held against values that are not listed, which are rare, GET would say as much as any.
func (a *analysis) usualPoints(s *schemas.Score) []float64 {
	usual := make([]float64, len(s.Traits))
	for i := range s.Traits {
		t := &s.Traits[i]
		points := make(map[uint32]int, len(t.Values))
		for _, v := range t.Values {
			points[a.x.itemOf(t.Trait, v.Value).hash] = v.Points
		}
		sum := 0
		for r := range a.normal.rows {
			p, listed := points[a.normal.rows[r].value(&a.normal.nets[a.normal.owner[r]], t.Trait)]
			if !listed {
				p = t.Other
			}
			sum += p
		}
		usual[i] = float64(sum) / float64(max(len(a.normal.rows), 1))
	}
	return usual
}

// inColumn is what the store has of a trait, as SQL; "" where it has nothing.
func inColumn(t schemas.Trait) string {
	if t.IsNetwork() {
		return fmt.Sprintf("tupleElement(IPv6CIDRToRange(client, if(client BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), %d, %d)), 1)",
			96+t.NetworkBits(true), t.NetworkBits(false))
	}
	if !columns[t] {
		return ""
	}
	return t.String()
}

// inStore is a value of a trait as the store has it: of a network its first address, IPv4 as IPv6.
func inStore(t schemas.Trait, value string) string {
	network, err := netip.ParsePrefix(value)
	if !t.IsNetwork() || err != nil {
		return value
	}
	return netip.AddrFrom16(network.Addr().As16()).String()
}

// scoreSQLText bounds the text of the values that a score's SQL names.
const scoreSQLText = 16 << 10

// ScoreSQL is a query that shows the requests that a score matches, those of most points first, as far as its traits
// are columns: the sum of what each says. What no column tells counts as much as it may say at most, and a comment names
// it, so that no request is missing that the score matches.
func ScoreSQL(site string, since int64, s *schemas.Score) string {
	where := "site = " + Quote(site)
	if since > 0 {
		where += " AND time >= " + Quote(time.UnixMilli(since).UTC().Format("2006-01-02 15:04:05"))
	}
	least, terms, unseen := s.Least, []string(nil), []string(nil)
	size := 0
	for i := range s.Traits {
		t := &s.Traits[i]
		most := t.Other
		for _, v := range t.Values {
			most = max(most, v.Points)
		}
		var values, points []string
		long := 0
		for _, v := range t.Values {
			values, points = append(values, Quote(inStore(t.Trait, v.Value))), append(points, fmt.Sprint(v.Points))
			long += len(values[len(values)-1]) + 8
		}
		column := inColumn(t.Trait)
		if column == "" || len(values) == 0 || size+long > scoreSQLText {
			least -= most
			unseen = append(unseen, t.Trait.String())
			continue
		}
		size += long
		term := fmt.Sprintf("transform(toString(%s), [%s], [%s], %d)", column, strings.Join(values, ", "), strings.Join(points, ", "), t.Other)
		if t.Trait.IsNetwork() { // of hashed addresses nothing tells where they are
			term = fmt.Sprintf("if(client BETWEEN toIPv6('fd00::') AND toIPv6('fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), %d, %s)", most, term)
		}
		terms = append(terms, term)
	}
	if len(terms) == 0 {
		terms = []string{"0"}
	}
	more := ""
	if len(unseen) > 0 {
		more = " /* more than it matches: no column tells " + strings.Join(unseen, ", ") + " */"
	}
	return fmt.Sprintf("SELECT %s AS points, time, client, method, path, query, status, user_agent FROM requests WHERE %s AND points >= %d ORDER BY points DESC, time LIMIT 100%s",
		strings.Join(terms, " + "), where, least, more)
}
