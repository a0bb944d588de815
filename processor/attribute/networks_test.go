package attribute

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// TestNetworkNumbers: a network's number says what schemas says of the client, and is read back from it.
func TestNetworkNumbers(t *testing.T) {
	x := NewExtractor(1)
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		addr := netip.AddrFrom16([16]byte(bytes)).Unmap()
		if rapid.Bool().Draw(t, "IPv4") {
			addr = netip.AddrFrom4([4]byte(bytes[:4]))
		}
		numbers := networksOf(addr.As16())
		for i, trait := range schemas.Networks {
			want, ok := trait.Value(nil, &schemas.Request{Client: addr})
			if text := networkText(trait, numbers[i]); !ok || text != string(want) || numbers[i] == 0 {
				t.Fatalf("%s: %s is %s, want %s", trait, addr, text, want)
			}
			if it := x.itemOf(trait, string(want)); it != (item{trait, numbers[i]}) {
				t.Fatalf("%s: %v, want %d", want, it, numbers[i])
			}
		}
	})
}

// fromHome is an address of one of so many networks of a country's providers.
func fromHome(r *rand.Rand, networks int) uint32 {
	return 0x50<<24 + uint32(r.IntN(networks))<<20 + uint32(r.IntN(1<<20))
}

// TestNetworksAddUp: where bots come from adds to what they say; fresh people, of whom one in eight comes from anywhere as well,
// are touched no more than the budget says, and the edge computes what was certified.
func TestNetworksAddUp(t *testing.T) {
	for _, people := range []int{400, 4000} {
		touched, stopped, anywhere := 0, 0, 0
		for seed := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, 11))
			person := func() *schemas.Request {
				from := fromHome(r, 12)
				if r.IntN(8) == 0 {
					from = r.Uint32()
				}
				return weakly(r, from, usually)
			}
			bot := func() *schemas.Request { return weakly(r, r.Uint32(), .25) }
			normal, suspect := NewSample(NewExtractor(seed), 1<<16), NewSample(NewExtractor(seed), 4096)
			for range people {
				normal.take(person())
			}
			for range 60 {
				suspect.take(person())
			}
			for range 900 {
				suspect.take(bot())
			}
			normal.Span, suspect.Span = time.Duration(people)*time.Second, time.Minute
			measures := Analyse(normal, suspect, Budget{MaxScores: 4})
			for _, m := range measures {
				if m.Scope != schemas.ScopeScore {
					continue
				}
				if m.Action != schemas.Challenge || !m.Score.FromNetworks() {
					t.Errorf("seed %d: it is to %s by %s", seed, m.Action, m.Value)
				}
				checkScore(t, normal, &m)
			}
			for range 1000 {
				if stops(measures, bot()) {
					stopped++
				}
				q := bot()
				q.Client = person().Client
				if stops(measures, q) {
					anywhere++
				}
			}
			for range 2000 {
				if stops(measures, person()) {
					touched++
				}
			}
		}
		t.Logf("%d people: of 6000 bots %d are stopped, %d did they come from where people do, of 12000 people %d", people, stopped, anywhere, touched)
		if stopped < anywhere+600 {
			t.Errorf("%d people: where bots come from adds too little: of 6000 %d are stopped, %d from where people are", people, stopped, anywhere)
		}
		if touched > 180 {
			t.Errorf("%d people: of 12000 fresh people %d are touched, at most 1.5 %% may be", people, touched)
		}
	}
}

