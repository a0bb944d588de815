package processor

import (
	"cmp"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// TestWhatTheFirstWhoAreStoppedDo: what the attack's clients do is seen of those whom its first decisions match within a minute of the
// first one, once for the whole incident, and over a restart. Whom one of later matches may be the visitors.
func TestWhatTheFirstWhoAreStoppedDo(t *testing.T) {
	for name, c := range map[string]struct {
		shown, people int
		taken, after  int64 // seconds after the incident's first decision on requests
		want          attackConduct
	}{
		"browsers":                                {20, 17, 0, 10, ofBrowsers},
		"programs, and two people":                {20, 2, 0, 10, ofPrograms},
		"too few have shown anything":             {4, 4, 0, 10, unseen},
		"whom it matches later is others":         {20, 20, 0, 70, unseen},
		"the first showed too few, the next more": {20, 17, 10, 20, ofBrowsers},
		"one of later has a minute of its own":    {20, 17, 70, 80, unseen},
	} {
		p, s, d := withScore(t)
		s.incident.conduct, s.incident.first, d.since = unseen, 1000, 1000+c.taken
		s.seeConduct(d, &attribute.Live{Shown: c.shown, People: c.people}, 1000+c.after)
		if s.incident.conduct != c.want {
			t.Errorf("%s: %d, want %d", name, s.incident.conduct, c.want)
		}
		if to := reloaded(t, p, small).detector.sites[0]; to.incident.conduct != c.want {
			t.Errorf("%s: %d after a restart, want %d", name, to.incident.conduct, c.want)
		} else if to.incident.first != 1000 {
			t.Errorf("%s: the first decision was in second %d after a restart, want 1000", name, to.incident.first)
		}
		s.seeConduct(d, &attribute.Live{Shown: 20, People: 20 - c.people}, 1000)
		if c.want != unseen && s.incident.conduct != c.want {
			t.Errorf("%s: it changed to %d", name, s.incident.conduct)
		}
		s.incident.conduct = unseen
		d.incident = "another"
		if s.seeConduct(d, &attribute.Live{Shown: 20, People: 20}, 1000); s.incident.conduct != unseen {
			t.Errorf("%s: another incident's decision tells", name)
		}
	}
}

// TestWhenTheFirstDecisionWas: the minute begins with the first one on requests, and no later one begins it anew.
func TestWhenTheFirstDecisionWas(t *testing.T) {
	p, s, _ := withScore(t)
	first := s.incident.first
	earliest := int64(math.MaxInt64)
	for _, d := range s.know.decisions {
		if d.signature != nil {
			earliest = min(earliest, d.since)
		}
	}
	if first == 0 || first > earliest {
		t.Fatalf("the first decision is said to be of second %d, the first in force is of %d", first, earliest)
	}
	s.impose([]attribute.Measure{{Action: schemas.Challenge, Scope: schemas.ScopeSignature, Value: `method="PUT"`,
		Signature: schemas.Signature{{Trait: schemas.TraitMethod, Value: "PUT"}}}}, p.detector.closed+100, func(schemas.Event) {})
	if s.incident.first != first {
		t.Errorf("another one moved it from %d to %d", first, s.incident.first)
	}
}

// TestProbesThatAreBrowsersAsAllAre: where the attack's clients behaved as people do before anything stopped them, that probes do, too, lifts what
// blocks, and neither what asks nor all scores with it. Where a crowd was there first, or the attack is of programs, it lifts either.
func TestProbesThatAreBrowsersAsAllAre(t *testing.T) {
	for name, c := range map[string]struct {
		conduct       attackConduct
		among         bool
		action        schemas.Action
		lifted, spare bool
	}{
		"a challenge of browsers":         {ofBrowsers, false, schemas.Challenge, false, false},
		"a block of browsers":             {ofBrowsers, false, schemas.Block, true, false},
		"a challenge of programs":         {ofPrograms, false, schemas.Challenge, true, true},
		"browsers that came with a crowd": {ofBrowsers, true, schemas.Challenge, true, true},
	} {
		p, s, score := withScore(t)
		second := p.detector.closed
		d := &decision{signature: schemas.Signature{{Trait: schemas.TraitMethod, Value: "GET"}}, incident: s.incident.id, since: second - 60, matched: second, Decision: schemas.Decision{
			ID: "i1-98", Action: c.action, Scope: schemas.ScopeSignature, Value: `method="GET"`, Expires: score.Expires, Origin: schemas.OriginWeir}}
		d.live = schemas.Live{Probes: 40, People: 40}
		s.know.decisions = []*decision{d}
		ofMatch := &decision{incident: s.incident.id, forMatch: true, since: second - 60, matched: second, Decision: schemas.Decision{
			ID: "i1-99", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.77", Expires: score.Expires, Origin: schemas.OriginWeir}}
		s.know.scored.add(ofMatch)
		s.incident.conduct, s.incident.among = c.conduct, c.among
		for n := range uint64(8) {
			s.visits = append(s.visits, visit{Client: n, Person: true})
		}
		if d.strays() && !s.saysNothing(d) && !c.lifted {
			t.Errorf("%s: its probes stray", name)
		}
		why := s.probesHurt(d, second)
		if strings.HasPrefix(why, "lifted: ") != c.lifted {
			t.Errorf("%s: %q", name, why)
		}
		s.sparePeople(d, second, func(schemas.Event) {})
		if (s.incident.hurt.People != nil) != c.spare {
			t.Errorf("%s: those who behave like people are kept: %t", name, !c.spare)
		}
		if s.know.scored.of(netip.MustParseAddr("192.0.2.77")) != nil {
			t.Errorf("%s: whom its match had blocked is blocked still", name)
		}
	}
}

// TestBrowsersAreLetIn: once it is seen that an attack's clients are browsers, what blocks by what a request is ends at the next look; what blocks an
// address, what asks, what another attack left and all of an attack by programs stay.
func TestBrowsersAreLetIn(t *testing.T) {
	for name, c := range map[string]struct {
		conduct  attackConduct
		action   schemas.Action
		incident string
		ends     bool
	}{
		"a block of browsers":          {ofBrowsers, schemas.Block, "", true},
		"a challenge of browsers":      {ofBrowsers, schemas.Challenge, "", false},
		"a block of programs":          {ofPrograms, schemas.Block, "", false},
		"a block that is an earlier's": {ofBrowsers, schemas.Block, "i0", false},
	} {
		p, s, score := withScore(t)
		second := p.detector.closed
		d := &decision{signature: schemas.Signature{{Trait: schemas.TraitUserAgent, Value: "nobody/2.0"}}, incident: cmp.Or(c.incident, s.incident.id), since: second - 20, matched: second, Decision: schemas.Decision{
			ID: "i1-98", Action: c.action, Scope: schemas.ScopeSignature, Value: `user_agent="nobody/2.0"`, Expires: score.Expires.Add(time.Hour), Origin: schemas.OriginWeir}}
		client := &decision{incident: s.incident.id, since: second - 20, matched: second, Decision: schemas.Decision{
			ID: "i1-97", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.78", Expires: score.Expires.Add(time.Hour), Origin: schemas.OriginWeir}}
		s.know.decisions = []*decision{d}
		s.know.scored.add(client)
		s.incident.conduct, s.incident.among, s.incident.earlier = c.conduct, false, nil
		var told []schemas.Event
		s.review(second, s.normalSample(), s.suspects(second, s.incident.suspectsFrom()), func(e schemas.Event) { told = append(told, e) })
		_, removed := lastOf(told, schemas.DecisionRemoved, "are browsers")
		if (removed == 1) != c.ends || (len(s.know.decisions) == 0) != c.ends {
			t.Errorf("%s: %d were told to end, %d are in force", name, removed, len(s.know.decisions))
		}
		if s.know.scored.of(netip.MustParseAddr("192.0.2.78")) == nil {
			t.Errorf("%s: the client is let in", name)
		}
	}
}
