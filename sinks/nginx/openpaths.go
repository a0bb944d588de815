package nginx

import (
	"bytes"
	"fmt"
	"net/netip"
)

// writeAllowedAll defines $<prefix>_allowed, 1 for an allowlisted address, and for whatever is asked
// of an allowlisted path: paths are by site, exact, or all below where they end in "/". They are
// held against $uri: decoded, without dot segments and doubled slashes.
func writeAllowedAll(b *bytes.Buffer, prefix string, allow []netip.Prefix, paths map[string][]string) {
	if len(paths) == 0 {
		writeAllowed(b, prefix+"_allowed", allow)
		return
	}
	writeAllowed(b, prefix+"_allowed_client", allow)
	fmt.Fprintf(b, "map \"${%[1]s_allowed_client}h$host:$uri\" $%[1]s_allowed {\n    default 0;\n    ~^1 1;\n", prefix)
	for _, site := range sortedKeys(paths) {
		for _, path := range paths[site] {
			end := `\z`
			if path[len(path)-1] == '/' {
				end = ""
			}
			if key, err := keyPattern("^0h" + literal(site) + ":" + literal(path) + end); err == nil { // the configuration bounds both
				fmt.Fprintf(b, "    %s 1;\n", key)
			}
		}
	}
	b.WriteString("}\n")
}
