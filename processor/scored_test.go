package processor

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/schemas"
)

func onClient(id, client string, action schemas.Action) *decision {
	return &decision{Decision: schemas.Decision{ID: id, Action: action, Scope: schemas.ScopeClient, Value: client}}
}

func TestScoredListIsBoundedAndFindsTheStronger(t *testing.T) {
	var l scoredList
	l.add(onClient("1", "192.0.2.1", schemas.Challenge))
	if l.severity("192.0.2.1") != schemas.Challenge.Severity() || l.severity("192.0.2.2") != 0 || l.severity("no address") != 0 {
		t.Error("room for what is there, or none for what is not")
	}
	l.add(onClient("2", "192.0.2.1", schemas.Block))
	l.add(onClient("3", "2001:db8:1:2::", schemas.Challenge))
	for client, want := range map[string]string{"192.0.2.1": "2", "::ffff:192.0.2.1": "2", "2001:db8:1:2:3:4:5:6": "3"} {
		if d := l.of(netip.MustParseAddr(client)); d == nil || d.ID != want {
			t.Errorf("%s is under %+v, want %s", client, d, want)
		}
	}
	l.keep(func(d *decision) bool { return d.ID != "2" })
	if d := l.of(netip.MustParseAddr("192.0.2.1")); d == nil || d.ID != "1" || len(l.list) != 2 {
		t.Errorf("after the block has gone: %+v of %d", d, len(l.list))
	}
	l.keep(func(*decision) bool { return false })
	if l.of(netip.MustParseAddr("192.0.2.1")) != nil || len(l.list) != 0 {
		t.Error("something is left")
	}
	for i := range maxScored {
		l.add(onClient(fmt.Sprint(i), netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), schemas.Block))
	}
	s := newSite(make1(t, small).detector, "www.example.org", 0)
	s.know.scored = l
	one := attribute.Measure{Scope: schemas.ScopeClient, Action: schemas.Block, Value: "192.0.2.9"}
	if got := s.capOf(&one, 1<<20); got != CapClients {
		t.Errorf("room for more than %d: %q", maxScored, got)
	}
}

// TestScoredFitIntoAMessage: as many clients as may be under decisions of their own are told to
// counters in one message.
func TestScoredFitIntoAMessage(t *testing.T) {
	know := NewKnowledge()
	know.noting = true
	s := know.of("www.example.org")
	for i := range maxScored {
		addr := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, byte(i >> 8), byte(i)})
		s.scored.add(onClient(fmt.Sprintf("i261102-180809-%d", i), addr.String(), schemas.Challenge))
	}
	s.news.decided = true
	messages := know.Changes()
	if len(messages) != 1 || len(messages[0]) > schemas.MaxMessage {
		t.Fatalf("%d messages, the first of %d bytes", len(messages), len(messages[0]))
	}
	other := NewKnowledge()
	if err := other.Apply(messages[0]); err != nil {
		t.Fatal(err)
	}
	r := &schemas.Request{Client: netip.MustParseAddr("2001:db8:ffff:5::1"), Status: 403}
	action, _ := other.of("www.example.org").infer(r, edgesRefuse(r.Status), drawnOf(r), nil)
	if got := len(other.of("www.example.org").scored.list); got != maxScored || action != schemas.Challenge {
		t.Errorf("%d clients arrive, and a refused request of one is taken for %s", got, action)
	}
	r.Status = 200
	if action, _ := other.of("www.example.org").infer(r, edgesRefuse(r.Status), drawnOf(r), nil); action != schemas.Allow {
		t.Errorf("a served request is taken for %s", action)
	}
}

// TestOnProbationNobodyIsBlockedByAddress: who is challenged can show that it is a person.
func TestOnProbationNobodyIsBlockedByAddress(t *testing.T) {
	count, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := newDetector(Options{Probation: 10 * time.Minute, TTL: 10 * time.Minute}, newExtractor(Options{}), NewKnowledge(), count)
	s := newSite(d, "www.example.org", 0)
	s.incident = &incident{id: "i1", began: 1_795_000_000}
	m := attribute.Measure{Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.1"}
	if s.soften(&m); m.Action != schemas.Challenge {
		t.Errorf("on probation: %s", m.Action)
	}
	soft := onClient("i1-1", "192.0.2.1", m.Action)
	s.trusted, m.Action = true, schemas.Block
	if s.soften(&m); m.Action != schemas.Block {
		t.Errorf("trusted: %s", m.Action)
	}
	hard := onClient("i1-2", "192.0.2.1", m.Action)
	if until := s.until(hard, time.Unix(1_795_000_000, 0)); until.Sub(time.Unix(1_795_000_000, 0)) != scoredLives*d.o.TTL {
		t.Errorf("it lasts %s", until.Sub(time.Unix(1_795_000_000, 0)))
	}
	s.know.scored.add(soft)
	soft.incident, soft.since = "i1", 1_795_000_000
	if s.cameAgain(soft, 1_795_000_100); s.incidentLive().Probes != 0 {
		t.Error("what came before it was challenged is taken for a probe")
	}
	if s.cameAgain(soft, 1_795_000_200); s.incidentLive().Probes != 1 {
		t.Error("who came again and showed nothing is no probe")
	}
	s.incident.solved = 1
	if live := s.incidentLive(); live.Probes != 2 || live.People != 1 {
		t.Errorf("one of two is a person: %+v", live)
	}
}

// TestACrowdIsAskedNotRefused: where people were there before the attack, what normal clients do not
// show may be theirs, unless nobody has a reason to ask for it.
func TestACrowdIsAskedNotRefused(t *testing.T) {
	count, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(newDetector(Options{TTL: 10 * time.Minute}, newExtractor(Options{}), NewKnowledge(), count), "www.example.org", 0)
	for _, x := range []struct {
		among     bool
		signature string
		want      schemas.Action
	}{
		{false, `cookie="none" path_shape="/a/w.html"`, schemas.Block},
		{true, `cookie="none" path_shape="/a/w.html"`, schemas.Challenge},
		{true, `cookie="none" path_known="yes"`, schemas.Challenge},
		{true, `cookie="none" path_known="no"`, schemas.Block},
	} {
		signature, err := schemas.ParseSignature(x.signature)
		if err != nil {
			t.Fatal(err)
		}
		s.incident = &incident{id: "i1", among: x.among}
		m := attribute.Measure{Action: schemas.Block, Scope: schemas.ScopeSignature, Value: x.signature, Signature: signature}
		if s.soften(&m); m.Action != x.want {
			t.Errorf("a crowd %t, %s: %s, want %s", x.among, x.signature, m.Action, x.want)
		}
	}
	s.state.Kind, s.incident = schemas.Crowd, nil
	s.change(detect.Opened, 1_795_000_000, func(schemas.Event) {})
	if s.state.Kind = schemas.Flood; s.incident == nil || !s.incident.among {
		t.Error("it does not know that it was a crowd at first")
	}
}