// TestAChosenNetworkPaysNoMoreThanTheBudget: an attacker sends all, or half, from a network that he has chosen, from which one or two
// visitors in a hundred come, too. A score only asks them, and no more of all people than the budget says; what blocks is not
// of networks.
func TestAChosenNetworkPaysNoMoreThanTheBudget(t *testing.T) {
	for _, c := range []struct{ chosen, rare float64 }{{.5, .01}, {.5, .02}, {1, .01}, {1, .02}} {
		people, of, touched, asked, blocked := 0, 0, 0, 0, 0
		for seed := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, 12))
			draw := func(odd, chosen float64) (*schemas.Request, bool) {
				is := r.Float64() < chosen
				from := fromHome(r, 12)
				if is {
					from = 0x70<<24 + uint32(r.IntN(1<<20))
				} else if odd > usually {
					from = r.Uint32()
				}
				return weakly(r, from, odd), is
			}
			normal, suspect := NewSample(NewExtractor(seed), 1<<16), NewSample(NewExtractor(seed), 4096)
			for range 800 {
				q, _ := draw(usually, c.rare)
				normal.take(q)
			}
			for range 900 {
				q, _ := draw(.25, c.chosen)
				suspect.take(q)
			}
			normal.Span, suspect.Span = 800*time.Second, time.Minute
			measures := Analyse(normal, suspect, Budget{MaxScores: 4})
			blocks := slices.DeleteFunc(slices.Clone(measures), func(m Measure) bool { return m.Action != schemas.Block })
			for range 4000 {
				people++
				q, is := draw(usually, c.rare)
				if is {
					of++
				}
				if stops(measures, q) {
					if touched++; is {
						asked++
					}
				}
				if stops(blocks, q) {
					blocked++
				}
			}
		}
		t.Logf("%.0f %% of the bots come from where %.0f %% of the people do: of %d people %d are asked, %d blocked; of the %d who come from there %d (%.0f %%)",
			100*c.chosen, 100*c.rare, people, touched, blocked, of, asked, 100*float64(asked)/float64(of))
		if 200*blocked > people || 1000*touched > 15*people {
			t.Errorf("of %d people %d are touched, at most 1.5 %% may be, and %d blocked, at most 0.5 %%", people, touched, blocked)
		}
	}
}

// TestScoreSQLOfNetworks: the columns tell where a client comes from.
func TestScoreSQLOfNetworks(t *testing.T) {
	s, err := schemas.ParseScore(`12 of method:1 "POST"=8 wide_network:4 "198.0.0.0/8"=6 narrow_network:2 "2a02:1200::/24"=9`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"'::ffff:255.255.255.255'), 104, 16)), 1)), ['::ffff:198.0.0.0'], [6], 4))", "108, 24)), 1)), ['2a02:1200::'], [9], 2))",
		"if(client BETWEEN toIPv6('fd00::') AND toIPv6('fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), 9, ", "points >= 12 ",
	} {
		if text := ScoreSQL("a.example", 0, s); !strings.Contains(text, want) || strings.Contains(text, "more than it matches") {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

// TestHeldOutClientsAreScoredAsFreshOnes: what was learned without a normal client says of it what the edge will say of the next one like
// it. Bots all say one browser's name, which one in seven people says, too, so that a point more or less is a fourth of these.
func TestHeldOutClientsAreScoredAsFreshOnes(t *testing.T) {
	for seed := range uint64(4) {
		normal, suspect, r := weakAttack(seed, 2000)
		suspect.Reset()
		for range 900 {
			q := weakly(r, r.Uint32(), usually)
			q.UserAgent = []byte(agents[0])
			suspect.take(q)
		}
		suspect.Span = time.Minute
		a := newAnalysis(normal, suspect, Budget{}.withDefaults())
		l := a.learn()
		fresh := NewSample(normal.x, 1<<16)
		for range 8000 {
			fresh.take(weakly(r, r.Uint32(), usually))
		}
		m := newMatrix(fresh, a.suspect.known, nil, true)
		next := make([]int, len(m.rows))
		for i := range m.rows {
			next[i] = l.all.points(l.factsOf(nil, &m.rows[i], &m.nets[m.owner[i]]))
		}
		over := func(points []int, least int) (share float64) {
			for _, p := range points {
				if p >= least {
					share += 1 / float64(len(points))
				}
			}
			return share
		}
		least := slices.Max(next)
		for over(next, least) < .04 { // some three hundred of them
			least--
		}
		if held, now := over(l.normal, least), over(next, least); now > 1.5*held {
			t.Errorf("seed %d: of %d points are %.1f %% of the held-out clients and %.1f %% of fresh ones", seed, least, 100*held, 100*now)
		}
	}
}
