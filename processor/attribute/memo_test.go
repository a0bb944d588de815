package attribute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestRowsOfABatchComeToTheSame: what is kept of a batch's strings changes no trait and no
// name, also where one string stands in several columns, and from one batch to the next.
func TestRowsOfABatchComeToTheSame(t *testing.T) {
	plain, memoed := NewExtractor(7), NewExtractor(7)
	r := rand.New(rand.NewPCG(1, 1))
	words := []string{"", "-", "GET", "/", "/a/1.css", "/a/b2/c-d/e/f", "a=1&b=2", "HTTP/2.0", "gzip", "de", "curl/8.5.0", "TLSv1.3 X", "\x01"}
	word := func() []byte { return []byte(words[r.IntN(len(words))]) }
	for batch := range 4 {
		b := schemas.NewBuilder("edge", "source")
		for range 300 {
			fields := schemas.Fields(schemas.FieldSite | schemas.FieldReferer)
			for _, f := range []schemas.Fields{schemas.FieldUserAgent, schemas.FieldAcceptLanguage, schemas.FieldAcceptEncoding, schemas.FieldTLS} {
				if batch != 1 {
					fields |= f
				}
			}
			client := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), 1})
			if r.IntN(2) == 0 {
				client = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", r.IntN(9), r.IntN(9)))
			}
			b.Append(&schemas.Request{
				Time: 1, Client: client, Fields: fields, Site: []byte("www.example.org"), Method: word(), Path: word(), Query: word(),
				Protocol: word(), Referer: word(), UserAgent: word(), AcceptLanguage: word(), AcceptEncoding: word(), TLS: word(),
				Cookie: schemas.Cookie(r.IntN(3)),
			})
		}
		made := b.Batch()
		var rows schemas.Rows
		rows.Reset(made)
		memoed.Begin(&rows)
		hashes := memoed.ClientHashes(nil, made.Client)
		var q schemas.Request
		for row := 0; rows.Next(&q); row++ {
			var want, got Traits
			plain.Profile(&want, &q)
			memoed.ProfileOf(&got, &q, row)
			if got != want {
				t.Fatalf("batch %d, row %d: profile %v, want %v", batch, row, got, want)
			}
			plain.Rest(&want, &q)
			memoed.RestOf(&got, &q, row)
			if got != want {
				t.Fatalf("batch %d, row %d: traits %v, want %v", batch, row, got, want)
			}
			for trait, hash := range want {
				a, okA := plain.Name(schemas.Trait(trait), hash)
				b, okB := memoed.Name(schemas.Trait(trait), hash)
				if a != b || okA != okB {
					t.Fatalf("batch %d, row %d: trait %d is called %q, want %q", batch, row, trait, b, a)
				}
			}
			if want := plain.ClientHash(schemas.ClientOf(q.Client).As16()); hashes[row] != want {
				t.Fatalf("batch %d, row %d: the hash of %s is %x, want %x", batch, row, q.Client, hashes[row], want)
			}
		}
	}
}
