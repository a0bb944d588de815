package schemas

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func someRegulars() *Regulars {
	return &Regulars{Partition: 3, Token: 1 << 60, Time: time.Unix(1_700_000_000, 0).UTC(), Sites: []SiteRegulars{
		{Site: "a.example", Clients: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("2001:db8::"), netip.MustParseAddr("2001:db8:0:1::")}},
		{Site: "b.example", Clients: []netip.Addr{netip.MustParseAddr("::")}},
		{Site: strings.Repeat("c", MaxSite)},
	}}
}

var sameAddress = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestRegularsComeBackAsTheyWent(t *testing.T) {
	want := someRegulars()
	message, err := EncodeRegulars(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRegulars(message)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, sameAddress); d != "" {
		t.Error(d)
	}
}

// The dearest that is allowed fits a message.
func TestRegularsFitAMessage(t *testing.T) {
	r := &Regulars{Partition: 7}
	for site := 0; site < MaxRegulars/1000; site++ {
		s := SiteRegulars{Site: strings.Repeat("x", MaxSite-2) + string(rune('A'+site/10)) + string(rune('0'+site%10))}
		for n := range 1000 {
			client, _ := clientOfNumber(1<<60+uint64(n)<<50, true)
			s.Clients = append(s.Clients, client)
		}
		r.Sites = append(r.Sites, s)
	}
	message, err := EncodeRegulars(r)
	if err != nil || len(message) > MaxMessage {
		t.Fatalf("%d bytes: %v", len(message), err)
	}
}

func TestRegularsBeyondTheirBoundsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Regulars){
		"partition":    func(r *Regulars) { r.Partition = Partitions },
		"no site":      func(r *Regulars) { r.Sites[0].Site = "" },
		"site twice":   func(r *Regulars) { r.Sites[1].Site = "a.example" },
		"client twice": func(r *Regulars) { r.Sites[0].Clients[1] = r.Sites[0].Clients[0] },
		"too many": func(r *Regulars) {
			r.Sites[1].Clients = nil
			for n := range uint64(MaxSiteRegulars + 1) {
				client, _ := clientOfNumber(n, false)
				r.Sites[1].Clients = append(r.Sites[1].Clients, client)
			}
		},
	} {
		r := someRegulars()
		spoil(r)
		if _, err := EncodeRegulars(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzDecodeRegulars(f *testing.F) {
	message, _ := EncodeRegulars(someRegulars())
	f.Add(message)
	for cut := range message {
		f.Add(message[:cut])
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := DecodeRegulars(message)
		if err != nil {
			return
		}
		again, err := EncodeRegulars(r)
		if err != nil {
			t.Fatal(err)
		}
		same, err := DecodeRegulars(again)
		if err != nil || cmp.Diff(r, same, sameAddress) != "" {
			t.Fatal(err, cmp.Diff(r, same, sameAddress))
		}
	})
}
