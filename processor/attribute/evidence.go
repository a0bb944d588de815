package attribute

import (
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-project/weir/schemas"
)

// maxExamples is how many requests of a kind a decision's evidence shows.
const maxExamples = 5

func clientText(addr [16]byte) string { return netip.AddrFrom16(addr).Unmap().String() }

func (a *analysis) evidence(s schemas.Signature, c candidate, normal []uint64) *schemas.Evidence {
	clients, requests := a.suspect.count(c.rows)
	touched, all := a.normal.touched(normal, false), a.choose0.all
	held := a.normal.touched(normal, true)
	hit, known := touched.all+held.all, all+a.calibrate0.all
	e := &schemas.Evidence{
		AttackShare: a.attackOf(requests/a.suspect.total, c.share),
		NormalShare: float64(hit) / float64(max(known, 1)),
		RiskRatio: LowerRiskRatio(float64(clients), float64(len(a.suspect.clients)),
			float64(hit), float64(known)),
		Samples: a.examples(c),
		Nearest: a.nearest(c.items),
		SQL:     SQL(a.budget.Site, a.budget.Since, s),
	}
	for _, t := range s {
		it := item{t.Trait, a.x.hash(t.Trait, []byte(t.Value))}
		e.Traits = append(e.Traits, a.traitEvidence(it, t.Value))
	}
	return e
}

func (a *analysis) traitEvidence(it item, value string) schemas.TraitEvidence {
	normal := a.normal.requestsOf(it) / max(a.normal.total, 1)
	attack := a.attackOf(a.suspect.requestsOf(it)/a.suspect.total, normal)
	floor := 0.5 / max(a.normal.total, 1)
	return schemas.TraitEvidence{
		Trait: it.trait.String(), Value: value, Attack: attack, Normal: normal,
		Bits: math.Log2((attack + floor) / (normal + floor)),
	}
}

// examples are first requests of suspect clients that the candidate matches.
func (a *analysis) examples(c candidate) []string {
	var texts []string
	s := a.suspectSample
	for i := range s.clients {
		k := &s.clients[i]
		if k.text < 0 || k.head < 0 || !hasAll(a.first(s, k), c.items) {
			continue
		}
		texts = append(texts, s.texts[k.text].String())
		if len(texts) == maxExamples {
			break
		}
	}
	return texts
}

// first is what a client's first request shows.
func (a *analysis) first(s *Sample, k *client) *Traits {
	t := s.rows[k.head].traits
	a.x.resolve(&t, a.budget.Paths, 0)
	return &t
}

func hasAll(t *Traits, items []item) bool { return common(t, items) == len(items) }

func common(t *Traits, items []item) (n int) {
	for _, it := range items {
		if t[it.trait] == it.hash {
			n++
		}
	}
	return n
}

// nearest are first requests of normal clients that share most with the items.
func (a *analysis) nearest(items []item) []string {
	return a.nearestBy(func(t *Traits, _ *networks) int { return common(t, items) })
}

// nearestBy are those of which near says most, more than 0.
func (a *analysis) nearestBy(near func(*Traits, *networks) int) []string {
	type found struct{ n, text int }
	var all []found
	s := a.normalSample
	for i := range s.clients {
		k := &s.clients[i]
		if k.text < 0 || k.head < 0 {
			continue
		}
		from := networksOf(k.addr)
		if n := near(a.first(s, k), &from); n > 0 {
			all = append(all, found{n, int(k.text)})
		}
	}
	slices.SortStableFunc(all, func(x, y found) int { return y.n - x.n })
	var texts []string
	for _, f := range all[:min(len(all), maxExamples)] {
		texts = append(texts, s.texts[f.text].String())
	}
	return texts
}

// String is the text with everything that is not printable escaped.
func (x *text) String() string {
	var b strings.Builder
	for rest := x.b[:x.n]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size <= 1 || r < ' ' || r == 0x7F || !printable(r) {
			for _, c := range rest[:size] {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		} else {
			b.WriteRune(r)
		}
		rest = rest[size:]
	}
	return b.String()
}

// printable refuses what can turn a terminal's or a page's text around.
func printable(r rune) bool {
	return r < 0x80 || r >= 0xA1 && !(r >= 0x200B && r <= 0x200F) && !(r >= 0x2028 && r <= 0x202F) &&
		!(r >= 0x2060 && r <= 0x206F) && r != 0xFEFF && r != 0xAD
}

// columns are the traits that are a column of the table requests as they stand.
var columns = [schemas.NumTraits]bool{
	schemas.TraitUserAgent: true, schemas.TraitAcceptLanguage: true, schemas.TraitAcceptEncoding: true,
	schemas.TraitTLS: true, schemas.TraitProtocol: true, schemas.TraitMethod: true, schemas.TraitCookie: true,
}

