package accesslog

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-project/weir/schemas"
)

// The oracles are slow and written another way: a regular expression and the
// standard library's JSON. Escapes and request lines are left to tables.

var oracleCombined = regexp.MustCompile(`(?s)^((?:[^ ]*, )*[^ ]*) (?:[^ "]|\\.)+ (?:(?:[^"]|\\.)* )?(?: ?)\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] ` +
	`"((?:[^"\\]|\\.)*)" (\d{1,3}|-) (\d{1,18}|-) (?:"((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"(?: |$)|- -$)`)

func FuzzCombined(f *testing.F) {
	for _, seed := range []string{
		`192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a/b?c=d&e HTTP/1.1" 200 2326 "http://x.org/" "Mozilla/5.0 (X11)" "-"`,
		`::1 - me too [17/May/2015:10:05:03 -0730] "\x16\x03" 400 - "-" "a \"b\" \\"`,
		`192.0.2.7 - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 - -`,
		`1.1.1.1, ::2, 192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "-"`,
		`192.0.2.7 -  [29/Feb/2016:23:59:60 +0000] "" 499 0 "" ""`,
	} {
		f.Add([]byte(seed))
	}
	parser := New(Combined)
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		var r schemas.Request
		reason := parser.Parse(line, &r)
		if !bytes.Equal(before, line) {
			t.Fatal("the line was written to")
		}
		if reason != None {
			return
		}
		m := oracleCombined.FindSubmatch(bytes.TrimSuffix(line, []byte("\r")))
		if m == nil {
			t.Fatalf("taken, but not by the oracle: %+v", plainOf(&r))
		}
		hop := m[1][bytes.LastIndexByte(m[1], ',')+1:] // of several the last
		addr, err := netip.ParseAddr(strings.Trim(string(hop), " []"))
		if err != nil || addr.WithZone("").Unmap() != r.Client {
			t.Errorf("client %v, want %s", r.Client, m[1])
		}
		if at, err := time.Parse("02/Jan/2006:15:04:05 -0700", string(m[2])); err == nil && at.UnixMilli() != r.Time {
			t.Errorf("time %d, want %s", r.Time, m[2])
		} else if err != nil && !bytes.Contains(m[2], []byte(":60 ")) {
			t.Errorf("time %d of %s: %v", r.Time, m[2], err)
		}
		status, _ := strconv.Atoi(string(m[4]))
		size, _ := strconv.ParseInt(string(m[5]), 10, 64)
		if int(r.Status) != status || r.Bytes != size {
			t.Errorf("status %d, bytes %d, want %s, %s", r.Status, r.Bytes, m[4], m[5])
		}
		for _, c := range []struct{ got, want []byte }{{r.Referer, m[6]}, {r.UserAgent, m[7]}} {
			if want := dashless(c.want); !bytes.Contains(want, []byte{'\\'}) && !bytes.Equal(c.got, want) {
				t.Errorf("%q, want %q", c.got, want)
			}
		}
		if request := dashless(m[3]); !bytes.Contains(request, []byte{'\\'}) && bytes.HasPrefix(request, []byte("GET /")) && bytes.HasSuffix(request, []byte(" HTTP/1.1")) {
			target := string(request[4 : len(request)-9])
			if path, query, _ := strings.Cut(target, "?"); string(r.Path) != path || string(r.Query) != query || string(r.Method) != "GET" {
				t.Errorf("%+v of %q", plainOf(&r), request)
			}
		}
	})
}

// oracleWeir reads a line of weir's format with encoding/json. sure is false
// where the two differ by design.
func oracleWeir(line []byte) (values map[string]string, sure bool) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, false
	}
	values = map[string]string{}
	seen := map[string]bool{}
	for decoder.More() {
		key, err := decoder.Token()
		name, ok := key.(string)
		var raw json.RawMessage
		if err != nil || !ok || decoder.Decode(&raw) != nil || seen[name] {
			return nil, false
		}
		seen[name] = true
		text := string(raw)
		if text == "null" {
			continue
		}
		if raw[0] == '"' && json.Unmarshal(raw, &text) != nil {
			return nil, false
		}
		values[name] = text
	}
	return values, json.Valid(line) && utf8.Valid(line)
}

