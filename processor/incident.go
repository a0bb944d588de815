package processor

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/schemas"
)

const (
	// firstLook and nextLook are the seconds between attributions before and after
	// the first decision.
	firstLook = 2
	nextLook  = 10
	// insteadEach is at how many looks one asks for a score in the place of what is in force.
	insteadEach = 3
	// before is how many seconds before the incident opened the suspects begin: what
	// opened it had been going on.
	before = 10
	// maxDecisions bounds the decisions in force of one site.
	maxDecisions = 256
	// hurtShare and hurtClients: a decision that matches so many of the regulars that
	// are here now is lifted.
	hurtShare   = 0.02
	hurtClients = 3
)

// incident is an open one.
type incident struct {
	id              string
	opened          time.Time
	second          int64             // in which it opened
	attack          int64             // in which it opened as an attack or turned into one, 0 for not yet
	earlier         *attribute.Sample // who came while it was no attack yet, nil for nobody
	next            int64             // second of the next attribution
	number          int               // decisions so far, at this site
	all             *together
	refused         []schemas.Signature
	refusedPrefixes []netip.Prefix // that hurt, too
	conduct         attackConduct
	first           int64          // second of the first decision on requests, 0 for none
	noScore         bool           // one was lifted because it hurt: no other is taken
	hurt            attribute.Hurt // those of the signatures that were lifted for people
	last            schemas.Event
	peak            detect.Peak
	began           int64  // second of the first decision on probation, 0 for none
	lapsed          bool   // probation is over, and nothing has shown that the decisions were right
	word            bool   // a person has said that it is an attack
	among           bool   // it was a crowd at first: people came for a page, and are there still
	solved          int    // challenged clients that behaved like people then
	returns         string // the incident whose armed signatures opened it, or ""
	undecided       undecided
}

// decision is one in force.
type decision struct {
	schemas.Decision
	incident  string
	kind      schemas.Kind      // of the incident
	signature schemas.Signature // nil for a client, a prefix or a score
	score     *schemas.Score    // nil for all else
	touches   []uint64          // of a score: see attribute.ScoreInForce
	prefix    netip.Prefix      // of a prefix, else zero
	since     int64             // second in which it was taken
	matched   int64             // second in which it was last seen to stop something
	hurt      bool              // it matched visitors, so that it is not kept armed
	hash      uint64            // of its id, see decisionHash
	live      schemas.Live      // what its probes have shown: Probes and People
	ends      string            // why it was not renewed though it matched when it was looked at last, else ""
	forMatch  bool              // of a client: it was measured because a signature had matched it
}

// incidentIDs makes ids from event time.
type incidentIDs struct {
	last   string
	number int
}

func (n *incidentIDs) next(t time.Time) string {
	id := t.UTC().Format("i060102-150405")
	if id != n.last {
		n.last, n.number = id, 1
		return id
	}
	n.number++
	return fmt.Sprintf("%s-%d", id, n.number)
}

// change emits what a step did to the incident.
func (s *site) change(c detect.Change, second int64, emit func(schemas.Event)) {
	now := s.d.knownAt(second)
	switch c {
	case detect.Opened:
		s.incident = s.d.begin(s, now, second)
		s.incident.returns, s.returns = s.returns, ""
		s.incident.peak.Note(&s.reading, &s.scores)
		s.incident.among = s.incident.among || s.state.Kind == schemas.Crowd
		s.turned(second)
		s.taint()
		s.know.troubled, s.know.news.decided = second, true
		if len(s.d.parts(s.incident.id)) > 1 {
			emit(s.event(schemas.IncidentUpdated, now))
			return
		}
		emit(s.event(schemas.IncidentOpened, now))
		s.d.count.incidents.WithLabelValues(string(s.state.Kind)).Inc()
	case detect.Updated:
		s.incident.next = second
		s.turned(second)
		emit(s.event(schemas.IncidentUpdated, now))
	case detect.Closed:
		s.closed(now, emit)
		s.taint()
	}
}

// closed emits the end of the incident, or that it goes on at fewer sites.
func (s *site) closed(now time.Time, emit func(schemas.Event)) {
	was := s.incident.last
	e := s.event(schemas.IncidentClosed, now)
	e.Kind, e.Closed, e.Cause = was.Kind, now, shorten(was.Cause, schemas.MaxSentence)
	for _, part := range s.d.parts(s.incident.id) {
		if part != s {
			e = part.event(schemas.IncidentUpdated, now)
			e.Sites = slices.DeleteFunc(e.Sites, func(name string) bool { return name == s.name })
			break
		}
	}
	s.past = &past{ID: s.incident.id, Peak: s.incident.peak}
	s.incident, s.know.troubled, s.know.news.decided = nil, 0, true
	s.d.drop(s)
	emit(e)
}

