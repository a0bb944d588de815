package nginx

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// probes are addresses of which so many are probes now, and as many that are none.
func probes(t *testing.T, key string, many int, family func(n int) netip.Addr) (list []netip.Addr) {
	t.Helper()
	now := time.Now().UnixMilli()
	yes, no := 0, 0
	for n := 1; yes < many && n < 1_000_000; n++ {
		client := family(n)
		if schemas.Probe(key, client, now) {
			yes++
		} else if no++; no > many {
			continue
		}
		list = append(list, client)
	}
	if yes < many {
		t.Fatalf("%d probes found, want %d", yes, many)
	}
	return list
}

// TestProbesPassInNginx holds that a real nginx draws the same probes as schemas.Probe, lets
// them through past weir's signatures, prefixes and sites, and says so in $weir_decision; not
// past decisions on the client alone, nor past a person's.
func TestProbesPassInNginx(t *testing.T) {
	const key = "00c0ffee00c0ffee"
	weirs := func(id string, action schemas.Action, scope schemas.Scope, value string) Measure {
		m := measure(id, action, scope, value)
		m.Probes = key
		return m
	}
	byHand := measure("m1-9", schemas.Throttle, schemas.ScopeSignature, `user_agent="Worse"`)
	byHand.Hand = true
	four := probes(t, key, 40, func(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}) })
	six := probes(t, key, 20, func(n int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(n % 3), byte(n >> 8), byte(n), 1, 2})
	})
	for name, regulars := range map[string]*RegularList{"without regulars": nil, "with": NewRegularList([]schemas.SiteRegulars{regularsOf("h.example", "203.0.113.200")})} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, includeHTTP, site)
			set := Set{Regulars: regulars, Measures: []Measure{
				weirs("i1-1", schemas.Block, schemas.ScopeSignature, `user_agent="Bad"`),
				weirs("i1-2", schemas.Challenge, schemas.ScopePrefix, "2001:db8::/32"),
				weirs("i1-3", schemas.Throttle, schemas.ScopeSite, "busy.example"),
				weirs("i1-4", schemas.Block, schemas.ScopeSignature, `user_agent="Worse"`),
				byHand,
			}}
			for i, client := range four {
				if i%5 == 0 {
					m := measure(fmt.Sprintf("i2-%d", i), schemas.Block, schemas.ScopeClient, client.String())
					set.Measures = append(set.Measures, m)
				}
			}
			s.apply(set)
			s.start()
			w := s.dial()
			passed := 0
			ask := func(host, agent string, client netip.Addr, otherwise int, decision string, probing bool) {
				t.Helper()
				before := time.Now().UnixMilli()
				status, body := w.say(get(host, "/x", client.String(), "User-Agent: "+agent))
				if after := time.Now().UnixMilli(); before/(1000*schemas.ProbeEpoch) != after/(1000*schemas.ProbeEpoch) {
					return // drawn anew in between
				}
				want := fmt.Sprintf("%d of %s", otherwise, decision)
				got := fmt.Sprintf("%d of %s", status, decision)
				if probing && schemas.Probe(key, client, before) {
					want, got = "200 allow|"+decision, fmt.Sprintf("%d %s", status, body)
					passed++
				} else if decision != "" && !strings.Contains(body, decision) {
					got = fmt.Sprintf("%d %s", status, body)
				}
				if !strings.HasPrefix(got, want) {
					t.Errorf("%s as %s at %s: %q, want %q", client, agent, host, got, want)
				}
			}
			for i, client := range four {
				if i%5 == 0 {
					ask("h.example", "Bad", client, 403, fmt.Sprintf("i2-%d", i), false)
					continue
				}
				ask("h.example", "Bad", client, 403, "i1-1", true)
				ask("busy.example", "Good", client, 429, "i1-3", true)
				if schemas.Probe(key, client, time.Now().UnixMilli()) { // a person's decision stops probes, too
					ask("h.example", "Worse", client, 429, "m1-9", false)
				} else {
					ask("h.example", "Worse", client, 403, "i1-4", false)
				}
			}
			for _, client := range six {
				ask("h.example", "Good", client, 429, "i1-2", true)
			}
			if passed < 60 {
				t.Errorf("%d probes were let through", passed)
			}
		})
	}
}
