package realip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

func mustTrust(t testing.TB, entries ...string) *Trust {
	t.Helper()
	trust, err := NewTrust(entries)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func TestClient(t *testing.T) {
	trust := mustTrust(t, "10.0.0.0/8", "2001:db8:1::/48", "cloudflare")
	for _, c := range []struct {
		peer   string
		header Header
		value  string
		want   string
	}{
		{"192.0.2.1", ForwardedFor, "198.51.100.7", "192.0.2.1"}, // the peer is nobody's proxy
		{"10.0.0.1", ForwardedFor, "", "10.0.0.1"},
		{"10.0.0.1", ForwardedFor, "-", "10.0.0.1"},
		{"10.0.0.1", ForwardedFor, "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", ForwardedFor, "6.6.6.6, 198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", ForwardedFor, "6.6.6.6,198.51.100.7 ,10.0.0.2,\t104.16.0.9", "198.51.100.7"},
		{"104.16.0.9", ForwardedFor, "10.0.0.9, 10.0.0.8", "10.0.0.9"}, // all of them trusted: the farthest
		{"10.0.0.1", ForwardedFor, "198.51.100.7, unknown", "10.0.0.1"},
		{"10.0.0.1", ForwardedFor, "198.51.100.7, unknown, 10.0.0.2", "10.0.0.2"},
		{"10.0.0.1", ForwardedFor, "198.51.100.7:5123", "198.51.100.7"},
		{"10.0.0.1", ForwardedFor, "[2001:db8::7]:5123", "2001:db8::7"},
		{"10.0.0.1", ForwardedFor, "2001:db8::7", "2001:db8::7"},
		{"10.0.0.1", ForwardedFor, "fe80::1%eth0", "fe80::1"},
		{"10.0.0.1", ForwardedFor, "::ffff:198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", ForwardedFor, "198.51.100.7, ::ffff:10.0.0.3", "198.51.100.7"},
		{"10.0.0.1", ForwardedFor, "198.51.100.7, , ", "198.51.100.7"},
		{"10.0.0.1", ForwardedFor, "1.2.3, 1.2.3.4.5", "10.0.0.1"},
		{"10.0.0.1", ForwardedFor, "\x00\xff", "10.0.0.1"},
		{"10.0.0.1", Forwarded, "for=198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", Forwarded, `for=6.6.6.6, For="[2001:db8::7]:47011";proto=http;by=10.0.0.1`, "2001:db8::7"},
		{"10.0.0.1", Forwarded, `for="6.6.6.6, for=198.51.100.7`, "198.51.100.7"},
		{"10.0.0.1", Forwarded, `for=198.51.100.7;host="a\", for=6.6.6.6", for=10.0.0.2;proto=https`, "198.51.100.7"},
		{"10.0.0.1", Forwarded, `for=198.51.100.7, for=_hidden, for=10.0.0.2`, "10.0.0.2"},
		{"10.0.0.1", Forwarded, `for="198.51.100.7:_x"`, "198.51.100.7"},
		{"10.0.0.1", Forwarded, `by=10.0.0.1`, "10.0.0.1"},
		{"10.0.0.1", Forwarded, `for=6.6.6.6;for=198.51.100.7`, "10.0.0.1"},
		{"10.0.0.1", Forwarded, `for=[2001:db8::7`, "10.0.0.1"},
		{"2001:db8:1::5", Forwarded, `for=198.51.100.7`, "198.51.100.7"},
	} {
		q := schemas.Request{Client: netip.MustParseAddr(c.peer)}
		if q.ForwardedFor = []byte(c.value); c.header == Forwarded {
			q.ForwardedFor, q.Forwarded = []byte("6.6.6.6"), []byte(c.value) // what is not the proxies' is not read
		}
		New(Options{Trust: trust, Header: c.header}).Resolve(&q)
		if q.Client.String() != c.want {
			t.Errorf("%s, %q: %s, want %s", c.peer, c.value, q.Client, c.want)
		}
	}
}

func TestTrust(t *testing.T) {
	for entry, want := range map[string]string{
		"0.0.0.0/0":       "0.0.0.0/0 would trust everybody: any client could then say who it is",
		"::/0":            "::/0 would trust everybody: any client could then say who it is",
		"::ffff:1.2.3.0/": `"::ffff:1.2.3.0/" is no prefix, no address, and none of the names cloudflare, cloudfront, fastly, google, imperva, private, sucuri`,
		"::ffff:0:0/96":   "::ffff:0:0/96: write the IPv4 prefix itself",
	} {
		if _, err := NewTrust([]string{entry}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", entry, err, want)
		}
	}
	for name, list := range published() {
		trust := mustTrust(t, name)
		for _, prefix := range prefixes(list) {
			if prefix != prefix.Masked() || prefix.Bits() < 8 && prefix.Addr().Is4() {
				t.Errorf("%s: %s", name, prefix)
			}
			if !trust.look(prefix.Addr()).trusted {
				t.Errorf("%s: %s is not trusted", name, prefix)
			}
		}
		if trust.look(netip.MustParseAddr("192.0.2.1")).trusted {
			t.Errorf("%s trusts 192.0.2.1", name)
		}
	}
	// What is trusted around a published range counts for it, and the range keeps its name.
	trust := mustTrust(t, "104.0.0.0/8", "151.101.1.1")
	for addr, want := range map[string]peer{"104.16.0.1": {true, 1}, "104.1.0.1": {true, 0}, "151.101.1.1": {true, 3}, "151.101.1.2": {false, 3}, "9.9.9.9": {}} {
		if got := trust.look(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %+v, want %+v", addr, got, want)
		}
	}
}

// Whatever a client puts into the header, the client is who connected to the first
// trusted proxy.
func TestSpoofingChangesNothing(t *testing.T) {
	trust := mustTrust(t, "10.0.0.0/8", "fastly")
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.SampledFrom([]Header{ForwardedFor, Forwarded}).Draw(t, "header")
		client := rapid.SampledFrom([]string{"198.51.100.7", "2001:db8::7", "203.0.113.200"}).Draw(t, "client")
		spoofed := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"6.6.6.6", "10.0.0.6", "151.101.0.6", ",", ", ", "\"", "\\", "for=", "For=\"", ";", " ", "[", "]", "::1", "unknown", "\x00", "\xff", "=", "by="}), 0, 20).Draw(t, "parts"), "")
		proxies := rapid.SliceOfN(rapid.SampledFrom([]string{"10.1.2.3", "151.101.7.7", "2a04:4e42::9"}), 1, 4).Draw(t, "proxies")
		value := spoofed
		for i := range proxies {
			hop := client
			if i > 0 {
				hop = proxies[i-1]
			}
			if header == Forwarded {
				hop = element(t, hop)
			}
			if value != "" {
				hop = ", " + hop
			}
			value += hop
		}
		got, _ := trust.client(netip.MustParseAddr(proxies[len(proxies)-1]), []byte(value), header)
		if got.String() != client {
			t.Fatalf("%q is %s, want %s", value, got, client)
		}
	})
}

