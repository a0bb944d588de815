package clients

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"github.com/weir-project/weir/processor/state"
)

const hour, day = int64(3600), int64(24 * 3600)

func visitOf(t *Table, client netip.Addr, second int64, calm bool) Known {
	return t.Observe(&Hit{
		Client: client, Hash: t.Hash(client), Second: second, Site: 7, Agent: 1, Status: 200, Calm: calm,
	})
}

func TestRegulars(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	cases := map[string]struct {
		times []int64 // of requests; negative is in an incident
		taint int64   // hour whose minutes before it were not calm
		want  bool
	}{
		"once":                          {times: []int64{0}},
		"twice on one day":              {times: []int64{0, 10 * hour}},
		"over midnight":                 {times: []int64{0, 2 * hour}},
		"on two days":                   {times: []int64{0, day}, want: true},
		"two months ago":                {times: []int64{0, day, 75 * day}},
		"a month ago":                   {times: []int64{0, day, 31 * day}, want: true},
		"first in an incident":          {times: []int64{-1, day}},
		"after an incident, on days":    {times: []int64{-1, day, 2 * day}, want: true},
		"just before it":                {times: []int64{0, day}, taint: 1},
		"just before it, and then days": {times: []int64{0, day, 2 * day}, taint: 1, want: true},
		"a regular in an incident":      {times: []int64{0, day, -2 * day}, want: true},
	}
	for name, c := range cases {
		table := New(64, 1)
		for _, at := range c.times {
			if calm := at >= 0; calm {
				visitOf(table, a, someday+at, true)
			} else {
				visitOf(table, a, someday-at, false)
			}
			if c.taint > 0 {
				table.Taint(7, someday, someday+60)
			}
		}
		if got := table.Regular(a, 1); got != c.want {
			t.Errorf("%s: regular is %v, want %v", name, got, c.want)
		}
		if table.Regular(a, 2) {
			t.Errorf("%s: a regular with an agent that it never had", name)
		}
	}
}

// TestWhoPretendsIsNoRegular: a bot that came before is not spared for having come; whoever says that it is a
// browser has to have done what browsers do, and then is one for the days before, too.
func TestWhoPretendsIsNoRegular(t *testing.T) {
	for name, c := range map[string]struct {
		browser bool
		does    Hit // with its second request
		want    bool
	}{
		"a browser that loads nothing":      {browser: true},
		"a browser that loads assets":       {browser: true, does: Hit{Asset: true}, want: true},
		"a browser that brings a cookie":    {browser: true, does: Hit{Cookie: true}, want: true},
		"a program that says what it is":    {want: true},
		"a program that brings its session": {does: Hit{Cookie: true}, want: true},
	} {
		table, a := New(64, 1), netip.MustParseAddr("192.0.2.1")
		come := func(second int64, does Hit) Known {
			does.Client, does.Hash, does.Second, does.Site, does.Agent, does.Status = a, table.Hash(a), second, 7, 1, 200
			does.Browser, does.Calm = c.browser, true
			return table.Observe(&does)
		}
		come(someday, Hit{})
		come(someday+60, c.does)
		told := 0
		got := come(someday+day, Hit{}).Regular
		table.EachRegular(func(netip.Addr, uint32, int, int) { told++ })
		if got != c.want || table.Regular(a, 1) != c.want || told == 1 != c.want {
			t.Errorf("%s: regular is %v and told to edges %d times, want %v", name, got, told, c.want)
		}
	}
}

// TestAClientIsA64 holds that IPv6 counts by /64, and that IPv4 has one form.
func TestAClientIsA64(t *testing.T) {
	table := New(64, 1)
	for i, text := range []string{"2001:db8::1", "192.0.2.1", "2001:db8:0:1::1", "::"} {
		if !visitOf(table, netip.MustParseAddr(text), someday, true).Fresh || table.Len() != i+1 {
			t.Errorf("%s is not a client of its own", text)
		}
	}
	for _, text := range []string{"2001:db8::ffff", "::ffff:192.0.2.1", "::1"} {
		if visitOf(table, netip.MustParseAddr(text), someday, true).Fresh {
			t.Errorf("%s is not known", text)
		}
	}
}

// TestOneAddressManyVisitors: whoever shares an address with a regular cannot make it
// forgotten.
func TestOneAddressManyVisitors(t *testing.T) {
	table, a := New(64, 1), netip.MustParseAddr("192.0.2.1")
	visitOf(table, a, someday, true)
	visitOf(table, a, someday+day, true)
	for i := range uint32(1000) {
		table.Observe(&Hit{Client: a, Hash: table.Hash(a), Second: someday + day + int64(i), Site: i << 20, Agent: i + 2, Status: 404})
	}
	if !table.Regular(a, 1) {
		t.Error("the regular is forgotten")
	}
	if visitOf(table, a, someday+day+2000, true).Fresh {
		t.Error("the site does not know the client any more")
	}
}

