package nftables

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	nft "github.com/google/nftables"
	"pgregory.net/rapid"

	"github.com/weir-project/weir/internal/netns"
	"github.com/weir-project/weir/schemas"
)

func blocked(id, value string, ttl time.Duration) schemas.Event {
	scope := schemas.ScopeClient
	if strings.Contains(value, "/") {
		scope = schemas.ScopePrefix
	}
	now := time.Now()
	return schemas.Event{Type: schemas.DecisionAdded, Time: now, Sites: []string{"shop.example"}, Decision: &schemas.Decision{
		ID: id, Action: schemas.Block, Scope: scope, Value: value, Expires: now.Add(ttl), Origin: "weir",
	}}
}

func removed(e schemas.Event) schemas.Event {
	e.Type = schemas.DecisionRemoved
	return e
}

// needNft skips without the tool that shows what the kernel has.
func needNft(t testing.TB) {
	t.Helper()
	for _, path := range []string{"nft", "/usr/sbin/nft"} {
		if _, err := exec.LookPath(path); err == nil {
			return
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("nft is not installed: make setup")
	}
	t.Skip("nft is not installed: make setup")
}

func newFirewall(t testing.TB, n *netns.Namespace, o Options) *Firewall {
	t.Helper()
	o.Namespace = n.FD()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.hangUp)
	return f
}

// street is a site on a port, and visitors with addresses of their own.
type street struct {
	*netns.Namespace
	t    testing.TB
	port string
}

func newStreet(t testing.TB) (*street, uint16) {
	needNft(t)
	n := netns.New(t)
	for _, addr := range []string{"192.0.2.1/24", "192.0.2.7/24", "192.0.2.8/24", "198.51.100.9/24", "2001:db8::1/48", "2001:db8:0:7::8/48"} {
		args := []string{"addr", "add", addr, "dev", "lo"}
		if strings.Contains(addr, "db8") {
			args = append(args, "nodad")
		}
		n.Run(t, "ip", args...)
	}
	l := n.Listen(t, "[::]:0")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	return &street{n, t, fmt.Sprint(port)}, uint16(port)
}

func (s *street) reaches(from string) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), 200*time.Millisecond)
	defer cancel()
	to := "192.0.2.1:"
	if strings.Contains(from, ":") {
		to = "[2001:db8::1]:"
	}
	c, err := s.Dial(ctx, from, to+s.port)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func (s *street) want(from string, reaches bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); { // Run works in its own time
		if s.reaches(from) == reaches {
			return
		}
	}
	s.t.Fatalf("%s reaches the site: %t, want %t\n%s", from, !reaches, reaches, s.Run(s.t, "nft", "list", "ruleset"))
}

