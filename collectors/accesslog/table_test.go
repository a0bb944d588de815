package accesslog

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// tableFile has the table between these marks.
const (
	tableFile  = "../../docs/formats.md"
	tableBegin = "<!-- table: WEIR_UPDATE=1 go test -benchtime 50ms -run TestFormatsTable ./collectors/accesslog -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

var tableRows = []struct {
	name, example string
	format        Format
	line          func(int) []byte
}{
	{"weir", "", Weir, benchWeir},
	{"combined", "", Combined, benchCombined},
	{"vhost_combined", "", VhostCombined, func(i int) []byte { return append([]byte("www.example.org:443 "), benchCombined(i)...) }},
	{"common", "", Common, func(i int) []byte { line := benchCombined(i); return line[:bytes.Index(line, []byte(` "https`))] }},
	{"caddy", "", Caddy, benchCaddy},
	{"traefik", "", Traefik, benchTraefik},
	{"traefik_json", "", TraefikJSON, benchTraefikJSON},
	{"haproxy", "", HAProxy, benchHAProxy},
	{"nginx `log_format`", benchNginxFormat, benchNginxFormat, benchNginx},
	{"nginx `log_format`, `escape=json`", benchJSONFormat, benchJSONFormat, benchNginxJSON},
	{"Apache `LogFormat`", benchApacheFormat, benchApacheFormat, benchApache},
}

// TestFormatsTable compares the table of formats in the documents with what the
// parsers take, times left out; with WEIR_UPDATE set it measures and writes it anew.
func TestFormatsTable(t *testing.T) {
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	old, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", tableFile)
	}
	update := os.Getenv("WEIR_UPDATE") != ""
	table := formatsTable(t, update)
	if update {
		if err := os.WriteFile(tableFile, []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if timeless(old) != timeless(table) {
		t.Errorf("%s is not what the parsers do: WEIR_UPDATE=1 go test -benchtime 50ms -run TestFormatsTable ./collectors/accesslog\n%s", tableFile, table)
	}
}

var measured = regexp.MustCompile(`\| *\d* \|\n|Measured .*\n`)

func timeless(table string) string { return measured.ReplaceAllString(table, "") }

func formatsTable(t *testing.T, measure bool) string {
	var b strings.Builder
	b.WriteString("| format | a line (and the text of the format) | carries besides time, client, method, path, query, protocol, status, bytes | bytes | ns |\n|---|---|---|---|---|\n")
	for _, row := range tableRows {
		line := row.line(17)
		var r schemas.Request
		if reason := New(row.format).Parse(line, &r); reason != None {
			t.Fatalf("%s: %s: %s", row.name, reason, line)
		}
		example := "`" + string(line) + "`"
		if row.example != "" {
			example = "`" + row.example + "`<br>" + example
		}
		nanoseconds := ""
		if measure {
			best := math.Inf(1) // of several: others use the machine too
			for range 7 {
				best = min(best, testing.Benchmark(func(b *testing.B) { benchmark(b, row.format, row.line) }).Extra["cpu-ns/op"])
			}
			nanoseconds = fmt.Sprintf("%.0f", best)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s |\n", row.name, strings.ReplaceAll(example, "|", `\|`), fieldNames(r.Fields), len(line), nanoseconds)
	}
	fmt.Fprintf(&b, "\nMeasured in processor time on one core of %s, the best of seven; none allocates.\n", processorName())
	return b.String()
}

// fieldNames names a set of fields; the cookie's is that there was one.
func fieldNames(f schemas.Fields) string {
	var names []string
	for i, name := range []string{"site", "referer", "user_agent", "accept_language", "accept_encoding", "tls", "cookie", "duration", "upstream_duration", "action", "request_id", "cache_status", "extra"} {
		if f.Has(1 << i) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func processorName() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, found := strings.Cut(string(text), "model name\t: "); found {
		name, _, _ := strings.Cut(rest, "\n")
		return name
	}
	return runtime.GOARCH
}
