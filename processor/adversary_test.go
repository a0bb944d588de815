package processor

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// The adversary's turn: each test plays what somebody would try to have weir refuse those whom he
// chooses, and says what comes of it.

// chosen are the traits of one browser that the site's visitors have, and that the attacker copies.
func chosen() profile { return browsers[6] }

// mimicry is half an hour of people and then an attack that sends a visitor's browser to the letter, to
// pages that there are, as a person's first request is, from so many addresses.
func mimicry(seed uint64, addresses int) *traffic {
	t := newTraffic(seed)
	t.people(0, 38*minute, 1.5)
	clients := make([]netip.Addr, addresses)
	for i := range clients {
		clients[i] = t.client()
	}
	p := chosen()
	for i := range 4 * addresses {
		t.add(31*minute+t.r.Int64N(6*minute), clients[i%addresses], &p, fmt.Sprintf("/page%d", t.r.IntN(40)), "", false, 200)
	}
	return t
}

// lost counts the clients other than bots that had a request blocked, of those who fit.
func lost(tr *traffic, verdicts []schemas.Action, fits func(*schemas.Request) bool) (there, blocked int) {
	bots, people := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for i := range tr.rows {
		if r := &tr.rows[i]; string(r.UserAgent) == chosen().agent && len(r.Referer) == 0 && r.Cookie == schemas.CookieNone && r.Time >= start+31*minute {
			bots[r.Client] = true
		}
	}
	for i := range tr.rows {
		r := &tr.rows[i]
		if len(r.Referer) > 0 || r.Cookie == schemas.CookieSome { // no bot has any
			delete(bots, r.Client)
		}
	}
	for i, a := range verdicts {
		r := &tr.rows[i]
		if bots[r.Client] || r.Time < start+31*minute || !fits(r) {
			continue
		}
		people[r.Client] = people[r.Client] || a == schemas.Block
	}
	for _, was := range people {
		there++
		if was {
			blocked++
		}
	}
	return there, blocked
}

// TestEverybodyWithOneBrowser: a flood with a browser's own headers, so that weir refuse all who have
// it. It does not: what visitors show is charged to whoever proposes to block it.
func TestEverybodyWithOneBrowser(t *testing.T) {
	tr := mimicry(3, 1500)
	e, verdicts := run(t, make1(t, small), tr.batches(500))
	for _, d := range e.log {
		if d.Type != schemas.DecisionAdded || d.Scope != schemas.ScopeSignature || d.Action != schemas.Block {
			continue
		}
		s, err := schemas.ParseSignature(d.Value)
		if err != nil {
			t.Fatal(err)
		}
		var q schemas.Request
		probe := newTraffic(1)
		p := chosen()
		probe.add(0, netip.MustParseAddr("192.0.2.1"), &p, "/page1", "https://www.example.org/page2", true, 200)
		q = probe.rows[0]
		if match, _ := s.Match(&q, nil); match {
			t.Errorf("%s blocks a visitor with that browser who goes from page to page", d.Value)
		}
	}
	there, blocked := lost(tr, verdicts, func(r *schemas.Request) bool { return string(r.UserAgent) == chosen().agent })
	t.Logf("%d with that browser came meanwhile, %d had a request blocked", there, blocked)
	if there < 15 || blocked > max(1, there/100) {
		t.Errorf("%d of %d visitors with that browser had a request blocked", blocked, there)
	}
	if there, blocked := lost(tr, verdicts, func(*schemas.Request) bool { return true }); blocked > there/100 {
		t.Errorf("%d of %d visitors had a request blocked", blocked, there)
	}
}

