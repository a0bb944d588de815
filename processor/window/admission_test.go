package window

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// visitor asks for hosts as a counter does.
type visitor struct {
	*Admission
	gone []string
	came uint64 // regulars so far
}

// ask is one request; it reports whether the host is a site.
func (a *visitor) ask(host string, v Visit) bool {
	for _, c := range []byte(host) {
		v.Host = hash(v.Host + uint64(c))
	}
	p, gone := a.Admit([]byte(host), &v)
	if gone != "" {
		a.gone = append(a.gone, gone)
	}
	if p == nil {
		return false
	}
	a.Visit(p, &v)
	return true
}

// regulars come to a host, others to each.
func (a *visitor) regulars(host string, second int64) (site bool) {
	a.came += 4
	return a.regularsOf(host, second, a.came)
}

// regularsOf are four of four networks, from a number on.
func (a *visitor) regularsOf(host string, second int64, from uint64) (site bool) {
	for c := range uint64(4) {
		site = a.ask(host, Visit{Second: second, Network: hash(from + c), Served: true, Regular: true})
	}
	return site
}

func TestASmallEstateHasItsSitesAtOnce(t *testing.T) {
	a := visitor{Admission: NewAdmission(1000)}
	for i := range creditSites {
		if !a.ask(fmt.Sprintf("site%d.example", i), Visit{Second: t0 / 1000}) {
			t.Fatalf("host %d is no site", i)
		}
	}
	if a.ask("one-more.example", Visit{Second: t0 / 1000}) {
		t.Error("there is no end to the credit")
	}
	if !a.regulars("one-more.example", t0/1000) {
		t.Error("regulars do not make a host a site")
	}
}

// TestRandomHostsFillNothing: a botnet asks for a million random hosts, served or not, some
// of them again and again; real sites stay, and a new one that regulars come to is admitted
// in the midst of it.
func TestRandomHostsFillNothing(t *testing.T) {
	a := visitor{Admission: NewAdmission(200)}
	now := t0 / 1000
	for i := range 150 {
		if !a.regulars(fmt.Sprintf("real%d.example", i), now) {
			t.Fatalf("real site %d is none", i)
		}
	}
	for i := range uint64(1_000_000) {
		second := now + 60 + int64(i/5000)
		host := fmt.Sprintf("%x.example", hash(i))
		if i%3 == 0 {
			host = fmt.Sprintf("again%d.example", i%5000)
		}
		a.ask(host, Visit{Second: second, Network: hash(i % 30_000), Served: i%2 == 0})
	}
	if len(a.candidates) > candidatesMax {
		t.Errorf("%d candidates", len(a.candidates))
	}
	if a.credit > creditSites || a.Len() > 200 {
		t.Errorf("%d sites on credit, %d in all", a.credit, a.Len())
	}
	if !a.regulars("new.example", now+300) {
		t.Error("a new site that regulars come to is not admitted")
	}
	for i := range 150 {
		if a.sites[fmt.Sprintf("real%d.example", i)] == nil {
			t.Fatalf("real site %d has gone: %v", i, a.gone)
		}
	}
}

// TestAttackersNeverEvictARealSite: every place is taken by sites that regulars come to,
// and the most patient botnet asks for hosts of its own for six days, from everywhere,
// served every time.
func TestAttackersNeverEvictARealSite(t *testing.T) {
	a := visitor{Admission: NewAdmission(50)}
	now := t0 / 1000
	for i := range 50 {
		a.regulars(fmt.Sprintf("real%d.example", i), now)
	}
	for i := range uint64(200_000) {
		second := now + int64(i)*6*86400/200_000
		if a.ask(fmt.Sprintf("fake%d.example", i%7), Visit{Second: second, Network: hash(i), Served: true}) {
			t.Fatal("a host of attackers alone took a real site's place")
		}
	}
	// A new site of regulars waits too, until one has been silent for a week.
	if a.regulars("new.example", now+6*86400) {
		t.Errorf("%v had to go after six days", a.gone)
	}
	if !a.regulars("new.example", now+8*86400) || len(a.gone) != 1 {
		t.Errorf("nobody left after eight days of silence: %v", a.gone)
	}
}

