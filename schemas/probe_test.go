package schemas

import (
	"math"
	"net/netip"
	"testing"
)

// A hundredth of the clients are probes, for one epoch, by the key.
func TestProbesAreFewAndChange(t *testing.T) {
	const clients, epoch = 200_000, int64(ProbeEpoch) * 1000
	at := int64(1_795_000_000_000)
	count, again, other := 0, 0, 0
	for i := range clients {
		client := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if !Probe("0123456789abcdef", client, at) {
			continue
		}
		count++
		if !Probe("0123456789abcdef", client, at/epoch*epoch+epoch-1) {
			t.Errorf("%s is no probe later in its epoch", client)
		}
		if Probe("0123456789abcdef", client, at+epoch) {
			again++
		}
		if Probe("0123456789abcdee", client, at) {
			other++
		}
	}
	// Binomial: five deviations.
	if want := clients * ProbeShare; math.Abs(float64(count)-want) > 5*math.Sqrt(want) {
		t.Errorf("%d of %d clients are probes", count, clients)
	}
	if again > count/20 || other > count/20 {
		t.Errorf("of %d probes %d are ones in the next epoch, %d with another key", count, again, other)
	}
}

func TestProbesGoByClient(t *testing.T) {
	at := int64(1_795_000_000_000)
	network := netip.MustParsePrefix("2001:db8:0:1::/64")
	for !Probe("a1", network.Addr(), at) {
		at += ProbeEpoch * 1000
	}
	for _, address := range []string{"2001:db8:0:1::2", "2001:db8:0:1:ffff::"} {
		if !Probe("a1", netip.MustParseAddr(address), at) {
			t.Errorf("%s is no probe, and its network is", address)
		}
	}
	for client, want := range map[string]string{"2001:db8:0:1::2": "2001:db8:0:1", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8::": "2001:db8:0:0"} {
		if got := string(AppendProbeClient(nil, netip.MustParseAddr(client))); got != want {
			t.Errorf("%s is drawn as %q, want %q", client, got, want)
		}
	}
	if Probe("", network.Addr(), at) || Probe("a1", netip.Addr{}, at) {
		t.Error("nobody is a probe without a key or an address")
	}
	if n := testing.AllocsPerRun(100, func() { Probe("0123456789abcdef", network.Addr(), at) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	for _, key := range []string{"g", "A", "a b", "$a", "0123456789abcdef0123456789abcdef0"} {
		if CheckProbeKey(key) == nil {
			t.Errorf("the key %q is taken", key)
		}
	}
}
