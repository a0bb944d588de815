package processor

import (
	"net/netip"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// Nobody becomes a regular in an attack, nor in what came before it was noticed; who
// attacks leaves; a counter that takes over goes on with what was told.
func TestRegularsRipenInCalm(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	of := func(list ...netip.Addr) map[netip.Addr]regularVisits {
		m := make(map[netip.Addr]regularVisits)
		for _, c := range list {
			m[c] = regularVisits{c, 3, 9}
		}
		return m
	}
	var book RegularsBook
	for _, step := range []struct {
		now      int64
		visits   map[netip.Addr]regularVisits
		troubled bool
		want     int
	}{
		{1000, of(a), false, 0},
		{1000 + regularRipen - 1, of(a), false, 0},
		{1000 + regularRipen, of(a), false, 1},
		{2000, of(a, b), false, 1},                  // b comes with the attack
		{2010, of(a, b), true, 1},                   // which is noticed
		{9000, of(a, b), true, 1},                   // and goes on
		{9010, of(a, b), false, 1},                  // its end makes nobody a regular
		{9000 + regularRipen, of(a, b), false, 2},   // the calm after it does
		{9001 + regularRipen, of(b), true, 1},       // a has attacked
		{9002 + regularRipen, of(a, b), true, 1},    // and has to wait
		{9001 + 2*regularRipen, of(a, b), false, 1}, // for calm
		{9002 + 2*regularRipen, of(a, b), false, 2},
	} {
		if got := book.choose("s", step.visits, step.now, step.troubled); len(got) != step.want {
			t.Errorf("at %d: %v, want %d", step.now, got, step.want)
		}
	}
	var next RegularsBook
	next.Told([]schemas.SiteRegulars{{Site: "s", Clients: []netip.Addr{a}}})
	if got := next.choose("s", of(a, b), 5, true); len(got) != 1 || got[0] != a {
		t.Errorf("after a takeover %v", got)
	}
}

func TestRegularsOfManySitesAreBounded(t *testing.T) {
	var sites []schemas.SiteRegulars
	for n, name := range []string{"a", "b", "c", "d"} {
		s := schemas.SiteRegulars{Site: name}
		for i := range []int{5, 12_000, 12_000, 12_000}[n] {
			s.Clients = append(s.Clients, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		}
		sites = append(sites, s)
	}
	total := 0
	for _, s := range fairly(sites, schemas.MaxRegulars) {
		total += len(s.Clients)
	}
	if total > schemas.MaxRegulars || total < schemas.MaxRegulars/2 || len(sites[0].Clients) != 5 {
		t.Errorf("%d of all, %d of the smallest", total, len(sites[0].Clients))
	}
}