// TestAttackersEvictNoSiteOfItsFirstDay: nobody is a regular yet. Every place is taken, some by
// sites that have proven themselves, some by ones of few visitors that are silent by night; a
// botnet asks for hosts of its own all day, from everywhere, served every time.
func TestAttackersEvictNoSiteOfItsFirstDay(t *testing.T) {
	a := visitor{Admission: NewAdmission(50)}
	now := t0 / 1000
	visits := func(host string, networks, minutes uint64) {
		for i := range networks * minutes {
			a.ask(host, Visit{Second: now + int64(i/networks)*60, Network: i % networks, Served: true})
		}
	}
	for i := range 25 {
		visits(fmt.Sprintf("busy%d.example", i), 64, 10)
		visits(fmt.Sprintf("small%d.example", i), 2, 3)
	}
	if a.Len() != 50 {
		t.Fatalf("%d sites: the test does not test it", a.Len())
	}
	for i := range uint64(200_000) {
		second := now + 600 + int64(i)*86400/200_000
		if a.ask(fmt.Sprintf("fake%d.example", i%7), Visit{Second: second, Network: hash(i), Served: true}) {
			t.Fatalf("a host of attackers alone took the place of %v after %d s", a.gone, second-now)
		}
	}
	// One that was asked for once by chance goes for a site that has proven itself.
	a.Remove("small0.example")
	a.ask("chance.example", Visit{Second: now + 90_000, Served: true})
	visits("late.example", 64, 10)
	now += 95_000
	if visits("late.example", 64, 10); a.sites["late.example"] == nil || a.sites["chance.example"] != nil {
		t.Errorf("a host that was asked for once by chance keeps its place: %v", a.gone)
	}
}

// TestFakeSitesMakeRoom: attackers came first, and proved their hosts. Real ones take their
// places.
func TestFakeSitesMakeRoom(t *testing.T) {
	a := visitor{Admission: NewAdmission(100)}
	now := t0 / 1000
	for i := range uint64(100 * 400) {
		a.ask(fmt.Sprintf("fake%d.example", i%100), Visit{Second: now + int64(i)/60, Network: hash(i), Served: true})
	}
	if a.Len() != 100 {
		t.Fatalf("%d fake sites: the test does not test it", a.Len())
	}
	later := now + 40000/60 + idleYoung
	for i := range uint64(100) {
		if !a.regularsOf(fmt.Sprintf("real%d.example", i), later, 4*i) {
			t.Fatalf("real site %d has no place among fake ones", i)
		}
	}
}

// TestTwoVisitorsInAMinute: a site whose two visitors came in its first minute, from networks that
// the count of networks takes for one, keeps its place for longer than an hour against a
// host that strangers made proven. One that a single network asked for does not.
func TestTwoVisitorsInAMinute(t *testing.T) {
	begin := int64(t0/1000) / 60 * 60
	for _, c := range []struct {
		second uint64 // network
		stays  bool
	}{{3 + 64, true}, {3, false}} {
		a := visitor{Admission: NewAdmission(1)}
		a.ask("small.example", Visit{Second: begin, Network: 3, Served: true})
		a.ask("small.example", Visit{Second: begin + 40, Network: c.second, Served: true})
		for i := range uint64(600) {
			a.ask("fake.example", Visit{Second: begin + 2*idleChance + int64(i), Network: 1000 + i, Served: true})
		}
		if stays := a.sites["small.example"] != nil; stays != c.stays {
			t.Errorf("second visitor of network %d: still there %v", c.second, stays)
		}
	}
}

func TestAdmissionIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 80).Draw(t, "max")
		a := visitor{Admission: NewAdmission(limit)}
		now := t0 / 1000
		for range rapid.IntRange(0, 400).Draw(t, "n") {
			now += rapid.SampledFrom([]int64{0, 1, 60, 4000, 700_000}).Draw(t, "seconds")
			n := rapid.Uint64Range(0, 200).Draw(t, "host")
			a.ask(fmt.Sprint(n), Visit{Second: now, Network: hash(uint64(now)), Served: true, Regular: rapid.Bool().Draw(t, "regular")})
			credit := 0
			for _, p := range a.sites {
				if p.worth == onCredit {
					credit++
				}
			}
			if a.Len() > limit || credit != a.credit {
				t.Fatalf("%d sites of %d, %d on credit, %d are said to be", a.Len(), limit, credit, a.credit)
			}
		}
	})
}
