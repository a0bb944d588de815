package schemas

import "net/netip"

// networkBits are the lengths of a network's prefix, of IPv4 and of IPv6.
var networkBits = [NumScored - NumTraits][2]int{{8, 16}, {12, 24}}

// Networks are the traits that are networks of the client.
var Networks = [...]Trait{TraitWideNetwork, TraitNarrowNetwork}

// IsNetwork reports whether a trait is a network of the client, which scores alone go by.
func (t Trait) IsNetwork() bool { return int(t) >= NumTraits && int(t) < NumScored }

// NetworkBits is how long the prefix of such a network is.
func (t Trait) NetworkBits(v4 bool) int {
	bits := networkBits[int(t)-NumTraits]
	if v4 {
		return bits[0]
	}
	return bits[1]
}

// NetworkOf is the network of a client that a trait is the value of; ok is false for a trait that is no network,
// and for no address.
func (t Trait) NetworkOf(client netip.Addr) (network netip.Prefix, ok bool) {
	if !t.IsNetwork() || !client.IsValid() {
		return network, false
	}
	client = client.Unmap().WithZone("")
	network, err := client.Prefix(t.NetworkBits(client.Is4()))
	return network, err == nil
}

// isValue reports whether a text is a network as Value writes it.
func (t Trait) isValue(text string) bool {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return false
	}
	is, ok := t.NetworkOf(network.Addr())
	return ok && is == network && is.String() == text
}