// shorten cuts a text to so many bytes, between two characters.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

func (s *site) event(t schemas.EventType, now time.Time) schemas.Event {
	e := schemas.Event{
		Type: t, Time: now, Sites: []string{s.name}, Incident: s.incident.id, Kind: s.state.Kind, Opened: s.incident.opened,
		Signals: detect.Signals(&s.reading, &s.scores),
		Cause:   detect.Cause(s.state.Kind, &s.reading, &s.scores),
	}
	if s.name == Other {
		e.Cause = s.d.strangeCause()
	}
	var part []schemas.Undecided // where something is decided comes last: who has room for one site names one where nothing is
	for _, of := range s.d.parts(s.incident.id) {
		if told := of.incident.undecided.Told; told != nil && told.Left > 0 {
			part = append(part, *told)
		} else if told != nil {
			e.Undecided = append(e.Undecided, *told)
		}
	}
	e.Undecided = append(e.Undecided, part...)
	e.Undecided = e.Undecided[:min(len(e.Undecided), schemas.MaxUndecided)]
	if was := s.incident.returns; was != "" {
		e.Cause = shorten("the attack of "+was+" is back: "+e.Cause, schemas.MaxSentence)
	}
	s.where(&e)
	s.incident.last = e
	return e
}

// decide keeps the decisions: lets go what has expired, and in an attack renews
// what still matches, lifts what hurts and adds what stops more.
func (s *site) decide(second int64, emit func(schemas.Event)) {
	s.expire(second, emit)
	if second%stepSeconds == s.phase {
		s.keepTold(second, emit)
	}
	defer s.tellUndecided(second, emit)
	i := s.incident
	if i == nil || !s.state.Kind.Attack() || second < i.next || s.name == Other {
		return
	}
	i.next = second + firstLook
	if i.number > 0 {
		i.next = second + nextLook
	}
	if s.d.o.LearnOnly || i.lapsed || s.learned() < s.d.o.MinBaseline {
		return
	}
	normal := s.normalSample()
	suspect := s.suspects(second, i.suspectsFrom())
	s.review(second, normal, suspect, emit)
	s.add(second, normal, suspect, emit)
	if i.number > 0 {
		i.next = second + nextLook
	}
}

func (s *site) expire(second int64, emit func(schemas.Event)) {
	now := s.d.knownAt(second)
	s.keepDecisions(func(d *decision) bool {
		if now.Before(d.Expires) {
			return true
		}
		d.Live = d.judged()
		switch {
		case s.lapses(d):
			d.Reason = s.lapsed(d)
		case s.locksOut(d):
			s.remember(d, second, "")
			d.Reason = d.ends
		case s.arms(d):
			s.keepArmed(d, cmp.Or(d.ends, "it matches no more"), second)
		case d.ends != "":
			d.Reason = d.ends
		}
		s.tell(schemas.DecisionRemoved, d, now, emit)
		return false
	})
}

// keepDecisions drops those that are not kept.
func (s *site) keepDecisions(keep func(*decision) bool) {
	s.know.scored.keep(keep)
	if len(s.know.decisions) == 0 {
		return
	}
	kept := s.know.decisions[:0]
	for _, d := range s.know.decisions {
		if keep(d) {
			kept = append(kept, d)
		}
	}
	clear(s.know.decisions[len(kept):])
	s.know.decisions = kept
}

// review renews on fresh evidence alone, and lifts what matches visitors that the site
// knows.
func (s *site) review(second int64, normal, suspect *attribute.Sample, emit func(schemas.Event)) {
	now := s.d.knownAt(second)
	within, seen := s.withinBudget(normal, suspect), s.seenNow(suspect)
	s.keepDecisions(func(d *decision) bool {
		if rule, ok := d.rule(); ok {
			live := attribute.Look(normal, suspect, rule, s.resolver())
			if live.Clients > 0 {
				d.matched = second
			}
			s.seeConduct(d, &live, second)
			if live.Touched >= hurtClients && float64(live.Touched) > hurtShare*float64(live.Regulars) {
				s.lift(d, "lifted: it matched visitors that this site knows", second, emit)
				return false
			}
		} else if d.prefix.IsValid() {
			live := attribute.LookPrefix(normal, suspect, d.prefix)
			if live.Clients > 0 {
				d.matched = second
			}
			if live.People >= hurtClients {
				s.lift(d, "lifted: visitors come from there", second, emit)
				return false
			}
		} else if now, came := seen[d.Value]; came {
			d.matched = second
			if now.Person() {
				s.incident.solved++
				s.lift(d, "lifted: it loads what pages bring with them, as people's browsers do", second, emit)
				return false
			}
			s.cameAgain(d, second)
		}
		if d.matched != second {
			d.ends = ""
		} else if d.Expires.Sub(now) < s.d.o.TTL/2 {
			if d.ends = s.ends(d, second, within); d.ends == "" {
				s.renew(d, now, emit)
			}
		}
		return true
	})
	s.letIn(second, emit)
}

