package main

import (
	"net/netip"
	"testing"

	"github.com/weir-project/weir/processor/window"
)

func TestKeysAreWrittenForPeople(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.7").As16(), netip.MustParseAddr("2001:db8:1::7").As16()
	network := func(a [16]byte, bytes int, bits byte) []byte {
		n := make([]byte, 17)
		copy(n, a[:bytes])
		n[16] = bits
		return n
	}
	for _, c := range []struct {
		key  window.Key
		name []byte
		want string
	}{
		{window.ByClient, four[:], "192.0.2.7"},
		{window.ByClient, six[:], "2001:db8:1::7"},
		{window.ByPrefix, network(four, 15, 120), "192.0.2.0/24"},
		{window.ByPrefix, network(six, 6, 48), "2001:db8:1::/48"},
		{window.ByPath, []byte("/a\x00b"), "/a\x00b"},
		{window.ByAgent, nil, ""},
		{window.ByClient, []byte("cut"), "cut"},
	} {
		if got := keyName(c.key, c.name); got != c.want {
			t.Errorf("%d %x is %q, want %q", c.key, c.name, got, c.want)
		}
	}
}