// familySQL are conditions of an agent's family: its words, and none of robots'. An agent with the words of
// two browsers is shown for both, as families go by the first.
func familySQL(name string) []string {
	families := schemas.AgentFamilies()
	i := slices.IndexFunc(families, func(f schemas.AgentWords) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	words := func(f *schemas.AgentWords) string {
		list := make([]string, len(f.Words))
		for i, w := range f.Words {
			list[i] = Quote(w)
		}
		function := "multiSearchAny"
		if f.Fold {
			function += "CaseInsensitive"
		}
		return function + "(user_agent, [" + strings.Join(list, ", ") + "])"
	}
	if i == 0 {
		return []string{words(&families[0])}
	}
	return []string{words(&families[i]), "NOT " + words(&families[0])}
}

// SQL is a query that shows the requests that a signature matches, as far as its
// traits are columns; a comment in it names those that are not. since is unix milliseconds, 0 for all.
func SQL(site string, since int64, s schemas.Signature) string {
	where := []string{"site = " + Quote(site)}
	if since > 0 {
		where = append(where, "time >= "+Quote(time.UnixMilli(since).UTC().Format("2006-01-02 15:04:05")))
	}
	var unseen []string
	for _, t := range s {
		switch {
		case columns[t.Trait]:
			where = append(where, t.Trait.String()+" = "+Quote(t.Value))
		case t.Trait == schemas.TraitAgentFamily:
			where = append(where, familySQL(t.Value)...)
		case t.Trait == schemas.TraitReferer && t.Value == "none":
			where = append(where, "referer IN ('', '-')")
		case t.Trait == schemas.TraitReferer:
			where = append(where, "referer NOT IN ('', '-')")
		default:
			unseen = append(unseen, t.Trait.String())
		}
	}
	more := ""
	if len(unseen) > 0 {
		more = " /* more than it matches: no column tells " + strings.Join(unseen, ", ") + " */"
	}
	return "SELECT time, client, method, path, query, status, user_agent FROM requests WHERE " +
		strings.Join(where, " AND ") + " ORDER BY time LIMIT 100" + more
}

// Quote is a ClickHouse string literal of any bytes.
func Quote(v string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, c := range []byte(v) {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7F:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// heavyClients are clients that alone send far more than any normal client did in
// as short a time, where their requests weigh in the attack.
func (a *analysis) heavyClients() []Measure {
	s := a.suspectSample
	limit, n := uint32(0), 0
	for i := range a.normalSample.clients {
		k := &a.normalSample.clients[i]
		if heldOut(k.id) {
			limit, n = max(limit, k.peak), n+1
		}
	}
	bound := UpperShare(0, n)
	if bound > a.budget.Collateral {
		return nil
	}
	covered := a.coveredClients()
	var measures []Measure
	for i := range s.clients {
		k := &s.clients[i]
		if covered[k.id] || k.peak <= 2*limit || float64(k.requests) < heavyShare*a.attackShare*s.Requests {
			continue
		}
		if a.budget.Spare != nil && a.budget.Spare(netip.AddrFrom16(k.addr).Unmap()) {
			continue
		}
		share := float64(k.requests) / max(s.Requests, 1)
		m := Measure{
			Action: schemas.Block, Scope: schemas.ScopeClient, Value: clientText(k.addr),
			Stops: min(1, share/a.attackShare), Collateral: bound, Together: bound, CollateralClients: n,
			CollateralPerHour: bound * a.clientsPerHour(),
			Evidence: &schemas.Evidence{AttackShare: min(1, share/a.attackShare),
				RiskRatio: float64(k.peak) / float64(max(limit, 1))},
		}
		if k.head >= 0 {
			m.Evidence.Nearest = a.normalSample.nearestTo(&s.rows[k.head].traits)
		}
		if k.text >= 0 {
			m.Evidence.Samples = []string{s.texts[k.text].String()}
		}
		m.Evidence.SQL = clientSQL(a.budget.Site, m.Value)
		if measures = append(measures, m); len(measures) == a.budget.MaxMeasures {
			break
		}
	}
	return measures
}

// heavyShare is the least share of the attack that a client must have to be worth
// a decision of its own.
const heavyShare = 0.01

// coveredClients are the suspect clients all of whose rows a measure matches.
func (a *analysis) coveredClients() map[uint64]bool {
	open := make(map[int32]bool)
	for w, word := range a.open {
		for word != 0 {
			open[a.suspect.owner[w*64+bits.TrailingZeros64(word)]] = true
			word &= word - 1
		}
	}
	covered := make(map[uint64]bool)
	for i, hash := range a.suspect.hashes {
		if !open[int32(i)] {
			covered[hash] = true
		}
	}
	return covered
}
