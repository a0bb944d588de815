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

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// parseUnharmed parses, and fails where the line was written to.
func parseUnharmed(t *testing.T, parser Parser, line []byte, r *schemas.Request) Reason {
	before := bytes.Clone(line)
	reason := parser.Parse(line, r)
	if !bytes.Equal(before, line) {
		t.Fatal("the line was written to")
	}
	return reason
}

func sameAddress(t *testing.T, got netip.Addr, want []byte) {
	addr, err := netip.ParseAddr(strings.Trim(string(want), "[]"))
	if err != nil || addr.WithZone("").Unmap() != got {
		t.Errorf("client %v, want %s", got, want)
	}
}

var oracleHAProxy = regexp.MustCompile(`(?s)^(?:.* )?([^ ]*):\d+ \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] [^ ]+ [^ ]+ ` +
	`(?:-1|\+?\d{1,12})/(?:-1|\+?\d{1,12})/(?:-1|\+?\d{1,12})/(-1|\+?\d{1,12})/(-1|\+?\d{1,12}) (-1|\+?\d{1,12}) (-1|\+?\d{1,12}) (?:.*[\d}] )?"([^"]*)"?$`)

func FuzzHAProxy(f *testing.F) {
	f.Add([]byte(haproxyFace + `{a|b} {} "GET /a#22?b HTTP/1.1"`))
	f.Add([]byte("May 17 10:05:03 lb haproxy[7]: " + haproxyFace + `"<BADREQ>"` + "\r"))
	f.Add([]byte("<1> x [17/May/2015:10:05:03.100]  ::1:2 [29/Feb/2016:23:59:60.999] a b -1/+1/2/3/4 200 5 a=\"b - ---- 0/0 \"GET /"))
	parser := New(HAProxy)
	inUTC(parser)
	f.Fuzz(func(t *testing.T, line []byte) {
		var r schemas.Request
		if parseUnharmed(t, parser, line, &r) != None {
			return
		}
		m := oracleHAProxy.FindSubmatch(bytes.TrimSuffix(line, []byte("\r")))
		if m == nil {
			t.Fatalf("taken, but not by the oracle: %+v", plainOf(&r))
		}
		if first := regexp.MustCompile(` \[..[/]...[/].{16}\] `).FindIndex(line); first != nil && !bytes.Contains(line[first[1]-1:], []byte(" [")) {
			sameAddress(t, r.Client, m[1])
			took := toNumber(m[4])
			if at, err := time.Parse("02/Jan/2006:15:04:05.000", string(m[2])); err == nil && at.UnixMilli()+took != r.Time {
				t.Errorf("time %d, want %s and %d", r.Time, m[2], took)
			}
			if r.Duration != took*1000 || r.UpstreamDuration != toNumber(m[3])*1000 || int64(r.Status) != toNumber(m[5]) || r.Bytes != toNumber(m[6]) {
				t.Errorf("%+v of %q", plainOf(&r), m[1:])
			}
		}
		request := string(m[7])
		if strings.HasPrefix(request, "GET /") && strings.HasSuffix(request, " HTTP/1.1") && !strings.Contains(request, "#") {
			if path, query, _ := strings.Cut(request[4:len(request)-9], "?"); string(r.Path) != path || string(r.Query) != query || string(r.Method) != "GET" {
				t.Errorf("%+v of %q", plainOf(&r), request)
			}
		}
	})
}

// toNumber is HAProxy's number; -1 is none.
func toNumber(text []byte) int64 {
	n, _ := strconv.ParseInt(strings.TrimPrefix(string(text), "+"), 10, 64)
	return max(n, 0)
}

// oracleCaddy is a line of Caddy's, by encoding/json.
type oracleCaddy struct {
	Msg     string
	Size    *json.Number
	Status  *json.Number
	Request struct {
		Client  string `json:"client_ip"`
		Method  string
		Proto   string
		Host    string
		URI     string
		Headers map[string][]string
	}
}

