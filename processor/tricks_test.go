package processor

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// More of the adversary's turn: what somebody would try who knows how weir decides. Each test plays it and
// tells what weir did; what docs/threat-model.md says of it is from here.

// told counts the attack's requests, those that were stopped, and the clients of others and those of them who had a
// request blocked, from a moment on.
type told struct {
	attack, stopped  int
	people, blocked  int
	slowed           int
	firstDecision    int64 // ms after the attack began, -1 for none
	incidents, lifts int
}

func (x told) String() string {
	return fmt.Sprintf("%d of the attack's %d requests stopped; of %d others %d blocked, %d challenged; first decision after %d s; %d incidents of an attack kind, %d lifted",
		x.stopped, x.attack, x.people, x.blocked, x.slowed, x.firstDecision/1000, x.incidents, x.lifts)
}

func (x told) share() float64 { return float64(x.stopped) / float64(max(x.attack, 1)) }

// tell compares verdicts with the truth from a moment on.
func tell(tr *traffic, e *edge, verdicts []schemas.Action, from int64, bot func(*schemas.Request) bool) (x told) {
	worst := map[netip.Addr]int{}
	for i, a := range verdicts {
		r := &tr.rows[i]
		if r.Time < start+from {
			continue
		}
		if bot(r) {
			if x.attack++; a != schemas.Allow {
				x.stopped++
			}
			continue
		}
		worst[r.Client] = max(worst[r.Client], a.Severity())
	}
	for _, severity := range worst {
		x.people++
		if severity == schemas.Block.Severity() {
			x.blocked++
		} else if severity > 0 {
			x.slowed++
		}
	}
	x.firstDecision = -1
	for _, event := range e.log {
		switch {
		case event.Type == schemas.IncidentOpened && event.Kind.Attack():
			x.incidents++
		case event.Type == schemas.DecisionAdded && x.firstDecision < 0 && event.Time.UnixMilli() >= start+from:
			x.firstDecision = event.Time.UnixMilli() - start - from
		case event.Type == schemas.DecisionRemoved && len(event.Reason) > 6 && event.Reason[:6] == "lifted":
			x.lifts++
		}
	}
	return x
}

// from makes the addresses of a botnet.
func (t *traffic) addresses(n int) (all []netip.Addr, is map[netip.Addr]bool) {
	is = make(map[netip.Addr]bool)
	for range n {
		a := t.client()
		all, is[a] = append(all, a), true
	}
	return all, is
}

func of(is map[netip.Addr]bool) func(*schemas.Request) bool {
	return func(r *schemas.Request) bool { return is[r.Client] }
}

var lynx = profile{"Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.8.9", "en", "gzip, compress, bzip2, br", "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:secp256r1", "HTTP/1.0"}

