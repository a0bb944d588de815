package processor

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// scored makes a decision of a score's text.
func scoredBy(t *testing.T, id string, action schemas.Action, text string) *decision {
	t.Helper()
	score, err := schemas.ParseScore(text)
	if err != nil {
		t.Fatal(err)
	}
	return &decision{score: score, touches: []uint64{1, 1 << 63}, Decision: schemas.Decision{
		ID: id, Action: action, Scope: schemas.ScopeScore, Value: score.String(), Probes: "0123456789abcdef", Origin: schemas.OriginWeir,
	}}
}

// TestScoresReachCounters: what a log does not say that an edge did is told by the score that it held.
func TestScoresReachCounters(t *testing.T) {
	know := NewKnowledge()
	know.noting = true
	s := know.of("www.example.org")
	s.decisions = append(s.decisions, scoredBy(t, "i261102-180809-1", schemas.Challenge, `10 of user_agent:2 "bot"=9 method:1 "POST"=4 path_known:0 "no"=3`))
	s.news.decided = true
	other := NewKnowledge()
	for _, message := range know.Changes() {
		if err := other.Apply(message); err != nil {
			t.Fatal(err)
		}
	}
	told := other.of("www.example.org")
	if len(told.decisions) != 1 || told.decisions[0].score == nil || len(told.scored.list) != 0 {
		t.Fatalf("%d decisions and %d on clients arrive, want the score", len(told.decisions), len(told.scored.list))
	}
	for _, c := range []struct {
		agent, method string
		path          string
		want          schemas.Action
	}{
		{"bot", "GET", "no", schemas.Challenge},   // 9+1+3
		{"bot", "GET", "yes", schemas.Challenge},  // 9+1+0
		{"human", "POST", "no", schemas.Allow},    // 2+4+3
		{"human", "GET", "no", schemas.Allow},     // 2+1+3
		{"bot", "POST", "yes", schemas.Challenge}, // 9+4+0
	} {
		r := &schemas.Request{Client: netip.MustParseAddr("192.0.2.1"), Status: 429, UserAgent: []byte(c.agent), Method: []byte(c.method), Path: []byte("/x"), Fields: schemas.FieldUserAgent}
		if action, _ := told.infer(r, edgesRefuse(r.Status), drawnOf(r), func(schemas.Listed) string { return c.path }); action != c.want {
			t.Errorf("%s %s %s: taken for %s, want %s", c.agent, c.method, c.path, action, c.want)
		}
	}
}

// withScore is a processor in an attack, with a score among the decisions of its site.
func withScore(t *testing.T) (*Processor, *site, *decision) {
	tr, attack := story(2)
	batches := tr.batches(100)
	batches = slices.DeleteFunc(batches, func(b *schemas.Batch) bool { return b.Time[0] >= start+attack+90_000 })
	p := make1(t, small)
	run(t, p, batches)
	s := p.detector.sites[0]
	if s.incident == nil {
		t.Fatal("no incident")
	}
	d := scoredBy(t, "i1-99", schemas.Challenge, `9 of user_agent:0 "nobody/1.0"=9`)
	d.incident, d.Expires = s.incident.id, p.detector.knownAt(p.detector.closed).Add(time.Minute)
	s.know.decisions = append(s.know.decisions, d)
	return p, s, d
}

func TestScoresOverARestart(t *testing.T) {
	p, s, d := withScore(t)
	s.incident.noScore = true
	q := reloaded(t, p, small)
	to := q.detector.sites[0]
	at := slices.IndexFunc(to.know.decisions, func(o *decision) bool { return o.ID == d.ID })
	if at < 0 || to.know.decisions[at].score.String() != d.Value || !slices.Equal(to.know.decisions[at].touches, d.touches) || !to.incident.noScore {
		t.Errorf("the score is not what it was: %+v", to.know.decisions)
	}
}

