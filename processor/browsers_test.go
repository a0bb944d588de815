package processor

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// TestWhatTheFirstWhoAreStoppedDo: what the attack's clients do is seen of those whom its first decisions match before they are in
// force, once for the whole incident, and over a restart.
func TestWhatTheFirstWhoAreStoppedDo(t *testing.T) {
	for name, c := range map[string]struct {
		shown, people int
		after         int64
		want          attackConduct
	}{
		"browsers":                        {20, 17, 10, ofBrowsers},
		"programs, and two people":        {20, 2, 10, ofPrograms},
		"too few have shown anything":     {4, 4, 10, unseen},
		"whom it matches later is others": {20, 20, 70, unseen},
	} {
		p, s, d := withScore(t)
		s.incident.conduct, d.since = unseen, 1000
		s.seeConduct(d, &attribute.Live{Shown: c.shown, People: c.people}, 1000+c.after)
		if s.incident.conduct != c.want {
			t.Errorf("%s: %d, want %d", name, s.incident.conduct, c.want)
		}
		if to := reloaded(t, p, small).detector.sites[0]; to.incident.conduct != c.want {
			t.Errorf("%s: %d after a restart, want %d", name, to.incident.conduct, c.want)
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
