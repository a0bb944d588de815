package nginx

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// writeVerdict defines $<prefix>_verdict out of the choices: nothing outside the lease and
// for allowed addresses; for regulars and for probes what persons took, and for a probe,
// where nothing of that counts, "allow" with the decision that would have stopped it.
func (l *lists) writeVerdict(b *bytes.Buffer, prefix string, set Set, include func(name string, content []byte) string) {
	key, lines := "", fmt.Sprintf("    10 $%s_by_client;\n", prefix)
	regulars := !set.Regulars.empty()
	if regulars {
		set.Regulars.write(b, prefix, include)
		key += fmt.Sprintf("${%s_regular}", prefix)
		lines += fmt.Sprintf("    101 $%s_by_hand_client;\n", prefix)
	}
	if regulars || l.probes != "" && l.hand {
		l.writeChoices(b, prefix, "by_hand_", "h")
	}
	if l.probes != "" {
		l.writeProbes(b, prefix)
		key += fmt.Sprintf("${%s_probe}", prefix)
		lines += fmt.Sprintf("    10p $%s_by_probe;\n", prefix)
		if regulars {
			lines += fmt.Sprintf("    101p $%s_by_hand_client;\n", prefix)
		}
	}
	fmt.Fprintf(b, "map \"${%[1]s_lease}${%[1]s_allowed}%[2]s\" $%[1]s_verdict {\n    default \"\";\n%[3]s}\n", prefix, key, lines)
}

// writeProbes defines $<prefix>_probe, p where the client is a probe at this moment, and
// $<prefix>_by_probe, the verdict of one: decisions on the client alone let none through.
func (l *lists) writeProbes(b *bytes.Buffer, prefix string) {
	fmt.Fprintf(b, "map $remote_addr $%s_probe_client {\n    default $remote_addr;\n    \"~^::ffff:([0-9.]+)\\z\" $1;\n", prefix)
	for _, form := range network6 {
		fmt.Fprintf(b, "    \"~%s\" \"%s\";\n", strings.ReplaceAll(form[0], "H", "[0-9a-f]{1,4}"), form[1])
	}
	fmt.Fprintf(b, "}\nmap $msec $%s_probe_epoch {\n    default \"\";\n    \"~^([0-9]+)[0-9]{3}\\.\" $1;\n}\n", prefix)
	fmt.Fprintf(b, "split_clients \"${%[1]s_probe_client} ${%[1]s_probe_epoch} %[2]s\" $%[1]s_probe {\n    %[3]g%% p;\n    * \"\";\n}\n",
		prefix, l.probes, 100*schemas.ProbeShare)
	rest := fmt.Sprintf("$%s_probed", prefix)
	fmt.Fprintf(b, "map $%[1]s_by_prefix $%[1]s_probed {\n    default \"\";\n    \"~^[a-z]+ (.+)\\z\" \"allow $1\";\n}\n", prefix)
	mark := ""
	if l.hand {
		fmt.Fprintf(b, "map $%[1]s_by_hand_prefix $%[1]s_probe_rest {\n    default $%[1]s_by_hand_prefix;\n    \"\" $%[1]s_probed;\n}\n", prefix)
		rest, mark = fmt.Sprintf("$%s_probe_rest", prefix), "h?"
	}
	l.writeChoice(b, prefix, "by_probe", mark, fmt.Sprintf("${%s_client4}${%s_client4_tail}${%s_client6}", prefix, prefix, prefix), rest)
}
