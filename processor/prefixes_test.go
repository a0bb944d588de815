package processor

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestPrefixesReachCounters: a decision on a prefix is told to counters, which take a refused request from there for its, and
// one of a client that it lets through for its probe.
func TestPrefixesReachCounters(t *testing.T) {
	know := NewKnowledge()
	know.noting = true
	s := know.of("www.example.org")
	s.decisions = append(s.decisions, &decision{prefix: netip.MustParsePrefix("198.51.96.0/20"), Decision: schemas.Decision{
		ID: "i261102-180809-1", Action: schemas.Block, Scope: schemas.ScopePrefix, Value: "198.51.96.0/20", Probes: "0123456789abcdef",
	}})
	s.news.decided = true
	other := NewKnowledge()
	for _, message := range know.Changes() {
		if err := other.Apply(message); err != nil {
			t.Fatal(err)
		}
	}
	told := other.of("www.example.org")
	if len(told.decisions) != 1 || len(told.scored.list) != 0 {
		t.Fatalf("%d decisions and %d on clients arrive, want the one", len(told.decisions), len(told.scored.list))
	}
	now := time.Date(2026, 11, 2, 18, 8, 9, 0, time.UTC).UnixMilli()
	refused := func(client string) schemas.Action {
		action, _ := told.infer(&schemas.Request{Client: netip.MustParseAddr(client), Status: 403, Time: now}, true, nil, nil)
		return action
	}
	if in, out := refused("198.51.103.7"), refused("198.51.112.1"); in != schemas.Block || out != schemas.Allow {
		t.Errorf("a refused request from within is taken for %s, one from without for %s", in, out)
	}
	probes := 0
	for i := range 4096 {
		client := netip.AddrFrom4([4]byte{198, 51, byte(96 + i>>8), byte(i)})
		r := &schemas.Request{Client: client, Status: 200, Time: now}
		if _, id := told.infer(r, edgesRefuse(r.Status), drawnOf(r), nil); string(id) == "i261102-180809-1" {
			probes++
		}
	}
	if probes < 10 || probes > 100 {
		t.Errorf("%d of 4096 clients are probes of it, want about one in a hundred", probes)
	}
}
