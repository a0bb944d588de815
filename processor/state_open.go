package processor

import (
	"net/netip"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// savedOpen is the incident and the decisions of a site as they are saved.
type savedOpen struct {
	State     detect.State    `json:"state"`
	Tail      detect.Tail     `json:"tail"`
	Incident  *savedIncident  `json:"incident,omitempty"`
	Decisions []savedDecision `json:"decisions,omitempty"`
	Past      *past           `json:"past,omitempty"`
	Accepted  *accepted       `json:"accepted,omitempty"`
	Armed     *savedArmed     `json:"armed,omitempty"`
	Trusted   bool            `json:"trusted,omitempty"`
	Visits    []visit         `json:"visits,omitempty"`
	Alike     attribute.Alike `json:"alike,omitempty"`
	Regulars  []savedSecond   `json:"regulars,omitempty"`
	Agents    []byte          `json:"agents,omitempty"` // lists, see pathList.write
	Queries   []byte          `json:"queries,omitempty"`
	// Pairs are of each list what two clients made known who can still be told, see pathList.pairs; without it nobody can.
	Pairs [schemas.NumListed][]byte `json:"pairs,omitzero"`
	// FullDays is for how many days each list has been full, which a program of before keeps for good.
	FullDays [schemas.NumListed]uint8 `json:"full_days,omitzero"`

	Remembered *savedRemembered `json:"remembered,omitempty"`

	// Estate is with the first site: where it stood by itself, a program of before would refuse all that was saved.
	Estate *savedEstate `json:"estate,omitempty"`
}

// savedEstate is what is known of what comes for hosts that are no site's, see Detector.strange.
type savedEstate struct {
	Began      int64 `json:"began"`
	StrangeFor int   `json:"strange_for,omitempty"`
	ManyNames  int64 `json:"many_names,omitempty"`
}

// savedSecond is what the regulars met in a second.
type savedSecond struct {
	Second int64  `json:"second"`
	Passed uint64 `json:"passed"`
	regularCounts
}

type savedIncident struct {
	ID      string        `json:"id"`
	Opened  time.Time     `json:"opened"`
	Second  int64         `json:"second"`
	Next    int64         `json:"next"`
	Number  int           `json:"number"`
	Sites   []string      `json:"sites"`
	Decided int           `json:"decided"`
	Cause   string        `json:"cause"`
	NoScore bool          `json:"no_score,omitempty"`
	Conduct attackConduct `json:"conduct,omitempty"`
	First   int64         `json:"first,omitempty"`
	Refused []string      `json:"refused,omitempty"`
	Returns string        `json:"returns,omitempty"`
	Began   int64         `json:"began,omitempty"`
	Lapsed  bool          `json:"lapsed,omitempty"`
	Word    bool          `json:"word,omitempty"`
	Solved  int           `json:"solved,omitempty"`
	Among   bool          `json:"among,omitempty"`
	Attack  int64         `json:"attack,omitempty"`
	Earlier []byte        `json:"earlier,omitempty"` // see saveEarlier
	Lifted  []string      `json:"lifted,omitempty"`  // see saveHurt
	Hurt    []byte        `json:"hurt,omitempty"`

	Undecided undecided `json:"undecided,omitzero"`

	Peak detect.Peak `json:"peak"`
}

// ofNetworks is the scope of a score that goes by networks, as it is saved. A detector that knows none of these
// takes it for a client that nobody is, and leaves it out; as a score it would refuse all that was saved.
const ofNetworks = schemas.ScopeScore + " of networks"

type savedDecision struct {
	schemas.Decision
	Incident string       `json:"incident"`
	Of       schemas.Kind `json:"of,omitempty"`
	Since    int64        `json:"since,omitempty"`
	Matched  int64        `json:"matched"`
	Hurt     bool         `json:"hurt,omitempty"`
	Seen     schemas.Live `json:"seen,omitzero"`
	Touches  []uint64     `json:"touches,omitempty"`
	ForMatch bool         `json:"for_match,omitempty"`
}

func (s *site) open() savedOpen {
	saved := savedOpen{State: s.state, Tail: s.tail, Past: s.past, Accepted: s.accepted, Armed: s.saveArmed(), Trusted: s.trusted, Visits: s.visits, Remembered: s.saveRemembered()}
	if d := s.d; s == d.sites[0] {
		saved.Estate = &savedEstate{d.began, d.strangeFor, d.manyNames}
	}
	if len(s.know.scored.list) > 0 {
		saved.Alike = s.alike
	}
	saved.Agents, saved.Queries = s.lists[schemas.ListedAgents].bytes(), s.lists[schemas.ListedQueries].bytes()
	for of := range s.lists {
		saved.FullDays[of], saved.Pairs[of] = s.lists[of].days, s.lists[of].pairs()
	}
	if s.know.inForce() > 0 || s.incident != nil {
		saved.Regulars = s.regulars.save()
	}
	if i := s.incident; i != nil {
		saved.Incident = &savedIncident{ID: i.id, Opened: i.opened, Second: i.second, Next: i.next, Number: i.number, Sites: i.all.sites, Decided: i.all.decided, Cause: i.last.Cause, Peak: i.peak,
			Returns: i.returns, Began: i.began, Lapsed: i.lapsed, Word: i.word, Solved: i.solved, Among: i.among, Attack: i.attack, Earlier: i.saveEarlier(), NoScore: i.noScore, Conduct: i.conduct, First: i.first, Undecided: i.undecided}
		saved.Incident.Lifted, saved.Incident.Hurt = i.saveHurt()
		for _, signature := range i.refused {
			saved.Incident.Refused = append(saved.Incident.Refused, signature.String())
		}
		for _, prefix := range i.refusedPrefixes {
			saved.Incident.Refused = append(saved.Incident.Refused, prefix.String())
		}
	}
	for _, list := range [][]*decision{s.know.decisions, s.know.scored.list} {
		for _, d := range list {
			kept := d.Decision
			if d.score != nil && d.score.FromNetworks() {
				kept.Scope = ofNetworks
			}
			saved.Decisions = append(saved.Decisions, savedDecision{kept, d.incident, d.kind, d.since, d.matched, d.hurt, d.live, d.touches, d.forMatch})
		}
	}
	return saved
}

func (s *site) reopen(saved savedOpen, r *state.Reader) {
	if saved.State.Open != (saved.Incident != nil) || len(saved.Decisions) > maxDecisions+maxScored {
		r.Fail("the incident of site %q does not hold together", s.name)
		return
	}
	if e := saved.Estate; e != nil {
		if e.Began > s.d.closed || e.ManyNames > s.d.closed || e.StrangeFor < 0 {
			r.Fail("what came for hosts that are no site's is of the future")
			return
		}
		s.d.began, s.d.strangeFor, s.d.manyNames = e.Began, e.StrangeFor, e.ManyNames
	}
	s.state, s.tail, s.past, s.accepted = saved.State, saved.Tail, saved.Past, saved.Accepted
	for of, list := range [schemas.NumListed][]byte{schemas.ListedAgents: saved.Agents, schemas.ListedQueries: saved.Queries} {
		if err := s.lists[of].fill(list); err != nil {
			r.Fail("what site %q knows: %v", s.name, err)
			return
		}
	}
	for of := range s.lists {
		s.lists[of].days = saved.FullDays[of]
		if err := s.lists[of].pair(saved.Pairs[of]); err != nil {
			r.Fail("what site %q knows: %v", s.name, err)
			return
		}
	}
	s.sureOfLists()
	if len(saved.Visits) > maxVisits {
		r.Fail("site %q watches %d probes, at most %d", s.name, len(saved.Visits), maxVisits)
		return
	}
	if len(saved.Alike) > s.d.o.SampleClients*2 {
		r.Fail("site %q has %d clients like those under decisions, more than it may know", s.name, len(saved.Alike))
		return
	}
	s.trusted, s.visits, s.alike = saved.Trusted, saved.Visits, saved.Alike
	s.regulars.load(saved.Regulars)
	if err := s.rearm(saved.Armed); err != nil {
		r.Fail("%v", err)
		return
	}
	if err := s.loadRemembered(saved.Remembered); err != nil {
		r.Fail("%v", err)
		return
	}
	if i := saved.Incident; i != nil {
		s.incident = &incident{id: i.ID, opened: i.Opened, second: i.Second, next: i.Next, number: i.Number, all: &together{sites: i.Sites, decided: i.Decided}, returns: i.Returns, began: i.Began, lapsed: i.Lapsed, word: i.Word, solved: i.Solved, among: i.Among, attack: i.Attack, noScore: i.NoScore, conduct: i.Conduct, first: i.First, undecided: i.Undecided}
		s.incident.peak, s.incident.last.Kind, s.incident.last.Cause = i.Peak, saved.State.Kind, i.Cause
		if err := s.loadEarlier(i.Earlier); err != nil {
			r.Fail("%v", err)
			return
		}
		if err := s.loadHurt(i.Lifted, i.Hurt); err != nil {
			r.Fail("%v", err)
			return
		}
		s.know.troubled = i.Second
		for _, text := range i.Refused {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				s.incident.refusedPrefixes = append(s.incident.refusedPrefixes, prefix)
				continue
			}
			signature, err := schemas.ParseSignature(text)
			if err != nil {
				r.Fail("%v", err)
				return
			}
			s.incident.refused = append(s.incident.refused, signature)
		}
		s.taint()
	}
	var all []*decision
	for _, d := range saved.Decisions {
		if d.Scope == ofNetworks {
			d.Scope = schemas.ScopeScore
		}
		kept := &decision{Decision: d.Decision, incident: d.Incident, kind: d.Of, since: d.Since, matched: d.Matched, hurt: d.Hurt, live: d.Seen,
			hash: decisionHash(s.d.seed, []byte(d.ID)), forMatch: d.ForMatch}
		kept.forMatch = kept.forMatch || ofMatched(kept) // an older weir's state tells by the evidence
		if d.Scope == schemas.ScopeSignature {
			signature, err := schemas.ParseSignature(d.Value)
			if err != nil {
				r.Fail("%v", err)
				return
			}
			kept.signature = signature
		}
		if d.Scope == schemas.ScopeScore {
			score, err := schemas.ParseScore(d.Value)
			if err != nil { // it is of a newer weir: it ends at the edges by itself
				continue
			}
			kept.score, kept.touches = score, d.Touches
		}
		if d.Scope == schemas.ScopePrefix {
			prefix, err := netip.ParsePrefix(d.Value)
			if err != nil {
				r.Fail("%v", err)
				return
			}
			kept.prefix = prefix
		}
		all = append(all, kept)
	}
	s.know.setDecisions(all)
}