func TestScoreRisesInIncidentsAndFalls(t *testing.T) {
	table, a := New(64, 1), netip.MustParseAddr("192.0.2.1")
	score := func() int { c, _ := table.Get(a); return c.Score }
	for i := range 2000 {
		table.Observe(&Hit{Client: a, Hash: table.Hash(a), Second: someday + int64(i), Status: 404, Stopped: i%2 == 0})
	}
	if score() != MaxScore {
		t.Errorf("score %d after an incident, want %d", score(), MaxScore)
	}
	visitOf(table, a, someday+3*day, true)
	if s := score(); s >= MaxScore/2 {
		t.Errorf("score %d three days later", s)
	}
}

func TestWhoDoesNotComeIsForgotten(t *testing.T) {
	table := New(1024, 1)
	for i := range uint32(1000) {
		visitOf(table, address(i), someday, true)
	}
	visitOf(table, address(0), someday+40*day, true)
	visitOf(table, address(2000), someday+60*day, true)
	if table.Len() != 2 {
		t.Errorf("%d clients, want the two of late", table.Len())
	}
	checkTable(t, table)
}

// TestStrangersDoNotPushOutRegulars: ten times as many addresses as the table has room
// for come once each, or come and come again; ten thousand regulars stay. With
// WEIR_LONG it is ten million addresses and a table of a million.
func TestStrangersDoNotPushOutRegulars(t *testing.T) {
	size, known, strangers := 1<<15, uint32(2_000), uint32(320_000)
	if os.Getenv("WEIR_LONG") != "" {
		size, known, strangers = 1<<20, 10_000, 10_000_000
	}
	table := New(size, 1)
	for _, at := range []int64{0, day, 2 * day} {
		for i := range known {
			visitOf(table, address(i), someday+at, true)
		}
	}
	if table.Regulars() != int(known) {
		t.Fatalf("%d regulars of %d", table.Regulars(), known)
	}
	const flood = uint32(1) << 30
	for i := range strangers {
		visitOf(table, address(flood+i), someday+3*day+int64(i)/10_000, true)
		if i%4 == 0 { // and some of them an hour and days later, while nobody notices
			visitOf(table, address(flood+i/2), someday+3*day+int64(i)/10_000, true)
		}
	}
	for i := range known {
		if !table.Regular(address(i), 1) {
			t.Fatalf("regular %d is forgotten", i)
		}
	}
	if n := table.Len(); n != size {
		t.Errorf("%d clients, want %d", n, size)
	}
	// Nor do they by coming on two days, all of them: who has been a regular for long goes last.
	for _, at := range []int64{4 * day, 5 * day, 6 * day} {
		for i := range uint32(size) {
			visitOf(table, address(2*flood+i), someday+at, true)
			if i%16 == 0 {
				visitOf(table, address(i/16%known), someday+at, true)
			}
		}
	}
	for i := range known {
		if !table.Regular(address(i), 1) {
			t.Fatalf("regular %d is forgotten among regulars", i)
		}
	}
	checkTable(t, table)
}

// TestNobodyAimsAtAPlace: addresses chosen to fall together under one key do not under
// another.
func TestNobodyAimsAtAPlace(t *testing.T) {
	longest := func(seed uint64, nets []netip.Addr) (most int) {
		table := New(4096, seed)
		for _, a := range nets {
			visitOf(table, a, someday, true)
		}
		run := 0
		for _, s := range append(table.slots, table.slots...) {
			if run++; s == 0 {
				run = 0
			}
			most = max(most, run)
		}
		return most
	}
	known, crafted := New(64, 0), []netip.Addr(nil)
	for i := uint32(1); len(crafted) < 500; i++ {
		if a := address(i); known.Hash(a)&1023 == 7 {
			crafted = append(crafted, a)
		}
	}
	if n := longest(0, crafted); n < 400 {
		t.Fatalf("the addresses do not fall together (%d): the test shows nothing", n)
	}
	if n := longest(0x1234_5678_9ABC_DEF0, crafted); n > 30 {
		t.Errorf("a run of %d slots", n)
	}
}

func TestBytesOfAClient(t *testing.T) {
	if n := unsafe.Sizeof(record{}); n != 128 {
		t.Errorf("a record has %d bytes", n)
	}
	table := New(1<<17, 1)
	for i := range uint32(1 << 17) {
		visitOf(table, address(i), someday, true)
	}
	all := len(table.chunks)*chunkRecords*128 + 4*len(table.slots) + cap(table.clock) + 4*cap(table.hashes)
	if per := float64(all) / float64(table.Len()); per > Bytes || per > 200 {
		t.Errorf("%.1f bytes a client, said to be %d, at most 200", per, Bytes)
	}
}