func FuzzCaddy(f *testing.F) {
	f.Add([]byte(caddyFront + caddyBehind))
	f.Add([]byte(caddyFront + `,"headers":{"Cookie":["REDACTED"],"Referer":["\"\u00e9"],"Authorization":[],"User-Agent":["a","b"]},"tls":{"version":772,"cipher_suite":4865}` + caddyBehind))
	f.Add([]byte(`{"ts":1.5,"msg":"x"}`))
	parser := New(Caddy)
	f.Fuzz(func(t *testing.T, line []byte) {
		var r schemas.Request
		if parseUnharmed(t, parser, line, &r) != None || !utf8.Valid(line) || repeated(line) {
			return
		}
		if !json.Valid(line) {
			if regexp.MustCompile(`[^0-9.eE+]-?0[0-9]`).Match(line) {
				return // leading zeros are let through, by design
			}
			t.Fatal("taken, but no JSON")
		}
		var want oracleCaddy
		if json.Unmarshal(line, &want) != nil {
			return
		}
		if want.Msg != "handled request" {
			t.Fatalf("taken with the message %q", want.Msg)
		}
		q := &want.Request
		if q.Client != "" {
			sameAddress(t, r.Client, []byte(q.Client))
		}
		path, query, _ := strings.Cut(q.URI, "?")
		if string(r.Method) != q.Method || string(r.Protocol) != q.Proto || strings.HasPrefix(path, "/") && (string(r.Path) != path || string(r.Query) != query) {
			t.Errorf("%+v, want %+v", plainOf(&r), want)
		}
		for name, got := range map[string][]byte{"Referer": r.Referer, "User-Agent": r.UserAgent, "Accept-Language": r.AcceptLanguage, "Accept-Encoding": r.AcceptEncoding} {
			if values := q.Headers[name]; len(values) > 0 && string(got) != values[0] || len(values) == 0 && len(got) > 0 {
				t.Errorf("%s is %q, want %q", name, got, values)
			}
		}
	})
}

// repeated reports whether a key may stand twice, or in another case than Caddy's,
// or escaped: encoding/json takes these differently.
func repeated(line []byte) bool {
	lower := bytes.ToLower(line)
	for _, name := range []string{"msg", "size", "status", "request", "client_ip", "method", "proto", "host", "uri", "headers", "referer", "user-agent", "accept-language", "accept-encoding"} {
		if !strings.Contains(name, "-") && name != "referer" && bytes.Count(lower, []byte(name)) != bytes.Count(line, []byte(name)) {
			return true
		}
		if most := map[string]int{"request": 2}[name]; bytes.Count(lower, []byte(name)) > max(most, 1) {
			return true
		}
	}
	return bytes.Contains(lower, []byte(`\u00`)) || bytes.Contains(line, []byte("null"))
}

