package processor

import (
	"net/netip"
	"testing"

	"github.com/weir-project/weir/processor/clients"
	"github.com/weir-project/weir/schemas"
	"pgregory.net/rapid"
)

// drawnOf says whether a request's client is a probe, of whom nothing is remembered.
func drawnOf(r *schemas.Request) func(key string) bool {
	return func(key string) bool { return schemas.Probe(key, r.Client, r.Time) }
}

// TestDrawnIsProbe: what is remembered of a client is what would be drawn anew, whichever epoch, key or client
// came before, and whoever has to make room.
func TestDrawnIsProbe(t *testing.T) {
	const begin = 1_795_000_000
	rapid.Check(t, func(t *rapid.T) {
		table, d := clients.New(64, 1), drawn{}
		times := rapid.Int64Range(begin, begin+3*schemas.ProbeEpoch)
		keys := rapid.SampledFrom([]string{"a1", "a1", "a1", "b2", ""})
		for range rapid.IntRange(1, 500).Draw(t, "requests") {
			n := rapid.Uint16Range(0, 200).Draw(t, "client")
			client := netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
			if n%3 == 0 {
				client = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(n), 15: rapid.Byte().Draw(t, "host")})
			}
			r := &schemas.Request{Client: client, Time: 1000 * times.Draw(t, "time")}
			h := clients.Hit{Client: schemas.ClientOf(client), Hash: table.Hash(client), Second: r.Time / 1000, Site: 1}
			note := table.NoteOf(h.Hash, h.Client)
			if rapid.Bool().Draw(t, "observed") {
				table.Observe(&h)
				note = table.Note()
			}
			if key := keys.Draw(t, "key"); d.probe(key, r, note) != schemas.Probe(key, client, r.Time) {
				t.Fatalf("%s at %d under %q: %t", client, r.Time, key, !schemas.Probe(key, client, r.Time))
			}
		}
	})
}

// TestDrawnAfterHalfAYear: a note's epoch comes again, and the client is new by then.
func TestDrawnAfterHalfAYear(t *testing.T) {
	const round = schemas.ProbeEpoch << (16 - noteBits)
	table, d, differ := clients.New(1<<12, 1), drawn{}, 0
	for _, second := range []int64{1_795_000_000, 1_795_000_000 + round} {
		for n := range 1000 {
			client := netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
			table.Observe(&clients.Hit{Client: client, Hash: table.Hash(client), Second: second, Site: 1})
			want := schemas.Probe("a1", client, 1000*second)
			if d.probe("a1", &schemas.Request{Client: client, Time: 1000 * second}, table.Note()) != want {
				t.Fatalf("%s at %d: %t", client, second, !want)
			}
			if want != schemas.Probe("a1", client, 1_795_000_000_000) {
				differ++
			}
		}
	}
	if differ == 0 {
		t.Error("both epochs draw the same clients: the test shows nothing")
	}
}
