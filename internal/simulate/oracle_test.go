package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

func TestAbove(t *testing.T) {
	t.Parallel()
	people := []float32{9, 7, 5, 3, 1, 0, 0, 0, 0, 0}
	attack := []float32{10, 9, 8, 6, 4, 2}
	for _, c := range []struct {
		share, want float64
	}{
		{0, 1. / 6}, {.1, 3. / 6}, {.2, 4. / 6}, {.15, 3.5 / 6}, {1, 1},
	} {
		if got := above(attack, people, c.share); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("at a budget of %v: %v of the attack, want %v", c.share, got, c.want)
		}
	}
	if got := above(nil, people, .1); got != 0 {
		t.Errorf("of no attack %v is above", got)
	}
	if got := above(attack, nil, .1); got != 1 {
		t.Errorf("where there is nobody, %v is above", got)
	}
}

// play lets an oracle see ordinary traffic, and then an attack among visitors.
type play struct {
	o     *oracle
	r     *rand.Rand
	start time.Time
	actor uint32
}

// client makes one with its requests: each has a trait of its own; of the traits, the language is of a list.
func (p *play) client(kind Kind, at time.Duration, language uint64, uris ...string) {
	p.actor++
	address := addrOf(publicV4(p.r))
	for _, uri := range uris {
		at += 10 * time.Second
		sent := p.start.Add(at)
		r := &Record{
			Request: Request{Site: "www.example.org", Client: address, Method: "GET", URI: uri, resource: &Resource{Status: 200}},
			Actor:   Actor{Kind: kind, ID: fmt.Sprint(p.actor)}, Sent: sent, Time: sent.Add(time.Second), Status: 200,
		}
		traits := &[schemas.NumTraits]uint64{schemas.TraitUserAgent: 1 + uint64(p.r.IntN(20)), schemas.TraitAcceptLanguage: language}
		p.o.add(r, traits, p.actor, false)
	}
}

// TestOracle: it stops what differs, no more of what does not than of visitors, and a client for what it
// did before, but not for what it will do.
func TestOracle(t *testing.T) {
	t.Parallel()
	language := func(r *rand.Rand) uint64 { return 1 + uint64(r.IntN(8)) }
	for _, c := range []struct {
		name      string
		bot       func(r *rand.Rand) uint64 // its language
		uris      []string
		low, high float64 // of what is stopped
	}{
		{"alike", language, []string{"/a", "/b.css"}, 0, .07},
		{"a language that nobody has", func(*rand.Rand) uint64 { return 99 }, []string{"/a", "/b.css"}, .99, 1},
		{"loads nothing, which the second request shows", language, []string{"/a", "/a"}, .47, .55},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := attackBegins
			p := &play{o: newOracle(start), r: rand.New(rand.NewPCG(1, 2)), start: start}
			for i := range 1500 {
				p.client(Person, -time.Duration(1500-i)*time.Second-time.Minute, language(p.r), "/a", "/b.css")
			}
			for i := range 1500 {
				at := time.Duration(i) * 400 * time.Millisecond
				p.client(Person, at, language(p.r), "/a", "/b.css")
				p.client(Bot, at, c.bot(p.r), c.uris...)
			}
			blocked, stopped := p.o.reach(start.UnixMilli(), func(*oracleRow) bool { return true })
			if blocked > stopped || stopped < c.low || stopped > c.high {
				t.Errorf("blocks %.3f and stops %.3f, want %.2f to %.2f", blocked, stopped, c.low, c.high)
			}
		})
	}
}

// TestOracleSampled: however long the log, what the oracle keeps is bounded, and whole clients.
func TestOracleSampled(t *testing.T) {
	t.Parallel()
	var s oracleSample
	for i := range uint64(3 * oracleRows) {
		s.add(oracleRow{client: mix(i / 3)})
	}
	rows := map[uint64]int{}
	for i := range s.rows {
		rows[s.rows[i].client]++
	}
	if len(s.rows) > oracleRows || len(s.rows) < oracleRows/4 {
		t.Errorf("%d rows are kept, want about %d at most", len(s.rows), oracleRows)
	}
	for client, n := range rows {
		if n != 3 {
			t.Fatalf("client %x has %d of its 3 rows", client, n)
		}
	}
}

