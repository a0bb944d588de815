package nginx

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Rescue is a snippet for whoever has nothing of weir installed: all of it is
// pasted by hand, needs no other file, and stays until it is removed by hand.
type Rescue struct {
	HTTP    string    // for a file in http { }, such as RescuePath
	Server  string    // for each server { } under attack
	InForce int       // measures that it carries
	Refused []Refusal // those that it cannot
}

// RescuePath is where Debian's and nginx's own packages include files into http { }.
const RescuePath = "/etc/nginx/conf.d/weir-rescue.conf"

// NewRescue makes the snippet that refuses what the measures match, but never
// the addresses of allow. A measure that names sites counts there alone; give none
// where the server part is pasted into that site's server only, and the snippet
// is shorter. Actions milder than block answer 429 with Retry-After
// in the place of 403; expiries mean nothing here. It sets $weir_rescue to the
// status to answer, and is empty otherwise.
func NewRescue(measures []Measure, allow []netip.Prefix) Rescue {
	l := collect(Set{Measures: measures}, time.Time{})
	r := Rescue{Refused: l.refused}
	for _, n := range l.inForce {
		r.InForce += n
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# weir rescue, for http { }: save this as\n#   %s\n# and remove it when the attack is over.\n", RescuePath)
	if r.InForce == l.inForce[schemas.ScopeSignature] && len(l.sets.numbers) == 0 {
		writeAllowed(&b, "weir_rescue_allowed", allow)
		l.signatures.write(&b, "weir_rescue")
		writeStatus(&b, "$weir_rescue_signature", ".*:block:", ".*:")
	} else {
		l.write(&b, "weir_rescue", Set{Allow: allow}, func(_ string, content []byte) string { return indent(content) })
		writeStatus(&b, "$weir_rescue_by_client", "block ", ".")
	}
	r.HTTP = b.String()
	r.Server = "# weir rescue, for server { }: put these lines first in each server under attack, then\n" +
		"#   nginx -t && nginx -s reload\n" +
		"if ($weir_rescue = 403) { return 403; }\n" +
		"if ($weir_rescue = 429) { return 429; }\n"
	return r
}

// String is both parts, each with a comment that says where it belongs.
func (r Rescue) String() string { return r.HTTP + "\n" + r.Server }

// writeStatus defines $weir_rescue from a variable that is a block where it
// matches the first pattern, and something milder where it matches the second.
func writeStatus(b *bytes.Buffer, variable, block, milder string) {
	fmt.Fprintf(b, "map \"$weir_rescue_allowed %s\" $weir_rescue {\n    default \"\";\n    \"~^0 %s\" 403;\n    \"~^0 %s\" 429;\n}\n",
		variable, block, milder)
}

func indent(lines []byte) string {
	if len(lines) == 0 {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimSuffix(string(lines), "\n"), "\n", "\n    ") + "\n"
}