// element is a hop as a proxy writes it (RFC 7239, section 4).
func element(t *rapid.T, hop string) string {
	if strings.Contains(hop, ":") {
		hop = `"[` + hop + `]"`
	} else if rapid.Bool().Draw(t, "quoted") {
		hop = `"` + hop + `:4711"`
	}
	before := rapid.SampledFrom([]string{"", "by=10.0.0.1;", `host="a,b;for=6.6.6.6";`, `host="\", for=6.6.6.6";`}).Draw(t, "before")
	behind := rapid.SampledFrom([]string{"", ";proto=https", `;host="x\\"`, `;host="a\"b, c"`}).Draw(t, "behind")
	return before + "for=" + hop + behind
}

// slowClient is the same walk written another way, for X-Forwarded-For.
func slowClient(trusted []netip.Prefix, peer netip.Addr, value string) netip.Addr {
	believed := func(a netip.Addr) bool {
		for _, p := range trusted {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	client := peer
	hops := strings.Split(value, ",")
	for i := len(hops) - 1; i >= 0 && believed(client); i-- {
		hop := strings.Trim(hops[i], " \t")
		if hop == "" {
			continue
		}
		addr, err := netip.ParseAddr(hop)
		if err != nil {
			port, portErr := netip.ParseAddrPort(hop)
			if addr = port.Addr(); portErr != nil {
				return client
			}
		}
		client = addr.WithZone("").Unmap()
	}
	return client
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("10.0.0.1", "6.6.6.6, 198.51.100.7:80,[::1]:9 , fe80::1%a,10.0.0.2")
	f.Add("10.0.0.1", "::ffff:10.1.1.1,,unknown")
	trust := mustTrust(f, "10.0.0.0/8", "fe80::/10", "::1")
	f.Fuzz(func(t *testing.T, peer, value string) {
		addr, err := netip.ParseAddr(peer)
		if err != nil || strings.ContainsAny(value, "[]_") || strings.Contains(value, "%") {
			return // brackets without a port, hidden ports and empty zones: a matter of taste
		}
		addr = addr.WithZone("").Unmap()
		got := addr
		if trust.look(addr).trusted {
			got, _ = trust.client(addr, []byte(value), ForwardedFor)
		}
		want := slowClient(trust.Trusted(), addr, value)
		if got != want && !oddPort(value) {
			t.Errorf("%s, %q: %s, want %s", peer, value, got, want)
		}
	})
}

// oddPort reports whether a port may be none that ParseAddrPort takes.
func oddPort(value string) bool {
	for hop := range strings.SplitSeq(value, ",") {
		if strings.Count(hop, ":") == 1 {
			if _, err := netip.ParseAddrPort(strings.Trim(hop, " \t")); err != nil {
				return true
			}
		}
	}
	return false
}

// FuzzForwarded reads anything, with the last hop being what a proxy wrote.
func FuzzForwarded(f *testing.F) {
	f.Add(`for="6.6.6.6`, `for=198.51.100.7`)
	f.Add(`\\", for="[::1]:9";by="a`, `;For="198.51.100.7:_x"`)
	trust := mustTrust(f, "10.0.0.0/8")
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, spoofed, last string) {
		trust.client(peer, []byte(last), Forwarded)
		for _, hop := range []string{"for=198.51.100.7", `proto=https;for="198.51.100.7:80";host="a,b"`} {
			got, _ := trust.client(peer, []byte(spoofed+","+hop), Forwarded)
			if got.String() != "198.51.100.7" {
				t.Errorf("%q: %s", spoofed+","+hop, got)
			}
		}
	})
}

