package accesslog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// readLines gives the lines of a log, gzipped or not, of the test data.
func readLines(t *testing.T, name string) [][]byte {
	dir := os.Getenv("WEIR_TESTDATA")
	if dir == "" {
		t.Skip("WEIR_TESTDATA is not set")
	}
	file, err := os.Open(filepath.Join(dir, "logs", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var plain io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		if plain, err = gzip.NewReader(file); err != nil {
			t.Fatal(err)
		}
	}
	var lines [][]byte
	scanner := bufio.NewScanner(plain)
	for scanner.Buffer(nil, MaxLine); scanner.Scan(); {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	if scanner.Err() != nil {
		t.Fatal(scanner.Err())
	}
	return lines
}

func TestRealLogs(t *testing.T) {
	for name, want := range map[string]struct {
		format                   Format
		lines, refused, messages int
	}{
		"elastic_apache_2015.log.gz": {Combined, 10000, 1, 0}, // one line breaks off in its agent
		"zanbil_sample_2019.log.gz":  {Combined, 1000, 0, 0},
		"ddos_http2_2023.log.gz":     {Combined, 858, 0, 0},
		"haproxy.log":                {HAProxy, 17, 0, 4},
		"caddy.json.log":             {Caddy, 39, 0, 35},
	} {
		t.Run(name, func(t *testing.T) {
			lines := readLines(t, name)
			if format, share := Detect(lines); format != want.format || share < 0.99 {
				t.Errorf("found %s with a share of %g", format, share)
			}
			var reasons [NumReasons]int
			parser, r := New(want.format), schemas.Request{}
			for _, line := range lines {
				reason := parser.Parse(line, &r)
				if reasons[reason]++; reason != None && reasons[reason] < 4 {
					t.Logf("%s: %s", reason, line)
				}
			}
			if len(lines) != want.lines || len(lines)-reasons[None]-reasons[Message] != want.refused || reasons[Message] != want.messages {
				t.Errorf("%d lines, by reason %v; want %+v", len(lines), reasons, want)
			}
		})
	}
}
