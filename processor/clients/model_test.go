package clients

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/processor/state"
)

const someday = 1_795_000_000 // a second of 2026

func address(n uint32) netip.Addr {
	if n%3 == 0 { // a third are of IPv6
		var b [16]byte
		b[0], b[1] = 0x20, 0x01
		binary.BigEndian.PutUint32(b[2:], n)
		return netip.AddrFrom16(b)
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// step is one request as a test draws it.
type step struct {
	client, site, agent uint32
	wait                int64
	status              uint16
	calm, stopped       bool
}

func drawSteps(t *rapid.T, clients int, wait int64) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			client: rapid.Uint32Range(1, uint32(clients)).Draw(t, "client"),
			site:   rapid.Uint32Range(0, 2).Draw(t, "site") << 26, agent: rapid.Uint32Range(1, 2).Draw(t, "agent"),
			wait:   rapid.Int64Range(0, wait).Draw(t, "wait"),
			status: rapid.SampledFrom([]uint16{200, 304, 404, 403, 499, 500}).Draw(t, "status"),
			calm:   rapid.IntRange(0, 9).Draw(t, "calm") > 0, stopped: rapid.IntRange(0, 9).Draw(t, "stopped") == 0,
		}
	}), 1, 400).Draw(t, "steps")
}

func (s *step) hit(t *Table, second int64) Hit {
	client := address(s.client)
	return Hit{
		Client: client, Hash: t.Hash(client), Second: second, Site: s.site, Agent: s.agent,
		Traits: Traits{Language: s.agent}, Status: s.status, Calm: s.calm, Stopped: s.stopped,
	}
}

// known is what a map keeps of a client.
type known struct {
	first, last int64
	requests    uint32
	served      uint16
	at          map[uint32]bool      // sites
	with        map[[2]uint32]*visit // by site and agent
}

// TestTableIsAMapWhereThereIsRoom checks every answer against a plain map.
func TestTableIsAMapWhereThereIsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, model, now := New(128, rapid.Uint64().Draw(t, "seed")), make(map[uint32]*known), int64(someday)
		for _, s := range drawSteps(t, 100, 2*3600) {
			now += s.wait
			h := s.hit(table, now)
			got := table.Observe(&h)
			m := model[s.client]
			if m == nil {
				m = &known{first: now, at: make(map[uint32]bool), with: make(map[[2]uint32]*visit)}
				model[s.client] = m
			}
			want := Known{Fresh: !m.at[s.site]}
			want.Regular = m.observe(&s, now)
			if got.Fresh != want.Fresh || len(m.with) <= maxVisits && got.Regular != want.Regular {
				t.Fatalf("%+v: %+v, want %+v", s, got, want)
			}
		}
		for n, m := range model {
			c, ok := table.Get(address(n))
			if !ok || c.First != m.first || c.Last != m.last || c.Requests != m.requests || c.Counts[Served] != m.served {
				t.Fatalf("client %d: %+v, want %+v", n, c, m)
			}
			for pair, v := range m.with {
				if len(m.with) <= maxVisits && v.flags&regular != 0 && !table.Regular(address(n), pair[1]) {
					t.Fatalf("client %d is no regular with agent %d", n, pair[1])
				}
			}
		}
		if table.Len() != len(model) {
			t.Fatalf("%d clients, want %d", table.Len(), len(model))
		}
		checkTable(t, table)
	})
}

// observe takes a request and says whether it is a regular's, by the definition.
func (m *known) observe(s *step, now int64) bool {
	m.last = now
	m.requests++
	if s.status < 400 {
		m.served++
	}
	m.at[s.site] = true
	pair := [2]uint32{s.site, s.agent}
	v := m.with[pair]
	if v == nil {
		v = new(visit)
		m.with[pair] = v
	}
	tick := uint16(now / tickSeconds)
	switch {
	case v.flags&regular != 0:
	case !s.calm:
		v.first = 0
	case v.first == 0:
		v.first = tick
	case tick-v.first >= regularAfter:
		v.flags |= regular
	}
	return v.flags&regular != 0
}

// checkTable fails where the parts of a table do not fit each other.
func checkTable(t interface{ Fatalf(string, ...any) }, table *Table) {
	var size [numSegments]int
	for at := range table.clock {
		size[table.segment(at)]++
		net := table.record(at).net
		if found := table.find(table.hashOf(net), net); found != at {
			t.Fatalf("record %d is found at %d", at, found)
		}
	}
	if size != table.size || len(table.clock) > table.max || size[regulars] > table.max/2 || size[returned] > table.max/4 {
		t.Fatalf("%d clients, of at most %d, stand as %v, counted as %v", len(table.clock), table.max, size, table.size)
	}
	slots := 0
	for _, s := range table.slots {
		if s != 0 {
			slots++
		}
	}
	if slots != len(table.clock) || 2*slots > len(table.slots) {
		t.Fatalf("%d slots of %d for %d clients", slots, len(table.slots), len(table.clock))
	}
}

// TestFullTableHoldsTogether: whatever comes, with far more clients than fit and gaps
// of days, nothing is found in the wrong place, the key changes no answer, and a table
// that was written and read goes on as the one it was.
func TestFullTableHoldsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, other, now := New(64, 1), New(64, rapid.Uint64().Draw(t, "seed")), int64(someday)
		pace := rapid.SampledFrom([]int64{10, 4 * 3600, 3 * 24 * 3600}).Draw(t, "pace")
		for i, s := range drawSteps(t, 300, pace) {
			now += s.wait
			if i%7 == 0 {
				table.Taint(s.site, now-60, now)
				other.Taint(s.site, now-60, now)
			}
			a, b := s.hit(table, now), s.hit(other, now)
			if x, y := table.Observe(&a), other.Observe(&b); x != y {
				t.Fatalf("step %d: %+v with one key, %+v with another", i, x, y)
			}
			if i%50 == 0 {
				other = again(t, other)
			}
			if c, ok := table.Get(a.Client); !ok || c.Last != now || c.Client != a.Client {
				t.Fatalf("step %d: the client is %+v, %v", i, c, ok)
			}
		}
		checkTable(t, table)
		checkTable(t, other)
	})
}

// again is the table that is read from what one writes.
func again(t *rapid.T, table *Table) *Table {
	var w, again state.Writer
	table.Write(&w)
	back := New(table.max, table.seed)
	r := state.NewReader(w.Bytes)
	back.Read(r)
	if r.End(); r.Err() != nil {
		t.Fatal(r.Err())
	}
	if back.Write(&again); string(again.Bytes) != string(w.Bytes) {
		t.Fatal("what was read is not what was written")
	}
	return back
}

// FuzzRead: bytes are refused, or make a table that holds together.
func FuzzRead(f *testing.F) {
	table, r := New(64, 1), rand.New(rand.NewPCG(1, 1))
	for i := range 500 {
		s := step{client: r.Uint32N(100), site: 1, agent: 1, status: 200, calm: true}
		h := s.hit(table, someday+int64(i)*1800)
		table.Observe(&h)
	}
	table.Taint(1, someday, someday+60)
	var w state.Writer
	table.Write(&w)
	f.Add(w.Bytes)
	f.Add(w.Bytes[:len(w.Bytes)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		back, in := New(64, 1), state.NewReader(data)
		back.Read(in)
		if in.End(); in.Err() != nil {
			return
		}
		checkTable(t, back)
		for i := range 200 {
			s := step{client: uint32(i), site: 1, agent: 1, status: 200, calm: true}
			h := s.hit(back, int64(back.now)+int64(i)*600)
			back.Observe(&h)
		}
		checkTable(t, back)
	})
}
