package processor

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// TestWhatIsLeftIsNoSingleAddresses: what decisions on single addresses stop is not left; of those that have not come again since it is.
func TestWhatIsLeftIsNoSingleAddresses(t *testing.T) {
	p, s, score := withScore(t)
	second := p.detector.closed
	s.know.decisions = []*decision{score} // which matches nobody
	s.know.scored.keep(func(*decision) bool { return false })
	if left := s.undecidedRest(second).Left; left < 0.9 {
		t.Fatalf("%.2f is left by what matches nobody", left)
	}
	var clients []netip.Addr
	s.suspects(second, s.incident.suspectsFrom()).EachSeen(func(client netip.Addr, _ attribute.Seen) { clients = append(clients, client) })
	for _, client := range clients {
		s.know.scored.add(&decision{incident: s.incident.id, since: second, Decision: schemas.Decision{Action: schemas.Block, Scope: schemas.ScopeClient, Value: client.String()}})
	}
	if left := s.undecidedRest(second).Left; left < 0.05 || left > 0.6 {
		t.Errorf("%.2f is left of an attack all of whose clients are blocked, most of which have come again", left)
	}
}

// TestWhatIsLeftIsTakenBack: what is said of what decisions leave is said no longer once none is in force, whether or not single addresses
// that come again are.
func TestWhatIsLeftIsTakenBack(t *testing.T) {
	for name, single := range map[string]bool{"nothing": false, "single addresses": true} {
		p, s, _ := withScore(t)
		second := p.detector.closed
		s.know.decisions = nil
		s.know.scored.keep(func(*decision) bool { return false })
		if single {
			s.know.scored.add(&decision{incident: s.incident.id, since: second, Decision: schemas.Decision{Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.1"}})
		}
		s.incident.undecided = undecided{Rest: second - 60, At: second - 60, Told: &schemas.Undecided{Site: s.name, Cap: "collateral", Left: 0.4}}
		told := 0
		s.tellUndecided(second, func(e schemas.Event) { told += 1 + len(e.Undecided) })
		if u := s.incident.undecided; told != 1 || u.Told != nil || u.Rest != 0 {
			t.Errorf("%s is in force: told %d times, %+v", name, told, u)
		}
	}
}

// TestWhereNothingIsDecidedComesFirst: of an incident at several sites those where nothing is decided are named before those where something is.
func TestWhereNothingIsDecidedComesFirst(t *testing.T) {
	p := make1(t, small)
	for _, u := range []schemas.Undecided{{Site: "a.example", Left: 0.4}, {Site: "b.example"}, {Site: "c.example", Left: 0.3}, {Site: "d.example"}} {
		p.detector.site(u.Site).incident = &incident{id: "i1", all: &together{}, undecided: undecided{Told: &u}}
	}
	var order []string
	for _, u := range p.detector.site("c.example").event(schemas.IncidentUpdated, p.detector.knownAt(100)).Undecided {
		order = append(order, u.Site[:1])
	}
	if got := strings.Join(order, ""); got != "bdac" {
		t.Errorf("in the order %s", got)
	}
}

// TestWhatTheBudgetIsSpentOn: a measure that would touch few enough by itself is refused for what is in force, and not for want of clients.
func TestWhatTheBudgetIsSpentOn(t *testing.T) {
	s := make1(t, small).detector.site("www.example.org")
	r := &attribute.Refusal{Obstacle: attribute.TooManyHurt, Signature: schemas.Signature{{Value: "odd"}}, Stops: 0.3, Touches: 0.002, Clients: 5000}
	for more, want := range map[bool]string{true: "beside those whom what is in force may touch", false: "5000 normal clients that are known too few"} {
		var u schemas.Undecided
		if more {
			u.Left = 0.4
		}
		if s.refused(&u, r); !strings.Contains(u.Why, want) {
			t.Errorf("more is %t: %s", more, u.Why)
		}
	}
}

// TestWhatIsToldOfTheRestStays: what was told of what decisions leave is not taken back because the best measure that was refused stops a
// little less by now than what is worth telling; where nothing is told it must stop as much.
func TestWhatIsToldOfTheRestStays(t *testing.T) {
	part, whole := &schemas.Undecided{Cap: "collateral", Left: 0.4}, &schemas.Undecided{Cap: "collateral"}
	for _, c := range []struct {
		told  *schemas.Undecided
		stops float64
		want  bool
	}{{nil, 0.11, true}, {nil, 0.09, false}, {part, 0.11, true}, {part, 0.09, true}, {part, 0.04, false}, {whole, 0.09, false}} {
		if u := (&undecided{Told: c.told}); u.worthTelling(c.stops) != c.want {
			t.Errorf("%.2f after %+v: %v", c.stops, c.told, !c.want)
		}
	}
}