// ends says why a decision that still matches is not renewed; "" where it is.
func (s *site) ends(d *decision, second int64, within func(*decision) bool) string {
	switch {
	case d.strays() && !s.saysNothing(d):
		return "not renewed: its probes behave like people"
	case !within(d):
		return fmt.Sprintf("not renewed: with what is in force it would touch more of the people who are normal by now than may be (%.2g %% blocked, %.2g %% asked)",
			100*s.d.o.Collateral, 100*attribute.SoftTimes*s.d.o.Collateral)
	case !s.mayLast(d, second):
		return fmt.Sprintf("not renewed: it has matched for %s, the longest without a person's word (decisions.longest); what goes on is decided anew, and renewed for good by: weir incidents confirm %s",
			s.d.o.Longest, d.incident)
	}
	return ""
}

// renew lets a decision hold for another while.
func (s *site) renew(d *decision, now time.Time, emit func(schemas.Event)) {
	until := s.until(d, now)
	if !until.After(d.Expires) {
		return
	}
	d.Expires, d.Live = until, d.judged()
	s.tell(schemas.DecisionRenewed, d, now, emit)
}

// add decides what stops more than the decisions in force.
func (s *site) add(second int64, normal, suspect *attribute.Sample, emit func(schemas.Event)) {
	budget := s.budget(second, s.incident.suspectsFrom())
	budget.MaxClients = maxScored - len(s.know.scored.list)
	if suspect.Thinned() {
		budget.Whole = s.whole(second, s.incident.suspectsFrom())
	}
	if budget.MaxMatched = maxMatched - len(s.know.scored.list); budget.MaxMatched == 0 { // 0 is no bound
		budget.MaxMatched = -1
	}
	budget.Probe = func(client netip.Addr) bool { return schemas.Probe(s.d.probeKey, client, second*1000) }
	budget.Alike = s.alikeNow()
	budget.Measured = s.measured
	budget.Elsewhere = s.elsewhere()
	if !s.incident.noScore {
		budget.MaxScores = maxScores - len(budget.Scores)
		budget.Keep = second/nextLook%insteadEach != 0
	}
	if budget.MaxMeasures > 0 {
		s.impose(attribute.Analyse(normal, suspect, budget), second, emit)
	}
}

// budget is what further measures may cost, beside those in force. The evidence's SQL looks
// from since on, in unix seconds.
func (s *site) budget(second, since int64) attribute.Budget {
	budget := attribute.Budget{
		Collateral: s.d.o.Collateral, MinClients: s.d.o.MinClients, NormalRate: s.normalMean(second),
		MaxMeasures: maxDecisions - len(s.know.decisions), Site: s.name, Since: since * 1000, Spare: s.d.spare, Paths: s.resolver(),
		HurtBefore: s.blockedBefore(),
	}
	if s.incident != nil {
		budget.Browsers = s.incident.ofBrowsers()
		budget.Refused, budget.RefusedPrefixes, budget.Earlier, budget.Hurt = s.incident.refused, s.incident.refusedPrefixes, s.incident.earlier, s.incident.hurt
	}
	for _, d := range s.know.decisions {
		if d.prefix.IsValid() {
			if budget.Prefixes = append(budget.Prefixes, d.prefix); d.Action != schemas.Block {
				budget.Asked++
			}
		} else if d.score != nil {
			budget.Scores = append(budget.Scores, d.inForce())
		} else if d.signature != nil && d.Action != schemas.Block {
			budget.Softly = append(budget.Softly, d.signature)
		} else if d.signature != nil {
			budget.InForce = append(budget.InForce, d.signature)
		}
	}
	return budget
}