func FuzzWeir(f *testing.F) {
	f.Add(benchWeir(7))
	f.Add([]byte(`{"client":"::1","time":"2025-05-17T10:05:03.5+01:00","x":[{"a":[]},-1.5e7,true],"uri":"\u002f\ud83d\ude00?\n"}`))
	f.Add([]byte(`{"time":1747476303.123,"client":"192.0.2.7","status":"009","bytes":null,"upstream_duration":"0.1, 0.2 : -"}`))
	parser := New(Weir)
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		var r schemas.Request
		reason := parser.Parse(line, &r)
		if !bytes.Equal(before, line) {
			t.Fatal("the line was written to")
		}
		values, sure := oracleWeir(line)
		if !sure {
			return
		}
		if reason == Syntax && jsonDepth(line) < maxDepth && values["time"] != "" && onlyTexts(line) {
			t.Fatalf("refused: %s", reason)
		}
		if reason != None {
			return
		}
		path, query, _ := strings.Cut(values["uri"], "?")
		want := map[string]string{
			"method": values["method"], "path": path, "query": query, "protocol": values["protocol"], "referer": values["referer"],
			"agent": values["user_agent"], "language": values["accept_language"], "encoding": values["accept_encoding"],
		}
		got := map[string]string{
			"method": string(r.Method), "path": string(r.Path), "query": string(r.Query), "protocol": string(r.Protocol), "referer": string(r.Referer),
			"agent": string(r.UserAgent), "language": string(r.AcceptLanguage), "encoding": string(r.AcceptEncoding),
		}
		if afterScheme([]byte(path)) > 0 {
			want["path"], want["query"] = got["path"], got["query"]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if n, err := strconv.ParseInt(values["bytes"], 10, 64); err == nil && n != r.Bytes {
			t.Errorf("bytes %d, want %d", r.Bytes, n)
		}
		if at, err := time.Parse(time.RFC3339, values["time"]); err == nil && at.UnixMilli() != r.Time {
			t.Errorf("time %d, want %s", r.Time, values["time"])
		}
		if seconds, err := strconv.ParseFloat(values["time"], 64); err == nil && (seconds*1000-float64(r.Time) > 1.001 || seconds*1000-float64(r.Time) < -0.001) {
			t.Errorf("time %d, want %s", r.Time, values["time"])
		}
	})
}

func jsonDepth(line []byte) int {
	return bytes.Count(line, []byte{'['}) + bytes.Count(line, []byte{'{'})
}

// onlyTexts reports whether no known key can hold a value of a wrong kind.
func onlyTexts(line []byte) bool {
	var values map[string]any
	if json.Unmarshal(line, &values) != nil {
		return false
	}
	for _, value := range values {
		if _, text := value.(string); !text && value != nil {
			return false
		}
	}
	return true
}

// FuzzForget reads one line after another: what a parser learned from the first must
// not show in what it says of the second.
func FuzzForget(f *testing.F) {
	formats := []Format{Weir, Combined, VhostCombined, Common, Caddy, Traefik, TraefikJSON, HAProxy, benchJSONFormat, benchNginxFormat, benchApacheFormat}
	for i, line := range [][]byte{benchWeir(1), benchCombined(1), append([]byte("x.org "), benchCombined(1)...), benchCombined(2), benchCaddy(1), benchTraefik(1), benchTraefikJSON(1), benchHAProxy(1), benchNginxJSON(1), benchNginx(1), benchApache(1)} {
		f.Add(uint8(i), line, bytes.ReplaceAll(line, []byte(`":`), []byte(`" : `)))
		f.Add(uint8(i), line, bytes.ReplaceAll(line, []byte(`":"`), []byte(`":`)))
	}
	f.Fuzz(func(t *testing.T, n uint8, first, second []byte) {
		format := formats[int(n)%len(formats)]
		parser := New(format)
		var got, want schemas.Request
		parser.Parse(first, &got)
		reason := New(format).Parse(second, &want)
		if again := parser.Parse(second, &got); again != reason {
			t.Fatalf("%s: %s after another line, %s alone", format, again, reason)
		}
		if diff := cmp.Diff(plainOf(&want), plainOf(&got)); reason == None && diff != "" {
			t.Error(diff)
		}
	})
}
