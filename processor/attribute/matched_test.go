package attribute

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestWhomASignatureMatchedIsStopped: bots that ask for pages that are there now and then, with nothing that
// visitors do not send, are stopped there, too, once a signature has matched them; visitors whom
// none has matched are not, and no known one is.
func TestWhomASignatureMatchedIsStopped(t *testing.T) {
	for seed := range uint64(3) {
		normal, suspect, r := people(seed, 4000)
		mixed := make(map[string]bool)
		for range 400 {
			c := r.Uint32()
			agent := agents[r.IntN(len(agents))]
			for i := range 4 {
				path, encoding := fmt.Sprintf("/%x/%d", r.Uint32(), i), "gzip, deflate"
				if i == 3 { // a page as everybody asks for it
					path, encoding = fmt.Sprintf("/page%d", r.IntN(30)), "gzip, br"
				}
				q := request(c, agent, encoding, path, "", schemas.CookieNone)
				suspect.take(q)
				mixed[clientText(schemas.ClientOf(q.Client).As16())] = true
			}
		}
		guest := request(7, agents[0], "gzip, deflate", "/x/1", "", schemas.CookieNone)
		normal.take(request(7, agents[0], "gzip, br", "/page1", "https://www.example.org/", schemas.CookieSome))
		suspect.take(guest)
		normal.Span, suspect.Span = 4000*time.Second, time.Minute
		stopped, byMatch, others := 0, 0, 0
		probes := func(client netip.Addr) bool { return client.As4()[3]%16 == 0 }
		for _, m := range Analyse(normal, suspect, Budget{MaxClients: 4096, Probe: probes}) {
			switch {
			case m.Scope != schemas.ScopeClient:
			case m.Value == clientText(schemas.ClientOf(guest.Client).As16()):
				t.Errorf("seed %d: a client that the site knows is measured", seed)
			case mixed[m.Value] && m.Action == schemas.Block:
				stopped++
				if e := m.Evidence.Traits; len(e) > 1 && e[0].Trait == "matched" {
					byMatch++
					if probes(netip.MustParseAddr(m.Value)) || e[0].Bits < 3 {
						t.Fatalf("seed %d: %s: %+v", seed, m.Value, e)
					}
				}
			default:
				others++
			}
		}
		if stopped < 300 || byMatch < 200 || others > 2 {
			t.Errorf("seed %d: %d of 400 bots are stopped, %d for what a signature matched, and %d others", seed, stopped, byMatch, others)
		}
	}
}

// TestNobodyIsMatchedWhereSignaturesAreEnough: what stops the attack is enough.
func TestNobodyIsMatchedWhereSignaturesAreEnough(t *testing.T) {
	normal, suspect, r := people(1, 4000)
	bots(suspect, r, 600, "gzip, deflate")
	suspect.Span = time.Minute
	measures := Analyse(normal, suspect, Budget{MaxClients: 4096})
	for _, m := range measures {
		if m.Scope == schemas.ScopeClient && m.Action == schemas.Block {
			t.Fatalf("%s is blocked beside %d measures", m.Value, len(measures))
		}
	}
}
