package simulate

import (
	"math"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// asLogged is the record as a collector reads it.
func asLogged(r *Record) *schemas.Request {
	all := schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage |
		schemas.FieldAcceptEncoding | schemas.FieldTLS | schemas.FieldCookie
	q := &schemas.Request{
		Site: []byte(r.Site), Method: []byte(r.Method), Protocol: []byte(r.Protocol), Referer: []byte(r.Referer),
		UserAgent: []byte(r.UserAgent), AcceptLanguage: []byte(r.AcceptLanguage), AcceptEncoding: []byte(r.AcceptEncoding),
		TLS: schemas.NormaliseTLS(nil, []byte(r.TLS)), Cookie: schemas.CookieNone, Fields: all,
	}
	if r.Cookie {
		q.Cookie = schemas.CookieSome
	}
	for i := range r.URI {
		if r.URI[i] == '?' {
			q.Path, q.Query = []byte(r.URI[:i]), []byte(r.URI[i+1:])
			return q
		}
	}
	q.Path = []byte(r.URI)
	return q
}

// TestNoTraitGivesTheBotsAway: what the attack's requests show one by one is
// among the ordinary ones too; only together are the traits new.
func TestNoTraitGivesTheBotsAway(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		c := Default()
		c.Plain = plain
		c.Seed = 1
		c.Ordinary, c.Tail = 100*time.Minute, 0
		c.Attack.Requests, c.Attack.Addresses, c.Attack.Duration = 2000, 700, 2*time.Minute
		var normal, attack [schemas.NumTraits]map[string]int
		for i := range normal {
			normal[i], attack[i] = map[string]int{}, map[string]int{}
		}
		err := Run(c, func(r *Record) error {
			into := &normal
			if r.Attack() {
				into = &attack
			}
			q := asLogged(r)
			for i := range into {
				value, _ := schemas.Trait(i).Value(nil, q)
				into[i][string(value)]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range attack {
			alone, all := 0, 0
			for value, n := range attack[i] {
				all += n
				if normal[i][value] == 0 {
					alone += n
					if schemas.Trait(i) != schemas.TraitPathShape {
						t.Errorf("plain %t: %s %q is the bots' alone", plain, schemas.Trait(i), value)
					}
				}
			}
			if alone*10 > all {
				t.Errorf("plain %t: %s: %d of %d requests have a value that is the bots' alone", plain, schemas.Trait(i), alone, all)
			}
		}
	}
}

// TestPeopleStayThemselves: an actor has one agent and one language.
func TestPeopleStayThemselves(t *testing.T) {
	t.Parallel()
	c := small(5)
	c.Ordinary, c.Attack.Requests = 30*time.Minute, 0
	profiles := map[string]string{}
	err := Run(c, func(r *Record) error {
		if r.Actor.Kind != Person {
			return nil
		}
		p := r.UserAgent + "|" + r.AcceptLanguage
		if known, ok := profiles[r.Actor.ID]; ok && known != p {
			t.Errorf("%s was %s, is %s", r.Actor.ID, known, p)
		}
		profiles[r.Actor.ID] = p
		return nil
	})
	if err != nil || len(profiles) < 100 {
		t.Errorf("%d people, %v", len(profiles), err)
	}
}

// TestRegularsComeBack: who was a regular before the log began is one in the next
// day's log too, with cookie and profile, so that a baseline fits another day.
func TestRegularsComeBack(t *testing.T) {
	t.Parallel()
	people := func(start time.Time) map[string]bool {
		c := small(1)
		c.Start, c.Attack.Requests, c.Ordinary = start, 0, 30*time.Minute
		seen := map[string]bool{}
		if err := Run(c, func(r *Record) error {
			if r.Actor.Kind == Person {
				seen[r.Actor.ID] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	first := people(Default().Start)
	second := people(Default().Start.Add(24 * time.Hour))
	both := 0
	for p := range second {
		if first[p] {
			both++
		}
	}
	if share := float64(both) / float64(len(second)); share < .01 || share > .5 {
		t.Errorf("%d of %d people were there the day before", both, len(second))
	}
}

// counts are how many requests are meant in each second of a day, and how many
// people's visits begin in each minute, all going well.
func counts(t *testing.T, c Config, span time.Duration) (requests map[string]int, minutes []float64) {
	t.Helper()
	traffic, err := NewTraffic(c)
	if err != nil {
		t.Fatal(err)
	}
	requests = map[string]int{}
	minutes = make([]float64, int(span/time.Minute))
	for {
		v := traffic.Next()
		if v.Start >= span {
			return requests, minutes
		}
		if v.Start < 0 {
			continue
		}
		if v.Actor.Kind == Person && v.Site.Theme == "website" {
			minutes[int(v.Start/time.Minute)]++
		}
		var answers []Answer
		for {
			step, ok := v.Next(answers)
			if !ok {
				break
			}
			answers = answers[:0]
			for i := range step.Requests {
				answers = append(answers, Answer{step.Requests[i].Resource().Status})
			}
			requests[v.Site.Name] += len(step.Requests)
		}
	}
}

// TestRates: a day's traffic is what was asked for, within what its moods allow.
func TestRates(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Attack.Requests, c.Scale = 0, .1
	requests, _ := counts(t, c, 24*time.Hour)
	for _, site := range c.Sites {
		got := float64(requests[site.Name]) / 86400
		if want := site.Rate * c.Scale; got < .75*want || got > 1.3*want {
			t.Errorf("%s: %.2f requests/s, want about %.2f", site.Name, got, want)
		}
	}
}

// TestArrivalsAreNoPoisson: people's visits a minute vary more than chance alone
// would make them, within an hour already.
func TestArrivalsAreNoPoisson(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Attack.Requests = 0
	c.Sites = c.Sites[:1]
	_, minutes := counts(t, c, 8*time.Hour)
	dispersion := 0.
	const hour = 60
	for i := 0; i+hour <= len(minutes); i += hour {
		mean, square := 0., 0.
		for _, n := range minutes[i : i+hour] {
			mean += n / hour
			square += n * n / hour
		}
		dispersion += (square - mean*mean) / mean * hour / float64(len(minutes))
	}
	if dispersion < 1.2 || dispersion > 10 || math.IsNaN(dispersion) {
		t.Errorf("variance is %.2f times the mean; a Poisson process has 1", dispersion)
	}
}

// TestReading: what a person does with answers.
func TestReading(t *testing.T) {
	c := small(1)
	c.Sites, c.Plain, c.Attack.Requests = c.Sites[:1], true, 0
	traffic, err := NewTraffic(c)
	if err != nil {
		t.Fatal(err)
	}
	for seen := 0; seen < 200; {
		v := traffic.Next()
		if v.Actor.Kind != Person {
			continue
		}
		seen++
		step, ok := v.Next(nil)
		if !ok || len(step.Requests) != 1 {
			t.Fatalf("%s begins with %d requests", v.Actor.ID, len(step.Requests))
		}
		q := step.Requests[0]
		if q.Protocol == "HTTP/2.0" || q.AcceptEncoding == "gzip, deflate, br" || q.AcceptEncoding == "gzip, deflate, br, zstd" {
			t.Fatalf("%s sends %s with %q without TLS", v.Actor.ID, q.Protocol, q.AcceptEncoding)
		}
		if seen%2 == 0 {
			if _, more := v.Next([]Answer{{Status: 403}}); more {
				t.Fatalf("%s goes on although refused", v.Actor.ID)
			}
			continue
		}
		for tries := 0; ; tries++ { // the same page again, twice at most
			again, more := v.Next([]Answer{{Status: 504}})
			if !more {
				break
			}
			if tries == 2 || again.Requests[0].URI != q.URI {
				t.Fatalf("%s asks for %s after %d failures of %s", v.Actor.ID, again.Requests[0].URI, tries+1, q.URI)
			}
		}
	}
}

// TestNobodyIsGivenAwayByHisPatience: who hangs up first, of a bot and a person whom the site keeps waiting, is as good as a
// draw.
func TestNobodyIsGivenAwayByHisPatience(t *testing.T) {
	a := &audience{seed: 7, network: newNetwork(7), browsers: newBrowsers(false)}
	r := stream(7)
	first, pairs := 0, 0
	for n := range uint64(300) {
		person := logNormal(r, a.person(n).patience, .4)
		for range 300 {
			if pairs++; botPatience(r).Seconds() < person {
				first++
			}
		}
	}
	if share := float64(first) / float64(pairs); share < .45 || share > .55 {
		t.Errorf("the bot hangs up first in %.3f of all pairs", share)
	}
}
