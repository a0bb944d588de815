package schemas

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

func aPane() *Pane {
	return &Pane{
		Partition: 3, Second: 1_795_305_600, Site: "shop.example.org", Requests: 120, Status_404: 30, Status_4Xx: 35, Status_5Xx: 2,
		NewClients: 17, Bytes: 1 << 20, Late: 1, Clients: []byte{1, 2, 3}, Paths: []byte{4, 5}, PathSample: []byte("/a\x00/b"),
	}
}

func TestPaneGolden(t *testing.T) {
	message, err := EncodePane(nil, aPane())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "pane.golden", message)
	if id := aPane().MessageID(); id != "pane/3/1795305600/shop.example.org" {
		t.Errorf("message id %q", id)
	}
}

func TestPaneRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests := rapid.Uint64().Draw(t, "requests")
		of := rapid.Uint64Range(0, requests)
		blob := rapid.SliceOfN(rapid.Byte(), 1, 300)
		want := &Pane{
			Partition: rapid.Uint32Range(0, Partitions-1).Draw(t, "partition"), Second: rapid.Int64().Draw(t, "second"),
			Site: rapid.StringN(0, 60, MaxSite).Draw(t, "site"), Requests: requests,
			Status_404: of.Draw(t, "404"), Status_4Xx: of.Draw(t, "4xx"), Status_5Xx: of.Draw(t, "5xx"),
			NewClients: of.Draw(t, "new"), Late: of.Draw(t, "late"), Bytes: rapid.Uint64().Draw(t, "bytes"),
			Clients: blob.Draw(t, "clients"), Paths: blob.Draw(t, "paths"), PathSample: blob.Draw(t, "sample"),
		}
		message, err := EncodePane([]byte("x"), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodePane(message[1:])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestPaneRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Pane){
		"version":     func(p *Pane) { p.Version = 9 },
		"partition":   func(p *Pane) { p.Partition = Partitions },
		"site":        func(p *Pane) { p.Site = string(make([]byte, MaxSite+1)) },
		"404":         func(p *Pane) { p.Status_404 = p.Requests + 1 },
		"new clients": func(p *Pane) { p.NewClients = p.Requests + 1 },
		"late":        func(p *Pane) { p.Late = 1 << 63 },
	} {
		p := aPane()
		p.Version = PaneVersion
		spoil(p)
		raw, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodePane(compressed(raw)); !errors.Is(err, ErrPane) {
			t.Errorf("%s: decoding: error %v, want ErrPane", name, err)
		}
		if _, err := EncodePane(nil, p); !errors.Is(err, ErrPane) && name != "version" {
			t.Errorf("%s: encoding: error %v, want ErrPane", name, err)
		}
	}
	large := aPane()
	large.Clients = make([]byte, MaxPaneDecoded)
	if _, err := EncodePane(nil, large); !errors.Is(err, ErrPane) {
		t.Errorf("too large: error %v", err)
	}
	if _, err := DecodePane(compressed(make([]byte, MaxPaneDecoded+1))); !errors.Is(err, ErrPane) {
		t.Errorf("too large: error %v", err)
	}
	odd := aPane()
	odd.Site = "\xff"
	if _, err := EncodePane(nil, odd); !errors.Is(err, ErrPane) {
		t.Errorf("not UTF-8: error %v", err)
	}
}

func TestPaneTruncated(t *testing.T) {
	message, err := EncodePane(nil, aPane())
	if err != nil {
		t.Fatal(err)
	}
	for n := range message {
		if _, err := DecodePane(message[:n]); !errors.Is(err, ErrPane) {
			t.Errorf("%d of %d bytes: error %v, want ErrPane", n, len(message), err)
		}
	}
}

func FuzzDecodePane(f *testing.F) {
	message, err := EncodePane(nil, aPane())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message, true)
	raw, err := decompress(message, MaxPaneDecoded)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, false)
	f.Fuzz(func(t *testing.T, message []byte, whole bool) {
		if !whole {
			message = compressed(message)
		}
		p, err := DecodePane(message)
		if err != nil {
			if !errors.Is(err, ErrPane) {
				t.Errorf("error %v, want ErrPane", err)
			}
			return
		}
		if len(p.Site) > MaxSite || p.Partition >= Partitions || p.NewClients > p.Requests {
			t.Errorf("taken: %v", p)
		}
	})
}