// TestAChosenVictim: the attacker knows what one visitor sends, who has never been here, and floods
// with just that, to the pages that he goes to. The visitor, who loads what pages bring with them, comes
// in mid-attack, and is not blocked.
func TestAChosenVictim(t *testing.T) {
	victim := netip.MustParseAddr("198.51.100.77")
	for seed := range uint64(3) {
		tr := mimicry(10+seed, 1200)
		p := chosen()
		for visit := range int64(4) {
			at, referer := 32*minute+visit*minute, ""
			for page := range 3 {
				path := fmt.Sprintf("/page%d", page)
				tr.add(at, victim, &p, path, referer, page > 0, 200)
				tr.add(at+150, victim, &p, "/asset0.css", "https://"+tr.site+path, page > 0, 200)
				tr.add(at+160, victim, &p, "/asset1.css", "https://"+tr.site+path, page > 0, 200)
				at, referer = at+4000, "https://"+tr.site+path
			}
		}
		e, verdicts := run(t, make1(t, small), tr.batches(500))
		stopped := 0
		for i, a := range verdicts {
			if tr.rows[i].Client != victim {
				continue
			}
			if a == schemas.Block {
				t.Errorf("seed %d: the victim's %s is blocked", seed, tr.rows[i].Path)
			} else if a != schemas.Allow {
				stopped++
			}
		}
		t.Logf("seed %d: of the victim's 36 requests %d were challenged; %d decisions", seed, stopped, len(e.log))
		for _, d := range e.log {
			if d.Type == schemas.DecisionAdded && d.Scope == schemas.ScopeClient && d.Value == victim.String() {
				t.Errorf("seed %d: the victim's address is decided on: %s", seed, d.Action)
			}
		}
	}
}

// TestASearchEngineIsBorrowed: the attacker floods with a crawler's headers while the crawler is
// there, at addresses that are allowed. Its own requests pass, all of them.
func TestASearchEngineIsBorrowed(t *testing.T) {
	tr := newTraffic(5)
	tr.people(0, 38*minute, 1.5)
	bot := profile{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "", "gzip, deflate, br", "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519", "HTTP/1.1"}
	for at := int64(0); at < 38*minute; at += 3000 {
		tr.add(at, netip.AddrFrom4([4]byte{66, 249, 66, byte(1 + at/3000%30)}), &bot, fmt.Sprintf("/page%d", tr.r.IntN(60)), "", false, 200)
	}
	for range 5000 {
		tr.add(31*minute+tr.r.Int64N(6*minute), tr.client(), &bot, fmt.Sprintf("/page%d", tr.r.IntN(60)), "", false, 200)
	}
	o := small
	o.Allow = []netip.Prefix{netip.MustParsePrefix("66.249.66.0/24")}
	e := newEdge()
	var verdicts []schemas.Action
	p := make1(t, o)
	for _, b := range tr.batches(500) {
		p.Consume(b, func(row int, r *schemas.Request) schemas.Action {
			a := e.judge(row, r)
			if o.Allow[0].Contains(r.Client) { // as at every edge, before any decision
				a = schemas.Allow
			}
			verdicts = append(verdicts, a)
			return a
		}, e.take)
	}
	liars := 0
	for i, a := range verdicts {
		if r := &tr.rows[i]; string(r.UserAgent) == bot.agent && !o.Allow[0].Contains(r.Client) && a != schemas.Allow {
			liars++
		}
	}
	for _, d := range e.log {
		if d.Decision == nil || d.ID == "" || d.Scope == schemas.ScopeSignature {
			continue
		}
		if a, err := netip.ParseAddr(d.Value); err == nil && o.Allow[0].Contains(a) {
			t.Errorf("%s: an address of the search engine is decided on", d.ID)
		}
	}
	t.Logf("%d of 5000 requests that borrow its name were stopped", liars)
	if liars < 3000 {
		t.Errorf("%d of 5000 requests that borrow the name were stopped", liars)
	}
}

// TestRenewalIsChargedAnew: what has come to match the people of now, more than the budget allows, is
// not renewed; what matches nobody is.
func TestRenewalIsChargedAnew(t *testing.T) {
	tr := newTraffic(2)
	tr.people(0, 40*minute, 1.5)
	p := make1(t, small)
	run(t, p, tr.batches(500))
	s := p.detector.index[tr.site]
	normal := s.normalSample()
	for i, text := range []string{`user_agent="nobody/1.0"`, `user_agent="` + tool.agent + `"`} { // every twelfth visitor has the second
		signature, err := schemas.ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		s.know.decisions = append(s.know.decisions, &decision{signature: signature, Decision: schemas.Decision{ID: fmt.Sprint("i1-", i), Action: schemas.Block, Scope: schemas.ScopeSignature, Value: text}})
	}
	within := s.withinBudget(normal, normal)
	if !within(s.know.decisions[0]) {
		t.Error("what matches nobody is not renewed")
	}
	if within(s.know.decisions[1]) {
		t.Error("what matches every twelfth visitor is renewed")
	}
}

