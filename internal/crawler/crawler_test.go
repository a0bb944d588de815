package crawler

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a DNS server on the loopback answers: names of addresses, addresses of names.
type zone struct {
	ptr   map[string]string // by the name in in-addr.arpa or ip6.arpa
	host  map[string]netip.Addr
	asked atomic.Int64
}

// serve answers over UDP until the test ends, and returns a resolver that asks it.
func (z *zone) serve(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := z.answer(buffer[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z *zone) answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	z.asked.Add(1)
	q := m.Questions[0]
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	m.Header.Response, m.Header.Authoritative, m.Additionals = true, true, nil
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, Type: q.Type, TTL: 60}
	address, known := z.host[name]
	pointer, pointed := z.ptr[name]
	switch {
	case name == "9.0.0.203.in-addr.arpa":
		m.Header.RCode = dnsmessage.RCodeServerFailure
	case pointed && q.Type == dnsmessage.TypePTR:
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(pointer + ".")}}}
	case known && q.Type == dnsmessage.TypeA && address.Is4():
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: address.As4()}}}
	case known && q.Type == dnsmessage.TypeAAAA && address.Is6():
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}}}
	case !known && !pointed:
		m.Header.RCode = dnsmessage.RCodeNameError
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

// TestVerify asks a DNS server: who is what he says is told, who borrows the name is not,
// be it that the name is not the engine's, or that it is and does not lead back.
func TestVerify(t *testing.T) {
	z := &zone{
		ptr: map[string]string{
			"1.66.249.66.in-addr.arpa": "crawl-66-249-66-1.googlebot.com",
			"7.0.0.203.in-addr.arpa":   "bot.example.net",
			"8.0.0.203.in-addr.arpa":   "crawl-66-249-66-1.googlebot.com", // a false pointer
			"6.0.0.203.in-addr.arpa":   "googlebot.com.example.net",
			"5.0.0.203.in-addr.arpa":   "evilgooglebot.com",
			"2.2.0.192.in-addr.arpa":   "msnbot-192-0-2-2.search.msn.com",
			"5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": "spider-1.yandex.com",
		},
		host: map[string]netip.Addr{
			"crawl-66-249-66-1.googlebot.com": netip.MustParseAddr("66.249.66.1"),
			"msnbot-192-0-2-2.search.msn.com": netip.MustParseAddr("192.0.2.2"),
			"bot.example.net":                 netip.MustParseAddr("203.0.0.7"),
			"googlebot.com.example.net":       netip.MustParseAddr("203.0.0.6"),
			"evilgooglebot.com":               netip.MustParseAddr("203.0.0.5"),
			"spider-1.yandex.com":             netip.MustParseAddr("2001:db8:1::5"),
		},
	}
	told := make(chan string, 10)
	v := New(Options{Resolver: z.serve(t), Pace: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Verified: func(_ context.Context, client netip.Addr, name string) error {
			told <- fmt.Sprintf("%s is %s", client, name)
			return nil
		}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	now := time.Now()
	google := v.Engine([]byte("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"))
	for range 3 { // a claim that waits or is answered is looked up once
		for _, liar := range []string{"203.0.0.9", "203.0.0.8", "203.0.0.7", "203.0.0.6", "203.0.0.5", "192.0.2.2", "203.0.0.4", "127.0.0.1"} {
			v.Claim(netip.MustParseAddr(liar), google, now)
		}
	}
	v.Claim(netip.MustParseAddr("66.249.66.1"), google, now)
	v.Claim(netip.MustParseAddr("66.249.66.1"), google, now)
	v.Claim(netip.MustParseAddr("2001:db8:1::5"), v.Engine([]byte("Mozilla/5.0 (compatible; YandexBot/3.0)")), now)
	for _, want := range []string{"66.249.66.1 is crawl-66-249-66-1.googlebot.com", "2001:db8:1::5 is spider-1.yandex.com"} {
		select { // they were claimed last: the others have been looked up
		case got := <-told:
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: not told", want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(told) > 0 {
		t.Errorf("also told: %s", <-told)
	}
	asked := z.asked.Load()
	v.Claim(netip.MustParseAddr("66.249.66.1"), google, now)
	if len(v.claims) > 0 || asked > 40 {
		t.Errorf("%d questions, %d claims wait: what is known is asked again", asked, len(v.claims))
	}
	if a := v.known[netip.MustParseAddr("203.0.0.9")]; a.verified || a.until.After(time.Now().Add(time.Hour)) {
		t.Errorf("where nobody answered, the client is taken for false for long: %+v", a)
	}
}

// TestClaimsAreBounded: a flood of liars fills nothing and waits for nobody.
func TestClaimsAreBounded(t *testing.T) {
	v := New(Options{Logger: slog.New(slog.DiscardHandler)})
	now := time.Now()
	for i := range 3 * maxKnown {
		client := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		v.Claim(client, 0, now)
		if len(v.claims) == maxWaiting { // nobody asks, and they are answered all the same
			for range maxWaiting {
				c := <-v.claims
				v.known[c.client] = answer{until: now.Add(falseFor)}
			}
		}
	}
	if len(v.known) > maxKnown {
		t.Errorf("%d clients are known", len(v.known))
	}
	for agent, want := range map[string]bool{"Mozilla/5.0 Firefox/140.0": false, "": false, "bingbot/2.0": true, "DuckDuckBot": false, "APPLEBOT": true} {
		if got := v.Engine([]byte(agent)) >= 0; got != want {
			t.Errorf("%q is a crawler that can be verified: %t", agent, got)
		}
	}
}

// TestCrawlersOfYesterdayMakeRoom: as many as may be verified at once were, and are no more: the next one is.
func TestCrawlersOfYesterdayMakeRoom(t *testing.T) {
	z := &zone{ptr: map[string]string{"1.66.249.66.in-addr.arpa": "crawl-66-249-66-1.googlebot.com"},
		host: map[string]netip.Addr{"crawl-66-249-66-1.googlebot.com": netip.MustParseAddr("66.249.66.1")}}
	told := 0
	v := New(Options{Resolver: z.serve(t), Verified: func(context.Context, netip.Addr, string) error { told++; return nil }})
	c := claim{netip.MustParseAddr("66.249.66.1"), v.Engine([]byte("Googlebot/2.1"))}
	for i := range maxVerified {
		v.known[netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})] = answer{verified: true, until: time.Now().Add(time.Hour)}
	}
	v.verified = maxVerified
	if v.settle(t.Context(), c); told != 0 || v.known[c.client].verified {
		t.Errorf("one more than may be is verified: %+v", v.known[c.client])
	}
	for client := range v.known {
		v.known[client] = answer{verified: v.known[client].verified, until: time.Now().Add(-time.Hour)}
	}
	if v.settle(t.Context(), c); told != 1 || !v.known[c.client].verified || v.verified != 1 {
		t.Errorf("%d told, %d verified, %+v", told, v.verified, v.known[c.client])
	}
}