func TestSitesBehindEdges(t *testing.T) {
	registry := prometheus.NewRegistry()
	var found []Finding
	r := New(Options{Trust: mustTrust(t, "10.0.0.0/8"), Metrics: NewMetrics(registry), Found: func(f Finding) { found = append(found, f) }})
	for i := range 2000 {
		for site, client := range map[string]string{"cdn.org": "104.16.0.%d", "own.org": "192.0.2.%d", "lb.org": "10.0.0.%d", "fine.org": "10.0.0.%d"} {
			q := schemas.Request{Site: []byte(site), Client: netip.MustParseAddr(fmt.Sprintf(client, i%250))}
			if site == "fine.org" || site == "cdn.org" {
				q.ForwardedFor = []byte("198.51.100.7")
			}
			r.Resolve(&q)
		}
	}
	want := map[string]Finding{
		"cdn.org": {Site: "cdn.org", Network: "cloudflare", Requests: enough, Edges: enough, Header: true},
		"lb.org":  {Site: "lb.org", Requests: enough, Edges: enough, Trusted: true},
	}
	for _, f := range found {
		if want[f.Site] != f {
			t.Errorf("found %+v, want %+v", f, want[f.Site])
		}
		delete(want, f.Site)
	}
	if len(want) > 0 || len(r.Findings()) != 2 {
		t.Errorf("not found: %v; %v", want, r.Findings())
	}
	if n := valueOf(t, r.o.Metrics.sites); n != 2 {
		t.Errorf("%g sites", n)
	}
	for i, want := range []float64{2000, 2000, 4000} {
		if n := valueOf(t, r.o.Metrics.sources[i]); n != want {
			t.Errorf("source %d: %g, want %g", i, n, want)
		}
	}
}

func valueOf(t *testing.T, metric prometheus.Metric) float64 {
	var m dto.Metric
	if err := metric.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestRandomHostsAreBounded(t *testing.T) {
	r := New(Options{Trust: mustTrust(t)})
	for i := range 5 * maxSites {
		r.Resolve(&schemas.Request{Site: fmt.Appendf(nil, "%d.example.org%s", i, strings.Repeat("x", 1000)), Client: netip.MustParseAddr("104.16.0.1")})
	}
	if len(r.sites) != maxSites {
		t.Errorf("%d sites", len(r.sites))
	}
	for name := range r.sites {
		if len(name) > schemas.MaxSite {
			t.Fatalf("a name of %d bytes", len(name))
		}
	}
}

func TestNoAllocation(t *testing.T) {
	r := New(Options{Trust: mustTrust(t, "cloudflare")})
	site, header := []byte("www.example.org"), []byte("6.6.6.6, 2001:db8::7, 104.16.0.2")
	if n := testing.AllocsPerRun(1000, func() {
		r.Resolve(&schemas.Request{Site: site, ForwardedFor: header, Client: netip.AddrFrom4([4]byte{104, 16, 0, 1})})
	}); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkResolve(b *testing.B) {
	r := New(Options{Trust: mustTrust(b, "cloudflare")})
	site, header := []byte("www.example.org"), []byte("198.51.100.7")
	for name, client := range map[string]string{"direct": "192.0.2.7", "behind": "104.16.0.1"} {
		q := schemas.Request{Site: site, ForwardedFor: header}
		addr := netip.MustParseAddr(client)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.Client = addr
				r.Resolve(&q)
			}
		})
	}
}