func TestPacketsOfBlockedClientsAreDropped(t *testing.T) {
	s, port := newStreet(t)
	other := s.Listen(t, "[::]:0")
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var mu sync.Mutex
	packets := map[string]uint64{}
	var last Dropped
	f := newFirewall(t, s.Namespace, Options{Ports: []uint16{port}, Sample: 1, Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32")},
		Seen: func(_ context.Context, all []Dropped) {
			mu.Lock()
			defer mu.Unlock()
			for _, d := range all {
				packets[d.Client.String()] += d.Packets
				last = d
			}
		}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	s.want("192.0.2.7", true)
	one, six, net := blocked("a", "192.0.2.7", time.Hour), blocked("b", "2001:db8:0:7::", time.Hour), blocked("c", "198.51.100.0/24", time.Hour)
	challenge := blocked("d", "192.0.2.8", time.Hour)
	challenge.Action = schemas.Challenge
	f.Replace(one, six, net, challenge)
	s.want("192.0.2.7", false)
	s.want("2001:db8:0:7::8", false)
	s.want("192.0.2.8", true)    // a firewall cannot ask questions
	s.want("198.51.100.9", true) // allowed, though its network is not
	s.want("192.0.2.1", true)
	_, elsewhere, _ := strings.Cut(other.Addr().String(), "]:")
	if c, err := s.Dial(t.Context(), "192.0.2.7", "192.0.2.1:"+elsewhere); err != nil {
		t.Errorf("a port that is no site's: %v", err)
	} else {
		c.Close()
	}

	// What is dropped is seen, by client and decision.
	for end := time.Now().Add(time.Minute); ; s.reaches("192.0.2.7") {
		mu.Lock()
		seen := packets["192.0.2.7"] > 0 && packets["2001:db8:0:7::"] > 0 && f.Status().Dropped >= packets["192.0.2.7"]
		mu.Unlock()
		if seen {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("seen %v, status %+v\n%s", packets, f.Status(), s.Run(t, "nft", "list", "ruleset"))
		}
	}
	if last.Decision == "" || !slices.Equal(last.Sites, []string{"shop.example"}) {
		t.Errorf("%+v", last)
	}

	f.Apply(removed(one), removed(six))
	s.want("192.0.2.7", true)
	s.want("2001:db8:0:7::8", true)

	// Others flush rule sets; weir's stands again.
	f.Apply(one)
	s.want("192.0.2.7", false)
	s.Run(t, "nft", "flush", "ruleset")
	for end := time.Now().Add(time.Minute); s.reaches("192.0.2.7"); {
		if time.Now().After(end) {
			t.Fatal("what somebody flushed is not there again")
		}
	}

	// Another weir takes over what this one leaves, and lets go of what it does not know.
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	ended <- nil
	next := newFirewall(t, s.Namespace, Options{Ports: []uint16{port}})
	if err := next.step(time.Now()); err != nil {
		t.Fatal(err)
	}
	s.want("192.0.2.7", false) // it has not been told yet
	next.Replace(six)
	if err := next.step(time.Now()); err != nil {
		t.Fatal(err)
	}
	s.want("192.0.2.7", true)
	s.want("2001:db8:0:7::8", false)
	if err := Lift(s.FD()); err != nil {
		t.Fatal(err)
	}
	s.want("2001:db8:0:7::8", true)
}

// listing is what the kernel has. It leaves elements out of a list while it makes the set's
// table larger or smaller, so it is asked again where the list is not whole.
func (f *Firewall) listing(t *testing.T, whole func(map[netip.Prefix]time.Duration) bool) map[netip.Prefix]time.Duration {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		there, err := f.kernel.clients()
		if err != nil {
			t.Fatal(err)
		}
		if whole(there) || time.Now().After(end) {
			return there
		}
	}
}

// Over an hour, at each half minute, every element in the kernel lasts until its decision
// ends or the lease does, and none ends before it has been moved.
func TestTimeoutsAreMovedBeforeTheyEnd(t *testing.T) {
	needNft(t)
	n := netns.New(t)
	f := newFirewall(t, n, Options{Lease: 10 * time.Minute})
	start := time.Now()
	const clients = 300
	ends := map[netip.Prefix]time.Time{}
	var all []schemas.Event
	for i := range clients {
		e := blocked(fmt.Sprint("d", i), netip.AddrFrom4([4]byte{192, 0, 2, 0}).String(), time.Duration(i+1)*13*time.Second)
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		e.Value = addr.String()
		all = append(all, e)
		ends[netip.PrefixFrom(addr, 32)] = e.Expires
	}
	f.Replace(append(all, blocked("p", "203.0.113.0/24", 2*time.Hour))...)
	before := map[netip.Prefix]time.Time{} // as the kernel has been told, in simulated time
	moved := 0
	for now := start; now.Before(start.Add(time.Hour)); now = now.Add(30 * time.Second) {
		for value, end := range before {
			if end.Before(now) && ends[value].After(now) {
				t.Fatalf("after %s: the kernel let go of %s %s too early", now.Sub(start), value, now.Sub(end))
			}
		}
		if err := f.step(now); err != nil {
			t.Fatal(err)
		}
		there := f.listing(t, func(there map[netip.Prefix]time.Duration) bool {
			for value, end := range ends {
				if _, ok := there[value]; !ok && end.After(now) {
					return false
				}
			}
			return true
		})
		for value, end := range ends {
			if !end.After(now) {
				continue
			}
			last, ok := there[value]
			if !ok {
				t.Fatalf("after %s: the kernel does not have %s, which holds until %s", now.Sub(start), value, end)
			}
			if old, ok := f.loaded[value]; !ok || old.After(end.Add(time.Second)) || old.Before(now.Add(time.Minute)) && old.Before(end.Add(-time.Second)) {
				t.Fatalf("after %s: %s ends at %s, its decision at %s", now.Sub(start), value, old, end)
			}
			if last > f.options.Lease {
				t.Fatalf("%s lasts %s, longer than the lease", value, last)
			}
			if !before[value].Equal(f.loaded[value]) {
				moved++
			}
			before[value] = f.loaded[value]
		}
		if len(f.prefixes) != 1 {
			t.Fatalf("after %s: %d prefixes", now.Sub(start), len(f.prefixes))
		}
	}
	if moved < 2*clients {
		t.Errorf("%d elements were moved in an hour: hardly any", moved)
	}
}

func TestPeersThatHideClientsAreRefused(t *testing.T) {
	_, err := New(Options{Behind: func() string { return "edges of cloudflare" }})
	if err == nil || !strings.Contains(err.Error(), "edges of cloudflare") {
		t.Fatalf("error %v", err)
	}
}

func TestWhatAFirewallCannotHold(t *testing.T) {
	b := newBook(2)
	now := time.Now()
	for _, value := range []string{"0.0.0.0/0", "::/0", "127.0.0.1", "nonsense", "::ffff:192.0.2.0/120", "10.0.0.0/7", ""} {
		e := blocked("x", value, time.Hour)
		if b.take(false, []schemas.Event{e}); len(b.values) != 0 {
			t.Errorf("%q is held", value)
		}
	}
	if over := b.take(false, []schemas.Event{blocked("a", "192.0.2.1", time.Hour), blocked("b", "192.0.2.2", time.Hour), blocked("c", "192.0.2.3", time.Hour)}); over != 1 {
		t.Errorf("%d decisions over", over)
	}
	if b.sweep(now.Add(2 * time.Hour)); len(b.values) != 0 || len(b.byID) != 0 {
		t.Error("what has expired is held")
	}
}

// The spans of an interval set cover just the prefixes, in order, and never touch.
func TestIntervalsCoverThePrefixes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var values []netip.Prefix
		for range rapid.IntRange(0, 12).Draw(r, "prefixes") {
			addr := netip.AddrFrom4([4]byte{rapid.SampledFrom([]byte{0, 10, 255}).Draw(r, "a"), 255, 255, rapid.Byte().Draw(r, "d")})
			values = append(values, netip.PrefixFrom(addr, rapid.SampledFrom([]int{8, 24, 25, 26, 30, 31, 32}).Draw(r, "bits")).Masked())
		}
		elements := intervals(values, true, nil)
		in := func(addr netip.Addr) bool {
			i, found := slices.BinarySearchFunc(elements, addr, func(e nft.SetElement, a netip.Addr) int {
				key, _ := netip.AddrFromSlice(e.Key)
				return key.Compare(a)
			})
			if !found {
				i--
			}
			return i >= 0 && !elements[i].IntervalEnd
		}
		for i := 1; i < len(elements); i++ {
			a, _ := netip.AddrFromSlice(elements[i-1].Key)
			b, _ := netip.AddrFromSlice(elements[i].Key)
			if a.Compare(b) >= 0 || elements[i].IntervalEnd == elements[i-1].IntervalEnd {
				r.Fatalf("%v: %v, then %v", values, a, b)
			}
		}
		for _, a := range []byte{0, 9, 10, 11, 254, 255} {
			for d := range 256 {
				addr := netip.AddrFrom4([4]byte{a, 255, 255, byte(d)})
				want := slices.ContainsFunc(values, func(p netip.Prefix) bool { return p.Contains(addr) })
				if in(addr) != want {
					r.Fatalf("%v: %s is in: %t", values, addr, !want)
				}
			}
		}
	})
}