// TestScoresOfNetworks: counters are told of one, a saved one is what it was, and a detector that knows no networks leaves it out
// and keeps all else: as an edge does, it stops nobody by the rest of it.
func TestScoresOfNetworks(t *testing.T) {
	p, s, _ := withScore(t)
	d := scoredBy(t, "i1-97", schemas.Challenge, `12 of user_agent:2 "bot"=9 wide_network:0 "198.0.0.0/8"=3 narrow_network:0 "198.48.0.0/12"=1`)
	d.incident, d.Expires = s.incident.id, p.detector.knownAt(p.detector.closed).Add(time.Minute)
	s.know.decisions = append(s.know.decisions, d)
	saved := s.open()
	at := slices.IndexFunc(saved.Decisions, func(o savedDecision) bool { return o.ID == d.ID })
	if at < 0 || saved.Decisions[at].Scope == schemas.ScopeScore || d.Scope != schemas.ScopeScore {
		t.Fatalf("it is saved as what a detector of before refuses with all else: %+v", saved.Decisions)
	}
	older := &siteKnowledge{}
	older.setDecisions([]*decision{{Decision: saved.Decisions[at].Decision}}) // what reopen makes of a scope that it does not know
	if len(older.decisions)+len(older.scored.list) > 0 {
		t.Error("it is kept")
	}
	to := reloaded(t, p, small).detector.sites[0].know
	at = slices.IndexFunc(to.decisions, func(o *decision) bool { return o.ID == d.ID })
	if at < 0 || to.decisions[at].Scope != schemas.ScopeScore || to.decisions[at].score.String() != d.Value {
		t.Fatalf("the score is not what it was: %+v", to.decisions)
	}
	for client, want := range map[string]schemas.Action{"198.51.100.1": schemas.Challenge, "198.1.0.1": schemas.Challenge, "203.0.113.1": schemas.Allow} {
		r := &schemas.Request{Client: netip.MustParseAddr(client), Status: 429, UserAgent: []byte("bot"), Fields: schemas.FieldUserAgent}
		only := &siteKnowledge{decisions: []*decision{to.decisions[at]}}
		if action, _ := only.infer(r, edgesRefuse(r.Status), drawnOf(r), func(schemas.Listed) string { return "" }); action != want {
			t.Errorf("%s: taken for %s, want %s", client, action, want)
		}
	}
}

// TestAScoreThatHurtsEndsScores: one that was lifted would come back with other points, so that no other is taken in
// the incident.
func TestAScoreThatHurtsEndsScores(t *testing.T) {
	p, s, _ := withScore(t)
	normal := s.normalSample()
	common := scoredBy(t, "i1-98", schemas.Challenge, `9 of user_agent:0 `+quoted(tool.agent)+`=9`)
	s.know.decisions = append(s.know.decisions, common)
	if live := attribute.Look(normal, normal, attribute.Rule{Score: common.score}, s.resolver()); live.Clients == 0 || live.Touched == 0 {
		t.Errorf("it does nothing: %+v", live)
	}
	var log []schemas.Event
	s.lift(common, "lifted: it hurt", p.detector.closed, func(e schemas.Event) { log = append(log, e) })
	if !s.incident.noScore || len(log) != 1 || log[0].Type != schemas.DecisionRemoved {
		t.Errorf("%v %v", s.incident.noScore, log)
	}
}

// TestAScoreThatTouchesManyIsNotRenewed: what asks is held against the people who are normal by now each time that it is to
// last, the one that was taken last goes first, and what fits stays.
func TestAScoreThatTouchesManyIsNotRenewed(t *testing.T) {
	_, s, few := withScore(t)
	many := scoredBy(t, "i1-98", schemas.Challenge, `9 of user_agent:0 `+quoted(tool.agent)+`=9`)
	asks := &decision{signature: schemas.Signature{{Trait: schemas.TraitUserAgent, Value: "nobody/2.0"}}, Decision: schemas.Decision{ID: "i1-97", Action: schemas.Challenge, Scope: schemas.ScopeSignature}}
	s.know.decisions = []*decision{asks, few, many}
	normal := s.normalSample()
	within := s.withinBudget(normal, normal)
	if !within(asks) || !within(few) || within(many) {
		t.Errorf("the signature %v, the score that touches nobody %v, the one that touches many %v", within(asks), within(few), within(many))
	}
}

