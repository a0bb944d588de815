package schemas

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

func somePanes() *Panes {
	return &Panes{
		Partition: 3, Revision: 12, Sequence: 99, Level: 1_795_305_603_500, Closed: 1_795_305_600, Part: 1, Parts: 2,
		Panes: []*Pane{{Second: 1_795_305_600, Site: []byte("shop.example.org"), Sketches: []byte{1, 2, 3}, Sample: []byte{4, 5}, Served: []uint64{7, 1 << 60}}},
		Names: []*TraitName{{Trait: uint32(TraitUserAgent), Hash: 0xDEADBEEF, Text: []byte("curl/8.5.0")}},
	}
}

func TestPanesGolden(t *testing.T) {
	message, err := EncodePanes(nil, somePanes())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "panes.golden", message)
}

func TestPanesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blob := rapid.SliceOfN(rapid.Byte(), 1, 300)
		want := &Panes{
			Partition: rapid.Uint32Range(0, Partitions-1).Draw(t, "partition"), Revision: rapid.Uint64().Draw(t, "revision"),
			Sequence: rapid.Uint64().Draw(t, "sequence"), Level: rapid.Int64().Draw(t, "level"),
			Closed: rapid.Int64().Draw(t, "closed"), Parts: rapid.Uint32Range(1, MaxPanesParts).Draw(t, "parts"),
		}
		want.Part = rapid.Uint32Range(1, want.Parts).Draw(t, "part")
		for range rapid.IntRange(0, 4).Draw(t, "panes") {
			want.Panes = append(want.Panes, &Pane{
				Second: want.Closed, Site: rapid.SliceOfN(rapid.Byte(), 1, MaxSite).Draw(t, "site"),
				Sketches: blob.Draw(t, "sketches"), Sample: blob.Draw(t, "sample"), Served: []uint64{rapid.Uint64().Draw(t, "served")},
			})
		}
		message, err := EncodePanes([]byte("x"), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodePanes(message[1:])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestPanesRefuse(t *testing.T) {
	for name, spoil := range map[string]func(*Panes){
		"version":   func(p *Panes) { p.Version = 9 },
		"partition": func(p *Panes) { p.Partition = Partitions },
		"no parts":  func(p *Panes) { p.Parts = 0 },
		"part":      func(p *Panes) { p.Part = p.Parts + 1 },
		"part 0":    func(p *Panes) { p.Part = 0 },
		"parts":     func(p *Panes) { p.Parts = MaxPanesParts + 1 },
		"open":      func(p *Panes) { p.Panes[0].Second = p.Closed + 1 },
		"site":      func(p *Panes) { p.Panes[0].Site = make([]byte, MaxSite+1) },
		"trait":     func(p *Panes) { p.Names[0].Trait = uint32(NumTraits) },
		"text":      func(p *Panes) { p.Names[0].Text = make([]byte, MaxText+1) },
		"names":     func(p *Panes) { p.Names = make([]*TraitName, MaxTraitNames+1) },
	} {
		p := somePanes()
		p.Version = PanesVersion
		spoil(p)
		for i, n := range p.Names {
			if n == nil {
				p.Names[i] = new(TraitName)
			}
		}
		raw, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodePanes(compressed(raw)); !errors.Is(err, ErrPanes) {
			t.Errorf("%s: decoding: error %v, want ErrPanes", name, err)
		}
		if _, err := EncodePanes(nil, p); !errors.Is(err, ErrPanes) && name != "version" {
			t.Errorf("%s: encoding: error %v, want ErrPanes", name, err)
		}
	}
	large := somePanes()
	large.Panes[0].Sketches = make([]byte, MaxPanesDecoded)
	if _, err := EncodePanes(nil, large); !errors.Is(err, ErrPanes) {
		t.Errorf("too large: error %v", err)
	}
	if _, err := DecodePanes(compressed(make([]byte, MaxPanesDecoded+1))); !errors.Is(err, ErrPanes) {
		t.Errorf("too large: error %v", err)
	}
}

func TestPanesTruncated(t *testing.T) {
	message, err := EncodePanes(nil, somePanes())
	if err != nil {
		t.Fatal(err)
	}
	for n := range message {
		if _, err := DecodePanes(message[:n]); !errors.Is(err, ErrPanes) {
			t.Errorf("%d of %d bytes: error %v, want ErrPanes", n, len(message), err)
		}
	}
}

func FuzzDecodePanes(f *testing.F) {
	message, err := EncodePanes(nil, somePanes())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message, true)
	raw, err := decompress(message, MaxPanesDecoded)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, false)
	f.Fuzz(func(t *testing.T, message []byte, whole bool) {
		if !whole {
			message = compressed(message)
		}
		p, err := DecodePanes(message)
		if err != nil {
			if !errors.Is(err, ErrPanes) {
				t.Errorf("error %v, want ErrPanes", err)
			}
			return
		}
		if p.Partition >= Partitions || p.Part > p.Parts || len(p.Panes) > MaxPanes {
			t.Errorf("taken: %v", p)
		}
	})
}