func FuzzTraefik(f *testing.F) {
	f.Add(benchTraefik(7))
	f.Add([]byte(`::1 - a b [17/May/2015:10:05:03 +0000] "- - -" - - "-" "a\"b\\" 7 "-" "-" 12ms`))
	oracle := regexp.MustCompile(`(?s) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" (?:\d{1,18}|-) "[^"]*" "[^"]*" (\d{1,18}|-)ms$`)
	parser := New(Traefik)
	f.Fuzz(func(t *testing.T, line []byte) {
		var r schemas.Request
		if parseUnharmed(t, parser, line, &r) != None {
			return
		}
		m := oracle.FindSubmatch(bytes.TrimSuffix(line, []byte("\r")))
		if m == nil {
			t.Fatalf("taken, but not by the oracle: %+v", plainOf(&r))
		}
		for i, got := range [][]byte{r.Referer, r.UserAgent} {
			if want := strings.ReplaceAll(string(dashless(m[1+i])), `\"`, `"`); want != string(got) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		if n, _ := strconv.ParseInt(string(m[3]), 10, 64); n*1000 != r.Duration {
			t.Errorf("duration %d, want %s ms", r.Duration, m[3])
		}
	})
}

// FuzzCustom reads any line by nginx's example format, with an expression that a
// person would write for it as the oracle.
func FuzzCustom(f *testing.F) {
	f.Add([]byte(`192.0.2.7 - jo - hn [17/May/2015:10:05:03 +0000] "GET /a?b=\x22 HTTP/1.1" 200 5 "-" "a \x22b\x22" "1.1.1.1, 2.2.2.2"`))
	f.Add([]byte("::1 -  [29/Feb/2016:23:59:59 -0330] \"\" - - \"\" \"\" \"\"\r"))
	oracle := regexp.MustCompile(`(?s)^((?:[^ ]*, )*[^ ]*) - (.*) \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:[^"\\]|\\.)*)" (\d{1,3}|-)? (\d{1,18}|-)? "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" "(?:[^"\\]|\\.)*"$`)
	format, err := ByName(nginxMain)
	if err != nil {
		f.Fatal(err)
	}
	parser := New(format)
	f.Fuzz(func(t *testing.T, line []byte) {
		var r schemas.Request
		if parseUnharmed(t, parser, line, &r) != None {
			return
		}
		m := oracle.FindSubmatch(bytes.TrimSuffix(line, []byte("\r")))
		if m == nil {
			t.Fatalf("taken, but not by the oracle: %+v", plainOf(&r))
		}
		sameAddress(t, r.Client, bytes.TrimLeft(m[1][bytes.LastIndexByte(m[1], ',')+1:], " ")) // of several the last
		if at, err := time.Parse("02/Jan/2006:15:04:05 -0700", string(m[3])); err == nil && at.UnixMilli() != r.Time {
			t.Errorf("time %d, want %s", r.Time, m[3])
		}
		status, _ := strconv.Atoi(string(m[5]))
		size, _ := strconv.ParseInt(string(m[6]), 10, 64)
		if int(r.Status) != status || r.Bytes != size {
			t.Errorf("status %d, bytes %d, want %s, %s", r.Status, r.Bytes, m[5], m[6])
		}
		for i, got := range [][]byte{r.Referer, r.UserAgent} {
			if want := dashless(m[7+i]); !bytes.Contains(want, []byte{'\\'}) && !bytes.Equal(want, got) {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}

// FuzzFormatText compiles any text; what compiles must read any line without harm.
func FuzzFormatText(f *testing.F) {
	f.Add(nginxMain, []byte("x"))
	f.Add(benchApacheFormat, benchApache(3))
	f.Add(`%{%d/%b/%Y %T}t.%{usec_frac}t %{%z}t %a %U%q`, []byte("17/May/2015 10:05:03.000000 +0000 ::1 /a?b"))
	f.Add(`$upstream_addr$uri $upstream_addr $msec $remote_addr`, []byte("/a , : 1 ::1"))
	f.Fuzz(func(t *testing.T, text string, line []byte) {
		format, err := ByName(text)
		if err != nil {
			return
		}
		if again, err := ByName(format.String()); err != nil || again != format {
			t.Fatalf("%q becomes %q: %v", format, again, err)
		}
		var r schemas.Request
		parseUnharmed(t, New(format), line, &r)
	})
}

// Whatever nginx's variables hold, its line gives them back: all formats that
// quote what clients send do so always; others, or a refusal.
func TestCustomGivesBack(t *testing.T) {
	for _, c := range []struct {
		text   string
		always bool
	}{
		{`$remote_addr - $remote_user [$time_local] "$request_uri" $status "$http_referer" "$http_user_agent"`, true},
		{`escape=json '{"a":"$remote_addr","t":"$time_local","u":"$request_uri","s":$status,"r":"$http_referer","ua":"$http_user_agent"}'`, true},
		{"$remote_addr\t$time_local\t$request_uri\t$status\t$http_referer\t$http_user_agent", true},
		{`$remote_addr $time_local $status $request_uri | $http_referer | $http_user_agent`, false},
		{`escape=none '"$http_user_agent" "$http_referer" $remote_addr [$time_local] $status "$request_uri"'`, false},
		{`$http_user_agent $remote_addr $time_local $status $http_referer $request_uri`, false},
	} {
		parser := New(mustFormat(t, c.text))
		rapid.Check(t, func(t *rapid.T) {
			text := rapid.Custom(func(t *rapid.T) string {
				parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", " ", "\"", "\\", "|", " | ", "\t", "\x00", "é", "\xff", "[", "200", "192.0.2.9", "x22", "17/May/2016:10:05:03 +0000"}), 1, 12).Draw(t, "parts")
				return strings.Join(parts, "")
			})
			values := map[string]string{"remote_addr": "192.0.2.7", "time_local": "17/May/2015:10:05:03 +0000", "status": "404", "remote_user": "x" + text.Draw(t, "user"),
				"request_uri": "/" + text.Draw(t, "uri"), "http_referer": "x" + text.Draw(t, "referer"), "http_user_agent": "x" + text.Draw(t, "agent") + "."}
			line := nginxLine(c.text, values)
			if strings.HasSuffix(line, "\r") {
				return
			}
			var r schemas.Request
			reason := parser.Parse([]byte(line), &r)
			if reason != None {
				if c.always {
					t.Fatalf("%q: refused: %s", line, reason)
				}
				return
			}
			if r.Client != netip.MustParseAddr("192.0.2.7") || r.Status != 404 || r.Time != 1431857103000 {
				t.Fatalf("%q: %+v", line, plainOf(&r))
			}
			if c.always && (string(r.Path) != values["request_uri"] || string(r.Referer) != values["http_referer"] || string(r.UserAgent) != values["http_user_agent"]) {
				t.Fatalf("%q: %+v", line, plainOf(&r))
			}
		})
	}
}

// FuzzTraefikJSON holds lines to encoding/json.
func FuzzTraefikJSON(f *testing.F) {
	f.Add(benchTraefikJSON(7))
	f.Add([]byte(traefikJSON + `"RequestScheme":"http","RouterName":null,"OriginStatus":404,"request_X-A":"\u0001","request_Accept":"*/*","downstream_X-Cache":"HIT"}`))
	f.Add([]byte(`{"ClientHost":"1.1.1.1, ::1","time":"2025-05-17T10:05:03+02:00","DownstreamStatus":"200"}`))
	parser := New(TraefikJSON)
	f.Fuzz(func(t *testing.T, line []byte) {
		var r schemas.Request
		reason := parseUnharmed(t, parser, line, &r)
		values, sure := oracleWeir(line)
		if reason != None || !sure {
			return
		}
		hops := strings.Split(values["ClientHost"], ",")
		sameAddress(t, r.Client, []byte(strings.TrimLeft(hops[len(hops)-1], " ")))
		for _, c := range []struct{ got, want string }{
			{string(r.Method), values["RequestMethod"]}, {string(r.Protocol), values["RequestProtocol"]}, {string(r.Referer), values["request_Referer"]},
			{string(r.UserAgent), values["request_User-Agent"]}, {string(r.AcceptLanguage), values["request_Accept-Language"]},
		} {
			if c.got != c.want {
				t.Errorf("%q, want %q", c.got, c.want)
			}
		}
		if n, err := strconv.ParseInt(values["Duration"], 10, 64); err == nil && r.Duration != n/1000 {
			t.Errorf("duration %d, want %d ns", r.Duration, n)
		}
		if at, err := time.Parse(time.RFC3339, values["StartUTC"]); err == nil && r.Time != at.UnixMilli()+r.Duration/1000 {
			t.Errorf("time %d, want %s and %d", r.Time, values["StartUTC"], r.Duration)
		}
		for pair := range strings.SplitSeq(string(r.Extra), "\t") {
			name, value, _ := strings.Cut(pair, "=")
			if strings.HasPrefix(name, "http_") && value == "" || len(pair) > 0 && name == "" {
				t.Errorf("%q in %q", pair, r.Extra)
			}
		}
	})
}
