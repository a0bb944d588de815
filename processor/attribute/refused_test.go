package attribute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestWhomTheSiteRefuses: a machine that tries names is measured however few machines and visitors there
// are, also once the site fails under it; nobody is for an edge's refusals, for pictures that are
// missing, or with a cookie.
func TestWhomTheSiteRefuses(t *testing.T) {
	const served, refused, failed = 200, 404, 502
	browser := "Mozilla/5.0 (X11; Linux x86_64; rv:157.0) Gecko/20100101 Firefox/157.0"
	type asks struct {
		status uint16
		times  int
		known  bool // the path
		mark   Mark
		cookie schemas.Cookie
	}
	paths := &Resolver{}
	paths.Known[schemas.ListedPaths] = func(path uint32, _ uint64) bool { return path%2 == 0 }
	for _, c := range []struct {
		name     string
		visitors int
		paths    *Resolver
		asks     []asks
		want     bool
	}{
		{"names by the dozen", 120, paths, []asks{{status: refused, times: 40}}, true},
		{"under which the site fails", 120, paths, []asks{{status: refused, times: 15}, {status: failed, times: 30}}, true},
		{"of which the site's paths say nothing", 120, nil, []asks{{status: refused, times: 15}, {status: failed, times: 30}}, false},
		{"a page among them", 120, paths, []asks{{status: refused, times: 40}, {status: served, times: 2, known: true}}, true},
		{"mostly pages", 120, paths, []asks{{status: served, times: 15, known: true}, {status: refused, times: 15}}, false},
		{"a few", 120, paths, []asks{{status: refused, times: 8}}, false},
		{"an edge's own", 120, paths, []asks{{status: 403, times: 40, known: true, mark: Mark{Stopped: true}}}, false},
		{"pictures that are gone", 120, paths, []asks{{status: served, times: 1, known: true}, {status: refused, times: 40, mark: Mark{Asset: true}}}, false},
		{"with a cookie", 120, paths, []asks{{status: refused, times: 40, cookie: schemas.CookieSome}}, false},
		{"a regular", 120, paths, []asks{{status: refused, times: 40, mark: Mark{Regular: true}}}, false},
		{"on a site that nobody knows", 20, paths, []asks{{status: refused, times: 40}}, false},
	} {
		r := rand.New(rand.NewPCG(11, 3))
		x := NewExtractor(11)
		normal, suspect := NewSample(x, 4096), NewSample(x, 4096)
		for range c.visitors {
			browse(normal, r, browser)
		}
		normal.Span, suspect.Span = time.Hour, time.Minute
		machine := r.Uint32()
		for _, a := range c.asks {
			for i := range a.times {
				q := request(machine, browser, "gzip", fmt.Sprintf("/%d", i), "", a.cookie)
				q.Status = a.status
				var traits Traits
				x.Profile(&traits, q)
				x.Rest(&traits, q)
				hash := uint32(2*i + 11)
				if a.known {
					hash++
				}
				x.Listed(&traits, schemas.ListedPaths, false, hash)
				suspect.AddTraits(x.ClientHash(schemas.ClientOf(q.Client).As16()), &traits, q, a.mark)
				suspect.Requests++
			}
		}
		budget := Budget{Paths: c.paths, Site: "www.example.org"}
		got := Analyse(normal, suspect, budget)
		if (len(got) > 0) != c.want {
			t.Errorf("%s: %d measures, want any: %v", c.name, len(got), c.want)
			continue
		}
		if !c.want {
			continue
		}
		m := got[0]
		if len(got) > 1 || m.Action != schemas.Block || m.Scope != schemas.ScopeClient || m.Collateral > 0.005 ||
			m.CollateralClients < 100 || m.Evidence.RiskRatio < 3 || m.Evidence.SQL == "" || len(m.Evidence.Samples) != 1 {
			t.Errorf("%s: %+v", c.name, got)
		}
		budget.Spare = func(netip.Addr) bool { return true }
		if got := Analyse(normal, suspect, budget); len(got) > 0 {
			t.Errorf("%s: an address that is spared is measured: %+v", c.name, got[0])
		}
	}
}

// BenchmarkRefusedClients is what looking for them costs in every look at an incident, by how large the normal
// sample is.
func BenchmarkRefusedClients(b *testing.B) {
	x := NewExtractor(1)
	r := rand.New(rand.NewPCG(1, 1))
	normal, suspect := NewSample(x, 1<<16), NewSample(x, 2048)
	visitors(normal, r, 16000, time.Hour)
	bots(suspect, r, 2000, "gzip, deflate")
	budget := Budget{}.withDefaults()
	for b.Loop() {
		refusedClients(normal, suspect, budget)
	}
}