func TestNetworksOf(t *testing.T) {
	t.Parallel()
	wide := func(a string) uint64 { w, _ := networksOf(netip.MustParseAddr(a)); return w }
	narrow := func(a string) uint64 { _, n := networksOf(netip.MustParseAddr(a)); return n }
	if wide("192.0.2.1") != wide("192.0.9.9") || narrow("192.0.2.1") == narrow("192.0.9.9") || narrow("192.0.2.1") != narrow("192.0.2.9") {
		t.Error("IPv4: want /16 and /24")
	}
	if wide("2a00:1::") != wide("2a00:1:9::") || narrow("2a00:1:2:3::") != narrow("2a00:1:2:4::") || narrow("2a00:1:2::") == narrow("2a00:1:3::") {
		t.Error("IPv6: want /32 and /48")
	}
}

// TestRentedFills: the bots of hosted come from few networks, and fill them.
func TestRentedFills(t *testing.T) {
	t.Parallel()
	s, err := FindScenario("hosted")
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Config(Params{Seed: 3, Base: time.Minute, Strength: .2})
	if err != nil {
		t.Fatal(err)
	}
	blocks, bots := map[netip.Prefix]bool{}, map[netip.Addr]bool{}
	if err := Run(c, func(r *Record) error {
		if r.Attack() {
			length := 20
			if r.Client.Is6() {
				length = 48
			}
			p, _ := r.Client.Prefix(length)
			blocks[p], bots[schemas.ClientOf(r.Client)] = true, true
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(blocks) > 8 || len(bots) < 500 {
		t.Errorf("%d bots in %d networks", len(bots), len(blocks))
	}
}

// TestBySums: who judges each request by itself stops all that the trait tells, where next to nobody has it, none of what is told by what
// a client did before, and no more of what is alike than the share of those who came before that may be touched.
func TestBySums(t *testing.T) {
	t.Parallel()
	language := func(r *rand.Rand) uint64 { return 1 + uint64(r.IntN(8)) }
	for _, c := range []struct {
		name      string
		bot       func(r *rand.Rand) uint64 // its language
		uris      []string
		low, high float64 // of what is stopped
	}{
		{"alike", language, []string{"/a", "/b.css"}, 0, .07},
		{"a language that nobody has", func(*rand.Rand) uint64 { return 99 }, []string{"/a", "/b.css"}, .99, 1},
		{"one of eight languages", func(*rand.Rand) uint64 { return 3 }, []string{"/a", "/b.css"}, .02, .4},
		{"loads nothing, which only the second request shows", language, []string{"/a", "/a"}, 0, .1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &play{o: newOracle(attackBegins), r: rand.New(rand.NewPCG(3, 4)), start: attackBegins}
			for i := range 1500 {
				p.client(Person, -time.Duration(1500-i)*time.Second-time.Minute, language(p.r), "/a", "/b.css")
			}
			for i := range 1500 {
				at := time.Duration(i) * 400 * time.Millisecond
				p.client(Person, at, language(p.r), "/a", "/b.css")
				p.client(Bot, at, c.bot(p.r), c.uris...)
			}
			got := p.o.reachBySums(attackBegins.UnixMilli(), func(*oracleRow) bool { return true })
			if got < c.low || got > c.high {
				t.Errorf("stops %.3f, want %.2f to %.2f", got, c.low, c.high)
			}
			if got := p.o.reachBySums(attackBegins.UnixMilli(), func(r *oracleRow) bool { return r.attack }); got != 1 {
				t.Errorf("where nobody else comes, %.3f is stopped", got)
			}
		})
	}
}
