package attribute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// rented are bots that speak as visitors, at addresses of 198.51.96.0/20.
func rented(s *Sample, r *rand.Rand, n int) {
	for range n {
		s.take(request(198<<24|51<<16|96<<8|r.Uint32N(1<<12), agents[r.IntN(len(agents))], "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
	}
}

func prefixesIn(measures []Measure) (all []string) {
	for _, m := range measures {
		if m.Scope == schemas.ScopePrefix {
			all = append(all, string(m.Action)+" "+m.Value)
		}
	}
	return all
}

// TestDensePrefixes: a prefix that the attack fills and nobody else comes from is decided on, and none that somebody is
// known from, or does what people do in, or that is spared.
func TestDensePrefixes(t *testing.T) {
	const inside = 198<<24 | 51<<16 | 103<<8 | 7
	somebody := func(path string, cookie schemas.Cookie) *schemas.Request {
		return request(inside, agents[0], "gzip, br", path, "", cookie)
	}
	sees := func(s *Sample, q *schemas.Request, m Mark) {
		var traits Traits
		s.x.Profile(&traits, q)
		s.x.Rest(&traits, q)
		s.AddTraits(s.x.ClientHash(schemas.ClientOf(q.Client).As16()), &traits, q, m)
	}
	wide := "block 198.51.96.0/20"
	for name, c := range map[string]struct {
		change func(normal, suspect *Sample, b *Budget)
		wide   bool // the whole is decided on
		narrow bool // parts of it are, of which the quarters where nobody is
	}{
		"nobody else is there": {func(*Sample, *Sample, *Budget) {}, true, false},
		"a visitor came from there": {func(normal, _ *Sample, _ *Budget) {
			sees(normal, somebody("/style.css", schemas.CookieNone), Mark{Asset: true})
		}, false, true},
		"a program came from there": {func(normal, _ *Sample, _ *Budget) {
			sees(normal, request(inside, "curl/8", "gzip", "/page1", "", schemas.CookieNone), Mark{})
		}, false, true},
		"a bot came from there before": {func(normal, _ *Sample, _ *Budget) { sees(normal, somebody("/page1", schemas.CookieNone), Mark{}) }, true, false},
		"somebody there loads assets": {func(_, suspect *Sample, _ *Budget) {
			sees(suspect, somebody("/style.css", schemas.CookieNone), Mark{Asset: true})
		}, false, true},
		"somebody there has a cookie": {func(_, suspect *Sample, _ *Budget) { sees(suspect, somebody("/page1", schemas.CookieSome), Mark{}) }, false, true},
		"a regular is there": {func(_, suspect *Sample, _ *Budget) {
			sees(suspect, somebody("/page1", schemas.CookieNone), Mark{Regular: true})
		}, false, true},
		"a site of the estate knows somebody": {func(normal, _ *Sample, b *Budget) {
			other := NewSample(normal.x, 64)
			sees(other, somebody("/style.css", schemas.CookieNone), Mark{Asset: true})
			b.Elsewhere = []*Sample{other}
		}, false, true},
		"a proxy is there": {func(_, suspect *Sample, b *Budget) {
			sees(suspect, somebody("/page1", schemas.CookieNone), Mark{})
			b.Spare = func(a netip.Addr) bool { return a == netip.MustParseAddr("198.51.103.7") }
		}, false, true},
		"it hurt": {func(_, _ *Sample, b *Budget) {
			b.RefusedPrefixes = []netip.Prefix{netip.MustParsePrefix("198.51.96.0/20")}
		}, false, false},
		"it is taken": {func(_, _ *Sample, b *Budget) { b.Prefixes = []netip.Prefix{netip.MustParsePrefix("198.51.96.0/20")} }, false, false},
	} {
		normal, suspect, r := people(5, 3000)
		rented(suspect, r, 900)
		b := Budget{Site: "www.example.org"}
		c.change(normal, suspect, &b)
		got := prefixesIn(Analyse(normal, suspect, b))
		quarter := slices.Contains(got, "block 198.51.96.0/22") && slices.Contains(got, "block 198.51.108.0/22") // 103 is in 100 to 103
		if slices.Contains(got, wide) != c.wide || len(got) > 1 != c.narrow || quarter != c.narrow {
			t.Errorf("%s: %v", name, got)
		}
		for _, p := range got {
			_, prefix, _ := strings.Cut(p, " ")
			if netip.MustParsePrefix(prefix).Contains(netip.MustParseAddr("198.51.103.7")) && c.narrow {
				t.Errorf("%s: %s has somebody", name, p)
			}
		}
	}
}

// TestFewOfAPrefixAreNone: what as many visitors as come may come from is not dense, nor is what is everywhere.
func TestFewOfAPrefixAreNone(t *testing.T) {
	for seed := range uint64(3) {
		normal, suspect, r := people(seed, 3000)
		mimics(suspect, r, 900)
		rented(suspect, r, minDense-1)
		if got := prefixesIn(Analyse(normal, suspect, Budget{})); len(got) > 0 {
			t.Errorf("seed %d: %v", seed, got)
		}
	}
}

// TestAYoungSiteChallengesPrefixes: where too few are known to certify a block, nobody is blocked for where it is.
func TestAYoungSiteChallengesPrefixes(t *testing.T) {
	normal, suspect, r := people(5, 300)
	rented(suspect, r, 900)
	got := prefixesIn(Analyse(normal, suspect, Budget{}))
	if len(got) != 1 || got[0] != "challenge 198.51.96.0/20" {
		t.Errorf("%v, want one challenge", got)
	}
}

// TestPrefixesAreBounded by what they cost and by their number.
func TestPrefixesAreBounded(t *testing.T) {
	normal, suspect, r := people(5, 3000)
	for p := range uint32(200) {
		for range 12 {
			suspect.take(request(198<<24|p<<16|96<<8|r.Uint32N(1<<12), agents[0], "gzip, br", "/page1", "", schemas.CookieNone))
		}
	}
	got := prefixesIn(Analyse(normal, suspect, Budget{}))
	if len(got) == 0 || len(got) > maxPrefixes {
		t.Errorf("%d prefixes", len(got))
	}
}

// TestPrefixesShowWhy: who comes from there, and the nearest normal requests.
func TestPrefixesShowWhy(t *testing.T) {
	normal, suspect, r := people(5, 3000)
	rented(suspect, r, 900)
	for _, m := range Analyse(normal, suspect, Budget{Site: "www.example.org"}) {
		if m.Scope == schemas.ScopePrefix && (m.Clients < minDense || len(m.Evidence.Samples) == 0 || len(m.Evidence.Nearest) == 0 || m.Evidence.SQL == "") {
			t.Errorf("%d clients, %+v", m.Clients, m.Evidence)
		}
	}
}

// TestPrefixesBeyondTheBlocksAreChallenged: where the budget of blocks is spent, by prefixes or by signatures in force, further ones are
// asked for something within the budget of that, and those that are asked already cost the blocks nothing.
func TestPrefixesBeyondTheBlocksAreChallenged(t *testing.T) {
	count := func(b Budget) (block, challenge int) {
		normal, suspect, r := people(5, 1000)
		for p := range uint32(80) {
			for range 12 {
				suspect.take(request(198<<24|p<<16|96<<8|r.Uint32N(1<<12), agents[0], "gzip, br", "/page1", "", schemas.CookieNone))
			}
		}
		for _, p := range prefixesIn(Analyse(normal, suspect, b)) {
			if strings.HasPrefix(p, "block ") {
				block++
			} else {
				challenge++
			}
		}
		return block, challenge
	}
	block, challenge := count(Budget{})
	if block < 20 || challenge == 0 || block+challenge > maxPrefixes {
		t.Errorf("%d prefixes are blocked, %d challenged", block, challenge)
	}
	held := Budget{}
	for p := range byte(12) {
		held.Prefixes = append(held.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{203, p, 96, 0}), 20))
	}
	fewer, _ := count(held)
	held.Asked = len(held.Prefixes)
	asked, _ := count(held)
	if fewer >= block || asked != block {
		t.Errorf("%d prefixes are blocked, %d beside twelve that are blocked, %d beside twelve that are asked", block, fewer, asked)
	}
}

func TestPrefixSQL(t *testing.T) {
	for prefix, want := range map[string]string{
		"198.51.96.0/20":   "BETWEEN toIPv6('198.51.96.0') AND toIPv6('198.51.111.255')",
		"2a01:3:91d1::/48": "BETWEEN toIPv6('2a01:3:91d1::') AND toIPv6('2a01:3:91d1:ffff:ffff:ffff:ffff:ffff')",
	} {
		if sql := prefixSQL("a.example", netip.MustParsePrefix(prefix)); !strings.Contains(sql, want) {
			t.Errorf("%s: %s", prefix, sql)
		}
	}
}
