package nginx

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/weir-project/weir/schemas"
)

// networkKey is a network as a geo has it: as the trait's values are written, and no other way, so that nothing but an
// address and a length of the trait's own ever stands there.
func networkKey(t schemas.TraitValue) (string, error) {
	network, err := netip.ParsePrefix(t.Value)
	if err != nil {
		return "", fmt.Errorf("no request has the value %q", t.Value)
	}
	if is, ok := t.Trait.NetworkOf(network.Addr()); !ok || is.String() != t.Value {
		return "", fmt.Errorf("no request has the value %q", t.Value)
	}
	return t.Value, nil
}

// writeNetworks is writeNumbers of networks: a geo of $remote_addr, which is the client's own behind proxies that nginx
// trusts. Who has no address, as the peer of a unix socket, is 255.255.255.255 to nginx (which takes no network of just that), and has none of the numbers.
func writeNetworks(b *bytes.Buffer, values map[string]int, variable string) {
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(b, "geo $%s {\n    default 0;\n    255.255.255.254/31 \"\";\n", variable)
	for _, key := range sortedKeys(values) {
		fmt.Fprintf(b, "    %s %d;\n", key, values[key])
	}
	b.WriteString("}\n")
}