func TestReadRefuses(t *testing.T) {
	table := New(64, 1)
	for i := range uint32(20) {
		visitOf(table, address(i), someday+int64(i), true)
	}
	var w state.Writer
	table.Write(&w)
	twice := New(64, 1)
	visitOf(twice, address(1), someday, true)
	twice.clock = append(twice.clock, twice.clock[0]) // writes its client twice
	twice.chunks[0][1] = twice.chunks[0][0]
	var w2 state.Writer
	twice.Write(&w2)
	for name, data := range map[string][]byte{
		"nothing": nil, "cut": w.Bytes[:len(w.Bytes)-3], "another version": append([]byte{9}, w.Bytes[1:]...),
		"more": append(append([]byte(nil), w.Bytes...), 0), "twice": w2.Bytes, "text": []byte("hello, hello"),
	} {
		r := state.NewReader(data)
		New(64, 1).Read(r)
		if r.End(); r.Err() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestASmallerTableKeepsRegulars: a limit that was lowered costs newcomers first.
func TestASmallerTableKeepsRegulars(t *testing.T) {
	table := New(1000, 1)
	for i := range uint32(900) {
		visitOf(table, address(i), someday, true)
	}
	for i := range uint32(30) {
		visitOf(table, address(i*30), someday+day, true)
	}
	var w state.Writer
	table.Write(&w)
	small, r := New(100, 1), state.NewReader(w.Bytes)
	small.Read(r)
	if r.End(); r.Err() != nil {
		t.Fatal(r.Err())
	}
	checkTable(t, small)
	for i := range uint32(30) {
		if !small.Regular(address(i*30), 1) {
			t.Errorf("regular %d is lost", i)
		}
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	table := New(4096, 1)
	n := uint32(0)
	next := func() {
		n++
		visitOf(table, address(n), someday+int64(n), true)
	}
	for range 10_000 {
		next()
	}
	if allocs := testing.AllocsPerRun(10_000, next); allocs > 0 {
		t.Errorf("%v allocations a request", allocs)
	}
}

// BenchmarkObserve is one request: of 1,000 clients that stay, of a million at
// random, and of clients that are all new to a full table.
func BenchmarkObserve(b *testing.B) {
	for _, c := range []struct {
		name    string
		clients uint32
	}{{"few", 1000}, {"million", 1 << 20}, {"new", 1 << 31}} {
		b.Run(c.name, func(b *testing.B) {
			table, r := New(1<<20, 1), rand.New(rand.NewPCG(1, 1))
			for i := range uint32(1 << 20) {
				visitOf(table, address(i), someday, true)
			}
			order := make([]netip.Addr, 1<<16)
			for i := range order {
				order[i] = address(r.Uint32N(c.clients))
			}
			h := Hit{Site: 7, Agent: 1, Status: 200, Calm: true}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				h.Client, h.Second = order[i&(1<<16-1)], someday+int64(i>>14)
				if c.clients == 1<<31 {
					var a [4]byte
					binary.BigEndian.PutUint32(a[:], uint32(i)|1<<31)
					h.Client = netip.AddrFrom4(a)
				}
				h.Hash = table.Hash(h.Client)
				table.Observe(&h)
			}
		})
	}
}

// TestRewindKeepsAges: what was learned from a log of some time ago counts for one of
// today, and for one of long before.
func TestRewindKeepsAges(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for _, by := range []int64{-4000 * day, -day, 0, 300 * day} {
		table := New(64, 1)
		visitOf(table, a, someday, true)
		visitOf(table, a, someday+day, true)
		visitOf(table, b, someday+day, true)
		table.Rewind()
		now := someday + day + by
		if visitOf(table, b, now, true).Fresh || !visitOf(table, a, now+60, true).Regular {
			t.Errorf("%d days on: the clients are not known", by/day)
		}
		if visitOf(table, b, now+hour, true).Regular || !visitOf(table, b, now+day, true).Regular {
			t.Errorf("%d days on: the other is a regular too early or too late", by/day)
		}
	}
}

// What an edge is told of: who came for days and did nothing in incidents.
func TestEachRegular(t *testing.T) {
	table := New(64, 1)
	good, bad, once, astray := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("192.0.2.4")
	for d := range int64(4) {
		for _, a := range []netip.Addr{good, bad} {
			visitOf(table, a, someday+d*day, true)
		}
		table.Observe(&Hit{Client: astray, Hash: table.Hash(astray), Second: someday + d*day, Site: 7, Agent: 1, Status: 404, Calm: true})
	}
	visitOf(table, once, someday+3*day, true)
	for range 2 {
		table.Observe(&Hit{Client: bad, Hash: table.Hash(bad), Second: someday + 3*day, Site: 7, Agent: 1, Status: 403, Stopped: true})
	}
	told := 0
	table.EachRegular(func(client netip.Addr, site uint32, days, requests int) {
		if told++; client != good || site != 7 || days != 3 || requests != 4 {
			t.Errorf("%s at %d for %d days, %d requests", client, site, days, requests)
		}
	})
	if told != 1 {
		t.Errorf("%d regulars, want 1", told)
	}
}

// TestForgotten: who is forgotten is new again, and the others are as they were.
func TestForgotten(t *testing.T) {
	table := New(128, 1)
	for i := uint32(1); i <= 90; i++ {
		s := step{client: i, site: 1, agent: 1, status: 200, calm: true}
		h := s.hit(table, someday+int64(i))
		table.Observe(&h)
	}
	for _, gone := range []uint32{1, 45, 90, 91} {
		table.Forget(address(gone))
	}
	for i := uint32(1); i <= 90; i++ {
		if _, ok := table.Get(address(i)); ok == (i == 1 || i == 45 || i == 90) {
			t.Errorf("client %d: known is %v", i, ok)
		}
	}
	checkTable(t, table)
}