// impose makes decisions of measures that are not in force yet.
func (s *site) impose(measures []attribute.Measure, second int64, emit func(schemas.Event)) {
	i, now := s.incident, s.d.knownAt(second)
	held := make(map[string]int)
	for _, d := range s.know.decisions {
		held[d.Value] = max(held[d.Value], d.Action.Severity())
	}
	room, told := s.d.o.MaxDecisions-s.d.inForce(), s.d.told-s.d.evidence()
	left := make(map[Cap]int)
	i.undecided.reached, i.undecided.beyond = "", 0
	defer func() { s.tellCaps(left) }()
	s.pardon(second, "")
	for _, m := range measures {
		s.soften(&m)
		known := s.mind(&m)
		if m.Scope == schemas.ScopeClient && s.rejects(m.Value) {
			continue
		}
		if m.Scope == schemas.ScopeClient {
			held[m.Value] = s.know.scored.severity(m.Value)
		}
		if held[m.Value] >= m.Action.Severity() {
			continue
		}
		if reached := s.capOf(&m, room); reached != "" {
			left[reached]++
			i.undecided.reached = reached
			if m.Scope != schemas.ScopeClient {
				i.undecided.beyond = min(1, i.undecided.beyond+m.Stops)
			}
			continue
		}
		room--
		i.number++
		i.all.decided++
		s.beginProbation(second)
		s.soften(&m) // the first one begins the probation
		d := &decision{incident: i.id, kind: s.state.Kind, signature: m.Signature, score: m.Score, touches: m.Touches, since: second, matched: second, Decision: schemas.Decision{
			ID: fmt.Sprintf("%s-%d", i.id, i.all.decided), Action: m.Action, Scope: m.Scope, Value: m.Value,
			Collateral: m.Collateral, CollateralPerHour: m.CollateralPerHour,
			CollateralClients: m.CollateralClients, Origin: schemas.OriginWeir, Evidence: m.Evidence, Reason: reason(m) + known + s.onProbation(),
		}}
		if _, ok := d.rule(); ok && i.first == 0 {
			i.first = second
		}
		d.hash = decisionHash(s.d.seed, []byte(d.ID))
		if d.Scope == schemas.ScopePrefix {
			d.prefix = netip.MustParsePrefix(d.Value) // of attribution's own
		}
		d.Expires = s.until(d, now)
		if d.Scope == schemas.ScopeClient {
			s.tell(schemas.DecisionAdded, d, now, emit)
			if d.forMatch, told = ofMatched(d), told-1; told < 0 {
				d.Evidence = nil
			}
			s.know.scored.add(d)
			continue
		}
		d.Probes = s.d.probeKey
		if m.Instead {
			s.makeRoom(measures, second, emit)
		}
		s.know.decisions = append(s.know.decisions, d)
		s.tellLists(d, second)
		s.tell(schemas.DecisionAdded, d, now, emit)
	}
}

// usualRate is the requests a second that the site has at this hour.
func (s *site) usualRate(second int64) float64 {
	level, _ := s.base.Normal(detect.RequestRate, hourOf(second))
	return math.Expm1(level) / stepSeconds
}

// normalRate is the requests a second that the site would have at this hour, a
// spread above the level, so that the attack is not made out larger than it is.
func (s *site) normalRate(second int64) float64 {
	level, spread := s.base.Normal(detect.RequestRate, hourOf(second))
	return math.Expm1(level+spread) / stepSeconds
}

// normalMean is the same over the dozen of steps that suspects are of, whose mean spreads by about
// the root of that less: with the spread of one step an attack that doubles the traffic of a
// site with ups and downs would not be there at all.
func (s *site) normalMean(second int64) float64 {
	level, spread := s.base.Normal(detect.RequestRate, hourOf(second))
	return math.Expm1(level+spread/4) / stepSeconds
}

func reason(m attribute.Measure) string {
	if e := m.Evidence; m.Scope == schemas.ScopeClient && e != nil && len(e.Traits) > 0 {
		return shorten(fmt.Sprintf("%.0f times likelier one of the attack's than a normal client: %s; clients as unlike the normal ones are at most %.2f %% of this site's people (%d looked at)",
			min(e.RiskRatio, 1e6), e.Traits[0].Value, 100*m.Together, m.CollateralClients), schemas.MaxSentence)
	}
	from := ""
	if m.Scope == schemas.ScopePrefix {
		from = fmt.Sprintf("%d of the clients looked at come from there now, and none did before; ", m.Clients)
	}
	return from + fmt.Sprintf("stops %.0f %% of the attack's requests that nothing else stops; touches at most %.2f %% of this site's people (%d looked at)",
		100*m.Stops, 100*m.Collateral, m.CollateralClients)
}

// tell emits a decision's event with a copy of the decision.
func (s *site) tell(t schemas.EventType, d *decision, now time.Time, emit func(schemas.Event)) {
	c := d.Decision
	s.know.news.decided = true
	emit(schemas.Event{Type: t, Time: now, Sites: []string{s.name}, Incident: d.incident, Decision: &c})
	s.d.count.decisions.WithLabelValues(string(t), string(d.Action)).Inc()
}