// TestWhyADecisionEnds: what is not renewed says so when it ends, unless it has matched nothing since.
func TestWhyADecisionEnds(t *testing.T) {
	tr := newTraffic(2)
	tr.people(0, 40*minute, 1.5)
	p := make1(t, small)
	run(t, p, tr.batches(500))
	s := p.detector.index[tr.site]
	normal, nobody, second := s.normalSample(), attribute.NewSample(p.detector.extract, 64), p.detector.closed
	signature, err := schemas.ParseSignature(`user_agent="` + tool.agent + `"`) // every twelfth visitor has it
	if err != nil {
		t.Fatal(err)
	}
	s.incident = &incident{id: "i1"}
	d := &decision{signature: signature, incident: "i1", Decision: schemas.Decision{ID: "i1-1", Action: schemas.Challenge, Scope: schemas.ScopeSignature,
		Value: signature.String(), Reason: "taken", Expires: s.d.knownAt(second)}}
	s.d.o.Longest, d.since = time.Minute, second-3600
	for _, c := range []struct {
		armed, ceases bool
		want          string
	}{
		{true, false, "not renewed: it has matched for 1m"}, {true, true, "it matches no more; armed until"},
		{false, false, "not renewed: it has matched for 1m"}, {false, true, "taken"},
	} {
		s.know.decisions, d.Reason, d.hurt = []*decision{d}, "taken", !c.armed
		s.review(second, nobody, normal, func(schemas.Event) {})
		if c.ceases {
			s.review(second+stepSeconds, nobody, nobody, func(schemas.Event) {})
		}
		var said []string
		s.expire(second+stepSeconds, func(e schemas.Event) { said = append(said, e.Reason) })
		if len(said) != 1 || !strings.HasPrefix(said[0], c.want) || strings.Contains(said[0], "armed") != c.armed {
			t.Errorf("%+v: %q", c, said)
		}
	}
}

// TestARareVictim: what the attacker copies is one partner's program, which nobody else has and which
// has not been here on an earlier day. He is one of a thousand visitors, within the budget, and that is what he
// is worth: only 'allow' protects him.
func TestARareVictim(t *testing.T) {
	partner := profile{"PartnerSync/1.0", "", "gzip", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 X25519", "HTTP/1.1"}
	victim := netip.MustParseAddr("198.51.100.77")
	for _, allowed := range []bool{false, true} {
		tr := newTraffic(9)
		tr.people(0, 38*minute, 1.5)
		for at := int64(0); at < 38*minute; at += minute {
			tr.add(at, victim, &partner, "/feed.xml", "", false, 200)
		}
		for range 5000 {
			tr.add(31*minute+tr.r.Int64N(6*minute), tr.client(), &partner, fmt.Sprintf("/page%d", tr.r.IntN(60)), "", false, 200)
		}
		o := small
		if allowed {
			o.Allow = []netip.Prefix{netip.PrefixFrom(victim, 32)}
		}
		p, e, stopped := make1(t, o), newEdge(), 0
		for _, b := range tr.batches(500) {
			p.Consume(b, func(row int, r *schemas.Request) schemas.Action {
				a := e.judge(row, r)
				if allowed && r.Client == victim { // as at every edge, before any decision
					a = schemas.Allow
				}
				if r.Client == victim && a != schemas.Allow {
					stopped++
				}
				return a
			}, e.take)
		}
		t.Logf("allowed %t: of the victim's 7 requests meanwhile %d are stopped", allowed, stopped)
		if stopped > 0 && allowed {
			t.Error("who is allowed is stopped")
		}
		for _, d := range e.log {
			if allowed && d.Type == schemas.DecisionAdded && d.Scope == schemas.ScopeClient && d.Value == victim.String() {
				t.Error("who is allowed is decided on")
			}
		}
	}
}
