package attribute

import (
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestBotsBehindAVisitorsAddress: a signature touches whom the site knows where it matches what they came
// with before, and not for what somebody else sends from the same address.
func TestBotsBehindAVisitorsAddress(t *testing.T) {
	const visitors, bots = "Mozilla/5.0 (X11; Linux x86_64; rv:157.0) Gecko/20100101 Firefox/157.0", "Mozilla/5.0 Chrome/109.0.0.0"
	x := NewExtractor(12)
	normal, suspect := NewSample(x, 64), NewSample(x, 64)
	send := func(s *Sample, client uint32, agent, encoding string, m Mark) {
		q := request(client, agent, encoding, "/", "https://www.example.org/", schemas.CookieSome)
		var traits Traits
		x.Profile(&traits, q)
		x.Rest(&traits, q)
		s.AddTraits(x.ClientHash(schemas.ClientOf(q.Client).As16()), &traits, q, m)
	}
	for client := range uint32(10) {
		send(normal, 100+client, visitors, "gzip, br", Mark{})
		send(suspect, 100+client, bots, "gzip", Mark{Regular: true})
		send(suspect, 100+client, visitors, "gzip, br", Mark{Regular: true})
	}
	signature := schemas.Signature{{Trait: schemas.TraitAcceptEncoding, Value: "gzip"}}
	if live := Look(normal, suspect, Rule{Signature: signature}, nil); live.Regulars != 10 || live.Clients != 10 || live.Touched != 0 {
		t.Errorf("bots behind ten visitors' addresses: %+v", live)
	}
	suspect.Reset()
	for client := range uint32(10) {
		send(suspect, 100+client, visitors, "gzip", Mark{})
		send(suspect, 200+client, bots, "gzip", Mark{Regular: true}) // known from an earlier day
	}
	if live := Look(normal, suspect, Rule{Signature: signature}, nil); live.Regulars != 20 || live.Clients != 20 || live.Touched != 20 {
		t.Errorf("twenty visitors themselves: %+v", live)
	}
}

// TestBotsThatCameBefore: a signature touches nobody known for stopping bots that came as visitors before, whether some
// of them said that they came from the site's own page, or the site failed them.
func TestBotsThatCameBefore(t *testing.T) {
	const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:157.0) Gecko/20100101 Firefox/157.0"
	x := NewExtractor(12)
	normal, suspect := NewSample(x, 64), NewSample(x, 64)
	for client := range uint32(12) {
		before := request(client, browser, "gzip, br", "/page1", []string{"", "https://www.example.org/"}[client%2], schemas.CookieNone)
		before.Status = []uint16{200, 502, 404}[client%3]
		normal.take(before)
		suspect.take(request(client, browser, "gzip, br", "/x1", "", schemas.CookieNone))
	}
	signature := schemas.Signature{{Trait: schemas.TraitReferer, Value: "none"}}
	if live := Look(normal, suspect, Rule{Signature: signature}, nil); live.Clients != 12 || live.Regulars != 0 || live.Touched != 0 {
		t.Errorf("twelve bots that came before: %+v", live)
	}
}

// TestWhatMatchedClientsDo: of those whom a rule matches, and whom nobody knows and nothing has stopped, it is told how many have
// shown anything, and how many of these load what pages bring with them.
func TestWhatMatchedClientsDo(t *testing.T) {
	const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:157.0) Gecko/20100101 Firefox/157.0"
	x := NewExtractor(12)
	normal, suspect := NewSample(x, 64), NewSample(x, 64)
	send := func(s *Sample, client uint32, path, referer string, status uint16, m Mark) {
		q := request(client, browser, "gzip, br", path, referer, schemas.CookieNone)
		q.Status = status
		var traits Traits
		x.Profile(&traits, q)
		x.Rest(&traits, q)
		s.AddTraits(x.ClientHash(schemas.ClientOf(q.Client).As16()), &traits, q, m)
	}
	pageful := func(s *Sample, client uint32, m Mark) {
		send(s, client, "/page1", "", 200, m)
		m.Asset = true
		send(s, client, "/a.css", "https://www.example.org/", 200, m)
	}
	for client := range uint32(4) {
		pageful(suspect, client, Mark{})
		send(suspect, 10+client, "/page1", "", 200, Mark{}) // loads nothing
		send(suspect, 20+client, "/page1", "", 502, Mark{}) // shows nothing
		pageful(suspect, 30+client, Mark{Stopped: true})
		pageful(suspect, 40+client, Mark{Regular: true})
		pageful(normal, 50+client, Mark{})
		pageful(suspect, 50+client, Mark{})
	}
	signature := schemas.Signature{{Trait: schemas.TraitReferer, Value: "none"}}
	if live := Look(normal, suspect, Rule{Signature: signature}, nil); live.Clients != 24 || live.Shown != 8 || live.People != 4 {
		t.Errorf("%+v, want 24 clients, 4 of 8 as people", live)
	}
}
