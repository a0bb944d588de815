package window

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// realSite is a site that people come to between two hours of the day, but for a day now and
// then; the smallest has two visitors.
type realSite struct {
	host       string
	from, to   int64  // hours of the day
	networks   uint64 // that its people come from
	regulars   uint64 // of them, on all days but the first
	closedDay  int64  // of seven, on which nobody comes; none where it is more
	firstVisit int64
}

// TestPatientAttackersEvictNoRealSite: all places are taken by sites of all kinds, among them
// ones that were never trusted and ones of a first day. So many attackers as come are patient:
// known from earlier days, served each time, each of a network of its own or all of one, they
// ask for hosts of their own for a week. No real site has to go, and what they make trusted is bounded.
func TestPatientAttackersEvictNoRealSite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const hour = 3600
		places := rapid.IntRange(4, 40).Draw(t, "places")
		a := visitor{Admission: NewAdmission(places)}
		begin := int64(t0/1000) / 86400 * 86400
		sites := make([]realSite, places)
		for i := range sites {
			s := &sites[i]
			s.host = fmt.Sprintf("real%d.example", i)
			s.from = rapid.Int64Range(0, 12).Draw(t, "from")
			s.to = s.from + rapid.Int64Range(1, 10).Draw(t, "hours")
			s.networks = rapid.Uint64Range(2, 40).Draw(t, "networks")
			s.regulars = rapid.Uint64Range(0, 4).Draw(t, "regulars")
			s.closedDay = rapid.Int64Range(1, 12).Draw(t, "closed")
			s.firstVisit = begin + rapid.Int64Range(0, 3).Draw(t, "minute")*60
			for n := range s.networks { // the first who came, while there was room
				a.ask(s.host, Visit{Second: s.firstVisit + int64(n)*40, Network: hash(uint64(i)<<20 + n), Served: true})
			}
		}
		if a.Len() != places {
			t.Fatalf("%d sites of %d: the test does not test it", a.Len(), places)
		}
		attackers := rapid.Uint64Range(1, 400).Draw(t, "attackers")
		together := rapid.Bool().Draw(t, "of one network")
		hosts := rapid.Uint64Range(1, 2000).Draw(t, "their hosts")
		number, networks := uint64(0), make(map[uint64]bool)
		for now := begin + 600; now < begin+7*24*hour; now += hour {
			day, of := (now-begin)/86400, now/hour%24
			for range 60 {
				number++
				network := hash(1<<40 + number%attackers)
				if together {
					network = hash(1 << 40)
				}
				networks[network] = true
				a.ask(fmt.Sprintf("fake%d.example", hash(number)%hosts), Visit{Second: now + int64(number%hour), Network: network, Served: true, Regular: day > 0})
			}
			for i := range sites {
				s := &sites[i]
				if of < s.from || of >= s.to || day%7 == s.closedDay {
					continue
				}
				for n := range min(s.networks, 2) {
					a.ask(s.host, Visit{Second: now, Network: hash(uint64(i)<<20 + n), Served: true, Regular: day > 0 && n < s.regulars})
				}
			}
			for i := range sites {
				if a.sites[sites[i].host] == nil {
					t.Fatalf("after %d h %s had to go: %+v", (now-begin)/hour, sites[i].host, sites[i])
				}
			}
		}
	})
}

// TestPatientAttackersSpeakForFew: of what patient attackers ask for little is trusted, though
// there is room for all, and a site that others than they come to is.
func TestPatientAttackersSpeakForFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := visitor{Admission: NewAdmission(2000)}
		attackers := rapid.Uint64Range(1, 300).Draw(t, "attackers")
		now := int64(t0 / 1000)
		for i := range uint64(20_000) {
			a.ask(fmt.Sprintf("fake%d.example", hash(i)%1500), Visit{Second: now + int64(i)*20, Network: hash(1<<40 + i%attackers), Served: true, Regular: true})
		}
		trustedHosts := 0
		for _, p := range a.sites {
			if p.worth == trusted {
				trustedHosts++
			}
		}
		if most := int(attackers) * vouches / trustedClients; trustedHosts > most {
			t.Fatalf("%d attackers made %d hosts trusted, %d at most", attackers, trustedHosts, most)
		}
		if len(a.candidates) > candidatesMax {
			t.Fatalf("%d candidates", len(a.candidates))
		}
		if !a.regularsOf("new.example", now+400_000, 1<<50) {
			t.Fatal("a new site that regulars come to has no place")
		}
	})
}

// TestNamedSitesHaveTheirPlace: attackers of thousands of networks, known from earlier days, have made
// hosts of their own trusted until every place is taken, and visit each now and then, so that none
// falls silent. A site that the configuration names has its place at its first request all the
// same, keeps it while it is silent for a month, and takes none of the others'. One that is not
// named waits.
func TestNamedSitesHaveTheirPlace(t *testing.T) {
	const places, day = 30, 86400
	a := visitor{Admission: NewAdmission(places, "new.example", "late.example")}
	now, number := int64(t0/1000), uint64(0)
	visit := func() {
		for i := range 40 {
			for range trustedClients {
				number++
				a.ask(fmt.Sprintf("fake%d.example", i), Visit{Second: now, Network: hash(1<<50 + number), Served: true, Regular: true})
			}
		}
	}
	visit()
	if a.Len() != places-2 {
		t.Fatalf("%d sites of %d: the test does not test it", a.Len(), places-2)
	}
	stranger := func(host string) bool {
		number++
		return a.ask(host, Visit{Second: now, Network: hash(1<<51 + number)})
	}
	if !stranger("new.example") || a.Len() != places-1 {
		t.Fatalf("a named site has no place among %d", a.Len())
	}
	for range 30 {
		now += day
		visit()
		if a.regulars("unnamed.example", now) {
			t.Error("a site that is not named has a place, though attackers hold all: say so in the threat model")
		}
	}
	if !stranger("late.example") || a.sites["new.example"] == nil || a.Len() != places {
		t.Errorf("%d sites; a named one that was silent for a month is there: %v", a.Len(), a.sites["new.example"] != nil)
	}
	if a.Remove("late.example"); a.full() != true || a.Restore("late.example", now) == nil || a.Restore("another.example", now) != nil {
		t.Error("after a restart a named site has no place, or another has its")
	}
}