// BenchmarkLoad loads 200,000 clients; BenchmarkOneMore adds one to them.
func BenchmarkLoad(b *testing.B) {
	needNft(b)
	n := netns.New(b)
	f := newFirewall(b, n, Options{})
	events := many(200_000)
	for b.Loop() {
		b.StopTimer()
		if err := Lift(n.FD()); err != nil {
			b.Fatal(err)
		}
		f.hangUp()
		b.StartTimer()
		f.Replace(events...)
		if err := f.step(time.Now()); err != nil {
			b.Fatal(err)
		}
		if len(f.loaded) != 200_000 {
			b.Fatalf("%d loaded", len(f.loaded))
		}
	}
}

func BenchmarkOneMore(b *testing.B) {
	needNft(b)
	n := netns.New(b)
	f := newFirewall(b, n, Options{})
	f.Replace(many(200_000)...)
	if err := f.step(time.Now()); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		f.Apply(blocked(fmt.Sprint("more", i), netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}).String(), time.Hour))
		if err := f.step(time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

// many are clients, a fifth of them of IPv6.
func many(n int) []schemas.Event {
	events := make([]schemas.Event, n)
	for i := range events {
		value := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%5 == 0 {
			value = netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)})
		}
		events[i] = blocked(fmt.Sprint("d", i), value.String(), time.Hour)
	}
	return events
}