// TestAMinorityIsCopied: the attacker copies the text browser of a few of the visitors to the letter. Where these are too
// many for the budget, none of them is blocked, by a signature or by his address: he does what the bots do, and
// normal clients of his kind did.
func TestAMinorityIsCopied(t *testing.T) {
	for _, one := range []int{100, 20} { // in so many visits
		tr := newTraffic(31)
		tr.people(0, 68*minute, 1.5)
		minority := map[netip.Addr]bool{}
		for range int(68*60*1.5) / one {
			at, client := tr.r.Int64N(68*minute), tr.client()
			minority[client] = true
			for k := range int64(3) {
				tr.add(at+k*9000, client, &lynx, fmt.Sprintf("/page%d", int(tr.r.ExpFloat64()*8)), "", false, 200)
			}
		}
		bots, is := tr.addresses(1500)
		for i := range 6000 {
			tr.add(61*minute+tr.r.Int64N(6*minute), bots[i%1500], &lynx, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
		}
		e, verdicts := run(t, make1(t, Options{MinBaseline: 10 * time.Minute, Probation: -1}), tr.batches(500))
		x := tell(tr, e, verdicts, 61*minute, of(is))
		there := map[netip.Addr]int{}
		for i, a := range verdicts {
			if r := &tr.rows[i]; r.Time >= start+61*minute && minority[r.Client] {
				there[r.Client] = max(there[r.Client], a.Severity())
			}
		}
		blocked, asked := 0, 0
		for _, severity := range there {
			switch {
			case severity == schemas.Block.Severity():
				blocked++
			case severity > 0:
				asked++
			}
		}
		t.Logf("one visitor in %d: %v; of %d of the minority %d blocked, %d challenged", one, x, len(there), blocked, asked)
		if 200*x.blocked > x.people {
			t.Errorf("one visitor in %d: %d of %d people blocked, more than the budget", one, x.blocked, x.people)
		}
	}
}

// TestATrickleBeforeTheAttack: the botnet's traits come one by one before the attack, so that they are normal. What
// too many normal clients show is blocked no more, and bots are stopped for what they do alone.
func TestATrickleBeforeTheAttack(t *testing.T) {
	for _, one := range []int{0, 100, 20} { // visitors
		tr := newTraffic(32)
		tr.people(0, 68*minute, 1.5)
		p := library
		p.agent = "Mozilla/5.0 (X11; Linux x86_64) Chrome/139.0.0.0 Safari/537.36"
		if one > 0 {
			for range int(60*60*1.5) / one {
				tr.add(tr.r.Int64N(60*minute), tr.client(), &p, fmt.Sprintf("/page%d", int(tr.r.ExpFloat64()*8)), "", false, 200)
			}
		}
		bots, is := tr.addresses(1500)
		for i := range 6000 {
			tr.add(61*minute+tr.r.Int64N(6*minute), bots[i%1500], &p, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
		}
		e, verdicts := run(t, make1(t, Options{MinBaseline: 10 * time.Minute, Probation: -1}), tr.batches(500))
		x := tell(tr, e, verdicts, 62*minute, of(is))
		t.Logf("one in %d: %v", one, x)
		if x.blocked+x.slowed > 0 || x.incidents != 1 || x.share() < .35 {
			t.Errorf("one in %d: %v", one, x)
		}
	}
}

// TestRotationOutlastsDecisions: four tools in turn, each for so long, with decisions of ten minutes.
func TestRotationOutlastsDecisions(t *testing.T) {
	for _, each := range []int64{20_000, minute, 3 * minute} {
		tr := newTraffic(33)
		turns := int64(12)
		tr.people(0, 31*minute+turns*each+minute, 1.0)
		bots, is := tr.addresses(2000)
		for turn := range turns {
			p := profile{fmt.Sprintf("Mozilla/5.0 (compatible; Reader/%d.0)", turn%4), "", []string{"gzip", "gzip, deflate", "", "identity"}[turn%4], fmt.Sprintf("TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:X%d", turn%4), "HTTP/1.1"}
			for range 12 * each / 1000 {
				tr.add(31*minute+turn*each+tr.r.Int64N(each), bots[tr.r.IntN(len(bots))], &p, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
			}
		}
		e, verdicts := run(t, make1(t, small), tr.batches(500))
		x := tell(tr, e, verdicts, 31*minute, of(is))
		t.Logf("each for %d s: %v", each/1000, x)
		if x.share() < .8 || x.blocked > 0 {
			t.Errorf("each for %d s: %v", each/1000, x)
		}
	}
}

// TestBurstsWithinProbation: attacks that end before the first enforcement's probation does.
func TestBurstsWithinProbation(t *testing.T) {
	tr := newTraffic(34)
	tr.people(0, 34*minute+6*30*minute, 0.8)
	all := map[netip.Addr]bool{}
	for burst := range int64(6) {
		bots, is := tr.addresses(500)
		for a := range is {
			all[a] = true
		}
		p := library
		p.agent = fmt.Sprintf("Mozilla/5.0 (compatible; Burst/%d)", burst)
		p.tls = fmt.Sprintf("TLSv1.2 X%d", burst)
		for range 2000 {
			tr.add((31+30*burst)*minute+tr.r.Int64N(4*minute), bots[tr.r.IntN(500)], &p, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
		}
	}
	e := newEdge()
	p := make1(t, Options{MinBaseline: 10 * time.Minute, MinClients: 100, Collateral: .01})
	verdicts := probe(t, p, e, tr.batches(500))
	x := tell(tr, e, verdicts, 31*minute, of(all))
	t.Log(x)
	if x.share() < .9 || x.blocked > 0 || x.incidents != 6 {
		t.Error(x)
	}
}

// TestAnAgentForEveryRequest: every request has another agent, none of which anybody has. No signature fits; a score
// does, to which an agent that is not listed adds most.
func TestAnAgentForEveryRequest(t *testing.T) {
	tr := newTraffic(35)
	tr.people(0, 68*minute, 1.5)
	bots, is := tr.addresses(1500)
	for i := range 6000 {
		p := browsers[1]
		p.agent = fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0.%d.%d Safari/537.36", tr.r.IntN(9999), tr.r.IntN(999))
		tr.add(61*minute+tr.r.Int64N(6*minute), bots[i%1500], &p, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
	}
	e, verdicts := run(t, make1(t, Options{MinBaseline: 10 * time.Minute, Probation: -1}), tr.batches(500))
	x := tell(tr, e, verdicts, 62*minute, of(is))
	t.Log(x)
	if x.share() < .9 || x.blocked > 0 {
		t.Error(x)
	}
}

// TestAssetsAlone: nothing but one asset is asked for, with another query each time, by browsers from another site's
// page and without. That is what a picture is that somebody else's page shows: a crowd, on which nothing is decided.
func TestAssetsAlone(t *testing.T) {
	for _, referer := range []string{"", "https://forum.example.com/thread"} {
		tr := newTraffic(36)
		tr.people(0, 48*minute, 1.0)
		bots, is := tr.addresses(1500)
		for i := range 8000 {
			p := browsers[tr.r.IntN(len(browsers))]
			tr.add(41*minute+tr.r.Int64N(6*minute), bots[i%1500], &p, "/asset0.css", referer, false, 200)
			tr.rows[len(tr.rows)-1].Query = fmt.Appendf(nil, "v=%x", tr.r.Uint32())
		}
		e, verdicts := run(t, make1(t, small), tr.batches(500))
		x := tell(tr, e, verdicts, 42*minute, of(is))
		t.Logf("referer %q: %v %v", referer, x, kinds(e.log))
		if x.stopped+x.blocked > 0 || len(e.log) == 0 || e.log[0].Kind != schemas.Crowd {
			t.Errorf("referer %q: %v %v", referer, x, kinds(e.log))
		}
	}
}

// TestPathsThatNoEdgeCanTell: pages that are longer than what edges know paths by, or have a byte in them that they do
// not take. No edge tells whether such a one is known, so that nothing may rest on that: they are stopped by what else
// sets them apart, also where the others of the botnet ask for pages that are told.
func TestPathsThatNoEdgeCanTell(t *testing.T) {
	for _, ending := range []string{"/" + strings.Repeat("a", schemas.MaxKnownPath), "/a\x1bb"} {
		for _, one := range []int{1, 2} {
			tr, attack := story(7)
			n := 0
			for i := range tr.rows {
				if r := &tr.rows[i]; isBot(r) {
					if n++; n%one == 0 {
						r.Path = append(r.Path, ending...)
					}
				}
			}
			e := newEdge()
			o := small
			o.Known = e.know
			verdicts := e.run(make1(t, o), tr.batches(500))
			x := tell(tr, e, verdicts, attack+minute, isBot)
			t.Logf("%.10q, one in %d: %v", ending, one, x)
			if x.share() < .9 || x.blocked > 2 {
				t.Errorf("%.10q, one in %d: %v", ending, one, x)
			}
		}
	}
}
