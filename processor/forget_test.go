package processor

import (
	"net/netip"
	"testing"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// TestForgottenBySamples: a sample that forgets a client is as one that never had it.
func TestForgottenBySamples(t *testing.T) {
	x := attribute.NewExtractor(1)
	add := func(s *attribute.Sample, n byte) {
		r := schemas.Request{Client: netip.AddrFrom4([4]byte{192, 0, 2, n}), Time: 1_795_000_000_000, Method: []byte("GET"), Path: []byte("/a"), Status: 200}
		for range 3 {
			s.Add(x.ClientHash(r.Client.As16()), &r)
		}
	}
	with, without := attribute.NewSample(x, 100), attribute.NewSample(x, 100)
	for n := range byte(50) {
		add(with, n)
		if n != 7 {
			add(without, n)
		}
	}
	gone := netip.MustParseAddr("192.0.2.7")
	if !with.Has(gone) || without.Has(gone) {
		t.Fatal("the samples are not what they should be")
	}
	if !with.Forget(gone) || with.Forget(gone) || with.Has(gone) {
		t.Error("it is not forgotten once")
	}
	if a, b := with.IDs(), without.IDs(); len(a) != 49 || len(b) != 49 {
		t.Errorf("%d and %d clients", len(a), len(b))
	} else {
		for id := range b {
			if !a[id] {
				t.Errorf("client %x was forgotten, too", id)
			}
		}
	}
	before := with.Len()
	if add(with, 7); !with.Has(gone) || with.Len() != before+1 {
		t.Error("it cannot come again")
	}
}