// Whom a person allows is let through although a decision names the address or its network,
// and no longer once that ends.
func TestSparedAddressesPass(t *testing.T) {
	s, port := newStreet(t)
	f := newFirewall(t, s.Namespace, Options{Ports: []uint16{port}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	f.Replace(blocked("a", "192.0.2.7", time.Hour), blocked("b", "2001:db8:0:7::", time.Hour), blocked("c", "198.51.100.0/24", time.Hour))
	for _, from := range []string{"192.0.2.7", "2001:db8:0:7::8", "198.51.100.9"} {
		s.want(from, false)
	}
	f.Spare([]netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.9/32"), netip.MustParsePrefix("2001:db8:0:7::/64")})
	for _, from := range []string{"192.0.2.7", "2001:db8:0:7::8", "198.51.100.9"} {
		s.want(from, true)
	}
	f.Spare([]netip.Prefix{netip.MustParsePrefix("198.51.100.9/32")})
	s.want("192.0.2.7", false)
	s.want("198.51.100.9", true)
	f.Spare(nil)
	s.want("198.51.100.9", false)
}

func byHand(e schemas.Event) schemas.Event {
	d := *e.Decision
	d.Origin, e.Decision = "alice", &d
	return e
}

// A regular passes although weir decided on the address or its network, and the rest of the
// network does not; not where a person decided. What passes for that is not missing.
func TestRegularsPass(t *testing.T) {
	s, port := newStreet(t)
	f := newFirewall(t, s.Namespace, Options{Ports: []uint16{port}})
	step := func() {
		t.Helper()
		err := f.step(time.Now())
		if f.note(err); err != nil {
			t.Fatal(err)
		}
		if got := f.Status(); got.Intended != got.Loaded {
			t.Errorf("%d intended, %d loaded", got.Intended, got.Loaded)
		}
	}
	regulars := func(clients ...string) {
		var list []netip.Addr
		for _, c := range clients {
			list = append(list, netip.MustParseAddr(c))
		}
		slices.SortFunc(list, netip.Addr.Compare)
		f.Regulars((*schemas.RegularSet)(nil).With(3, []schemas.SiteRegulars{{Site: "shop.example", Clients: list}}))
		step()
	}
	const six = "2001:db8:0:7::8"
	f.Replace(blocked("a", "192.0.2.7", time.Hour), blocked("b", "2001:db8::/48", time.Hour), blocked("c", "198.51.100.0/24", time.Hour))
	step()
	for _, from := range []string{"192.0.2.7", six, "198.51.100.9"} {
		s.want(from, false)
	}
	regulars("192.0.2.7", "198.51.100.9", "2001:db8:0:7::")
	for _, from := range []string{"192.0.2.7", six, "198.51.100.9"} {
		s.want(from, true)
	}
	s.want("2001:db8::1", false) // of the same network
	f.Apply(byHand(blocked("d", "198.51.100.0/28", time.Hour)), byHand(blocked("e", "192.0.2.7", time.Hour)))
	step()
	s.want("192.0.2.7", false)
	s.want("198.51.100.9", false)
	f.Apply(removed(byHand(blocked("e", "192.0.2.7", time.Hour))))
	step()
	s.want("192.0.2.7", true)
	regulars()
	s.want("192.0.2.7", false)
	s.want(six, false)
}

// What is left of a prefix without some clients is all the rest of it, and nothing twice.
func TestPiecesAreTheRest(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		whole := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, 0}), rapid.IntRange(24, 32).Draw(r, "bits"))
		rest := []netip.Prefix{whole}
		gone := map[netip.Addr]bool{}
		for range rapid.IntRange(0, 8).Draw(r, "clients") {
			client := netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(r, "d")})
			gone[client] = true
			rest = without(rest, netip.PrefixFrom(client, 32))
		}
		for d := range 256 {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(d)})
			in := 0
			for _, p := range rest {
				if p != p.Masked() {
					r.Fatalf("%v is no prefix", p)
				}
				if p.Contains(addr) {
					in++
				}
			}
			if want := whole.Contains(addr) && !gone[addr]; in > 1 || in == 1 != want {
				r.Fatalf("%v is in %d of %v", addr, in, rest)
			}
		}
	})
}
