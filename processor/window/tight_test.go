package window

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestTight: a pane comes back from its tight form to the byte, into an empty one and into one
// that has counted, whether its marked clients are among its clients or not.
func TestTight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 9, 100, 3000}).Draw(t, "requests")
		odd := rapid.Bool().Draw(t, "a client that is marked only")
		var p, there, want, got Pane
		for i := range n {
			client, path := hash(uint64(i%500)), hash(uint64(i))
			p.Counts[Requests]++
			p.Clients.Insert(client)
			p.Paths.Insert(path)
			if i%3 > 0 {
				p.Pages.Insert(path)
			}
			if i%4 == 0 {
				p.Marked[Loading].Insert(client)
			}
			p.Marked[Unfamiliar].Insert(client)
			p.Tallies[ByPath].Insert(path, 1, nil)
		}
		if odd {
			p.Marked[MissingPage].Insert(hash(1 << 40))
		}
		if rapid.Bool().Draw(t, "into another") {
			there.Counts[Requests]++
			there.Clients.Insert(hash(1))
			there.Marked[Loading].Insert(hash(1))
		}
		for _, to := range []*Pane{&want, &got} {
			to.mergeCounts(&there)
		}
		want.mergeCounts(&p)
		form, err := p.appendTight(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.mergeTight(form); err != nil {
			t.Fatal(err)
		}
		a, _ := want.AppendBinary(nil)
		b, _ := got.AppendBinary(nil)
		if !bytes.Equal(a, b) {
			t.Fatal("it came back as another")
		}
		plain, _ := p.AppendBinary(nil)
		if len(form) > len(plain)+4 || n >= 9 && n < 1000 && len(form) > len(plain)*3/4 {
			t.Fatalf("%d bytes, %d in the binary form", len(form), len(plain))
		}
		if cut := rapid.IntRange(0, len(form)-1).Draw(t, "cut"); cut < len(form) {
			if err := new(Pane).mergeTight(form[:cut]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%d of %d bytes: %v", cut, len(form), err)
			}
		}
	})
}
