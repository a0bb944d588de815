package processor

import (
	"net/netip"
	"slices"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// maxScored bounds the decisions in force on clients of one site, beside those on signatures:
// so many fit into one message of knowledge.
// maxMatched is how many of them clients may take whom signatures have matched.
const (
	maxScored  = 8192
	maxMatched = maxScored * 7 / 8
)

// scoredList are decisions in force on clients, by the time when they were taken. A client has
// one, and one more where a challenge becomes a block.
type scoredList struct {
	list []*decision
	by   map[netip.Addr]*decision // the stronger
	told int                      // of how many the evidence is kept
}

// add takes a decision on a client.
func (l *scoredList) add(d *decision) {
	addr, err := netip.ParseAddr(d.Value)
	if err != nil {
		return
	}
	if l.by == nil {
		l.by = make(map[netip.Addr]*decision)
	}
	l.list = append(l.list, d)
	if d.Evidence != nil {
		l.told++
	}
	if was := l.by[addr]; was == nil || d.Action.Severity() > was.Action.Severity() {
		l.by[addr] = d
	}
}

// severity is that of the stronger decision on a client, 0 for none.
func (l *scoredList) severity(client string) int {
	addr, err := netip.ParseAddr(client)
	if err != nil || l.by[addr] == nil {
		return 0
	}
	return l.by[addr].Action.Severity()
}

// of is the decision on whoever sent a request, nil for none.
func (l *scoredList) of(client netip.Addr) *decision {
	if len(l.by) == 0 {
		return nil
	}
	return l.by[schemas.ClientOf(client)]
}

// keep drops those that are not kept.
func (l *scoredList) keep(keep func(*decision) bool) {
	if len(l.list) == 0 {
		return
	}
	kept := l.list[:0]
	for _, d := range l.list {
		if keep(d) {
			kept = append(kept, d)
		}
	}
	if len(kept) == len(l.list) {
		return
	}
	clear(l.list[len(kept):])
	l.list, l.told = nil, 0
	clear(l.by)
	for _, d := range kept {
		l.add(d)
	}
}

// inForce is how many decisions are in force on the site.
func (s *siteKnowledge) inForce() int { return len(s.decisions) + len(s.scored.list) }

// seenNow is what those of the suspects do who are under a decision of their own.
func (s *site) seenNow(suspect *attribute.Sample) map[string]attribute.Seen {
	if len(s.know.scored.list) == 0 {
		return nil
	}
	seen := make(map[string]attribute.Seen)
	suspect.EachSeen(func(client netip.Addr, now attribute.Seen) {
		if d := s.know.scored.of(client); d != nil {
			seen[d.Value] = now
		}
	})
	return seen
}

// scoredLives is how many times as long as on a signature a decision on a client lasts: it comes
// a few times in an attack, and again when another would be over.
const scoredLives = 3

// alikeNow are the normal clients who are like those that are under a decision of their own.
func (s *site) alikeNow() attribute.Alike {
	if s.alike == nil || len(s.know.scored.list) == 0 {
		s.alike = make(attribute.Alike)
	}
	return s.alike
}

// measured is what a client is under already.
func (s *site) measured(client netip.Addr) schemas.Action {
	if d := s.know.scored.of(client); d != nil {
		return d.Action
	}
	return schemas.Allow
}

// soften makes a challenge of a block where it may be people's: who is challenged can show that it is a
// person, who is blocked cannot. So a client's and a prefix's is while the site's first enforcement is on probation, and
// a signature's and a prefix's where a crowd was there before the attack of whom too little was seen, unless it is of pages that
// there are not: what normal times were like says little of a crowd's newcomers.
func (s *site) soften(m *attribute.Measure) {
	if m.Action != schemas.Block {
		return
	}
	_, probation := s.probationEnds()
	if probation && (m.Scope == schemas.ScopeClient || m.Scope == schemas.ScopePrefix) || s.incident.among && s.incident.earlier == nil && m.Scope != schemas.ScopeClient && !ofNoPage(m.Signature) {
		m.Action = schemas.Challenge
	}
}

// ofNoPage reports whether a signature is of paths that the site does not have.
func ofNoPage(s schemas.Signature) bool {
	return slices.ContainsFunc(s, func(t schemas.TraitValue) bool { return t.Trait == schemas.TraitPathKnown && t.Value == "no" })
}

// cameAgain counts a challenged client that came again, after all that the suspects' sample
// tells of before it was challenged, as a probe: a browser solves a challenge by itself, goes on,
// and loads what pages bring with them.
func (s *site) cameAgain(d *decision, second int64) {
	if d.Action == schemas.Challenge && d.live.Probes == 0 && second-d.since > (quarantine+2)*stepSeconds {
		d.live.Probes = 1
	}
}

// elsewhere are the normal samples of the other sites.
func (s *site) elsewhere() (samples []*attribute.Sample) {
	for _, o := range s.d.sites {
		if o != s && o.name != Other && o.incident == nil {
			samples = append(samples, o.normal[0], o.normal[1])
		}
	}
	return samples
}