// TestAScoreMakesRoom: what only asks ends where a score is taken instead of it; blocks stay, clients, and what is chosen again.
func TestAScoreMakesRoom(t *testing.T) {
	p, s, old := withScore(t)
	sign := func(id string, action schemas.Action, text string) *decision {
		signature, err := schemas.ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		second := p.detector.closed
		return &decision{signature: signature, incident: s.incident.id, since: second - 120, matched: second, Decision: schemas.Decision{
			ID: id, Action: action, Scope: schemas.ScopeSignature, Value: text, Expires: old.Expires, Origin: schemas.OriginWeir}}
	}
	gone, again, block := sign("i1-95", schemas.Challenge, `method="PUT"`), sign("i1-96", schemas.Challenge, `method="PATCH"`), sign("i1-97", schemas.Block, `method="TRACE"`)
	s.know.decisions = append(s.know.decisions, gone, again, block)
	kept := len(s.know.decisions) - 2 // all but old and gone
	score, err := schemas.ParseScore(`7 of method:0 "DELETE"=9`)
	if err != nil {
		t.Fatal(err)
	}
	var log []schemas.Event
	s.impose([]attribute.Measure{
		{Action: schemas.Challenge, Scope: schemas.ScopeScore, Value: score.String(), Score: score, Instead: true},
		{Action: schemas.Challenge, Scope: schemas.ScopeSignature, Value: again.Value, Signature: again.signature},
	}, p.detector.closed, func(e schemas.Event) { log = append(log, e) })
	held := map[string]bool{}
	for _, d := range s.know.decisions {
		held[d.ID] = true
	}
	if held[old.ID] || held[gone.ID] || !held[again.ID] || !held[block.ID] || len(s.know.decisions) != kept+1 {
		t.Errorf("in force are %v", held)
	}
	removed, added := 0, 0
	for _, e := range log {
		switch e.Type {
		case schemas.DecisionRemoved:
			removed++
		case schemas.DecisionAdded:
			added++
		}
	}
	if removed != 2 || added != 1 || s.incident.noScore {
		t.Errorf("%d removed, %d added, no score more: %v", removed, added, s.incident.noScore)
	}
	if !slices.ContainsFunc(s.armed, func(a *armed) bool { return a.Value == gone.Value }) {
		t.Error("what worked is not kept for the attack's return")
	}
}

func quoted(text string) string {
	return schemas.Signature{{Value: text}}.String()[len("user_agent="):]
}

// TestKnowledgeOfANewerWeir: a counter takes what it is told but for the decisions that it cannot read, and one that knows
// no scores is told of them as of a client that nobody is.
func TestKnowledgeOfANewerWeir(t *testing.T) {
	know := NewKnowledge()
	know.noting = true
	s := know.of("www.example.org")
	score := scoredBy(t, "i1-1", schemas.Challenge, `9 of user_agent:0 "bot"=9`)
	newer := &decision{signature: schemas.Signature{{Trait: schemas.TraitUserAgent, Value: "x"}}, Decision: schemas.Decision{ID: "i1-2", Action: schemas.Block, Value: `shoe_size="48"`}}
	known := &decision{signature: schemas.Signature{{Trait: schemas.TraitUserAgent, Value: "y"}}, Decision: schemas.Decision{ID: "i1-3", Action: schemas.Block, Value: `user_agent="y"`}}
	s.decisions, s.news.decided = []*decision{newer, score, known}, true
	w := &state.Writer{}
	s.writeOpen(w)
	if flag := strings.Index(string(w.Bytes), score.Value); flag < 3 || w.Bytes[flag-2] != 0 {
		t.Error("a score is told as a signature")
	}
	other := NewKnowledge()
	for _, message := range know.Changes() {
		if err := other.Apply(message); err != nil {
			t.Fatal(err)
		}
	}
	told := other.of("www.example.org").decisions
	if len(told) != 2 || told[0].score == nil || told[1].ID != "i1-3" {
		t.Errorf("%+v", told)
	}
}

// TestMostThatFit: of decisions in their order as many stay as fit, with few looks.
func TestMostThatFit(t *testing.T) {
	for n := range 40 {
		for most := range n + 1 {
			looks := 0
			if got := mostThatFit(n, func(i int) bool { looks++; return i <= most }); got != most || looks > 7 {
				t.Fatalf("of %d, of which %d fit: %d after %d looks", n, most, got, looks)
			}
		}
	}
}
