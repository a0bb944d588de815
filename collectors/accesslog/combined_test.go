package accesslog

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-project/weir/schemas"
)

// plainRequest is a Request that can be compared and printed.
type plainRequest struct {
	Time                                                     string
	Client, Site, Method, Path, Query, Protocol, Referer, UA string
	Language, Encoding, TLS, Action, Decision, ID            string
	Status                                                   uint16
	Bytes, Duration, Upstream                                int64
	Cookie                                                   schemas.Cookie
	Fields                                                   schemas.Fields
	Cache, Extra, ForwardedFor, Forwarded                    string
}

func plainOf(r *schemas.Request) plainRequest {
	return plainRequest{
		time.UnixMilli(r.Time).UTC().Format("2006-01-02T15:04:05.000Z"),
		r.Client.String(), string(r.Site), string(r.Method), string(r.Path), string(r.Query), string(r.Protocol), string(r.Referer), string(r.UserAgent),
		string(r.AcceptLanguage), string(r.AcceptEncoding), string(r.TLS), string(r.Action), string(r.Decision), string(r.RequestID),
		r.Status, r.Bytes, r.Duration, r.UpstreamDuration, r.Cookie, r.Fields,
		string(r.CacheStatus), string(r.Extra), string(r.ForwardedFor), string(r.Forwarded),
	}
}

const refererAndAgent = schemas.FieldReferer | schemas.FieldUserAgent

func TestCombined(t *testing.T) {
	at := "2015-05-17T10:05:03.000Z"
	type want = plainRequest
	front := "192.0.2.7 - - [17/May/2015:10:05:03 +0000] "
	for name, c := range map[string]struct {
		format Format
		line   string
		want   want
	}{
		"plain": {Combined, front + `"GET /a/b?c=d&e HTTP/1.1" 200 2326 "http://x.org/" "Mozilla/5.0 (X11)"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/a/b", Query: "c=d&e", Protocol: "HTTP/1.1", Status: 200, Bytes: 2326, Referer: "http://x.org/", UA: "Mozilla/5.0 (X11)"}},
		"dashes": {Combined, front + `"GET / HTTP/2.0" - - "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/2.0"}},
		"empty fields": {Combined, front + `"" 400 0 "" ""`, want{Time: at, Client: "192.0.2.7", Status: 400}},
		"no request":   {Combined, front + `"-" 408 - "-" "-"`, want{Time: at, Client: "192.0.2.7", Status: 408}},
		"a zone hides no address": {Combined, "2001:db8::1%x, 203.0.113.9" + front[len("192.0.2.7"):] + `"GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "203.0.113.9", ForwardedFor: "2001:db8::1%x", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"extra fields": {Combined, front + `"GET / HTTP/1.1" 200 1 "r" "a" "198.51.100.3, 10.0.0.1" 0.003 -` + "\r",
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1, Referer: "r", UA: "a"}},
		"extra fields with names": {Combined, front + `"GET / HTTP/1.1" 200 1 "r" "a" rt=0.017 uct="0.000" urt="0.011, 0.012" x=" y"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1, Referer: "r", UA: "a"}},
		"TLS bytes": {Combined, front + `"\x16\x03\x01\x02\x00 \x01" 400 157 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Path: "\x16\x03\x01\x02\x00 \x01", Status: 400, Bytes: 157}},
		"nginx escapes": {Combined, front + `"GET /\x22\xD0\x9F?\x5C HTTP/1.1" 404 1 "\x22" "a\x5Cb\x22 \x22c\x22"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/\"П", Query: `\`, Protocol: "HTTP/1.1", Status: 404, Bytes: 1, Referer: `"`, UA: `a\b" "c"`}},
		"Apache escapes": {Combined, front + `"GET /\"x\" HTTP/1.1" 404 1 "\\" "say \"hi\"\t\"` + `"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: `/"x"`, Protocol: "HTTP/1.1", Status: 404, Bytes: 1, Referer: `\`, UA: "say \"hi\"\t\""}},
		"user with spaces and quotes": {Combined, `192.0.2.7 - [01/Jan/2001:00:00:00 +0000] \"me\" [17/May/2015:13:35:03 +0330] "GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"west": {Combined, `192.0.2.7 - - [16/May/2015:23:35:03 -1030] "GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"IPv6": {Combined, `2001:DB8::7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "2001:db8::7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"IPv6 with brackets and zone": {Combined, `[fe80::1%eth0] - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "fe80::1", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"mapped": {Combined, `::ffff:192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"several addresses": {Combined, `6.6.6.6, 192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1, ForwardedFor: "6.6.6.6"}},
		"several addresses, one escaped": {Combined, `\x22,::1, 192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1, ForwardedFor: `",::1`}},
		"absolute URI": {Combined, front + `"GET HTTP://X.org:80/a?b HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/a", Query: "b", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"absolute URI without path": {Combined, front + `"GET https://x.org?b HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Query: "b", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"CONNECT": {Combined, front + `"CONNECT x.org:443 HTTP/1.1" 405 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "CONNECT", Path: "x.org:443", Protocol: "HTTP/1.1", Status: 405, Bytes: 1}},
		"asterisk": {Combined, front + `"OPTIONS * HTTP/1.0" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "OPTIONS", Path: "*", Protocol: "HTTP/1.0", Status: 200, Bytes: 1}},
		"no protocol": {Combined, front + `"GET /a b" 400 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/a b", Status: 400, Bytes: 1}},
		"spaces in the target": {Combined, front + `"GET /a b?c d HTTP/1.1" 400 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/a b", Query: "c d", Protocol: "HTTP/1.1", Status: 400, Bytes: 1}},
		"not HTTP": {Combined, front + `"hello my friend" 400 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Path: "hello my friend", Status: 400, Bytes: 1}},
		"no target": {Combined, front + `"GET  HTTP/1.1" 400 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Path: "GET  HTTP/1.1", Status: 400, Bytes: 1}},
		"invalid UTF-8": {Combined, front + "\"GET /\xff HTTP/1.1\" 400 1 \"-\" \"\x00\xfe\"",
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/\xff", Protocol: "HTTP/1.1", Status: 400, Bytes: 1, UA: "\x00\xfe"}},
		"common": {Common, `127.0.0.1 bob frank [17/May/2015:03:05:03 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326`,
			want{Time: at, Client: "127.0.0.1", Method: "GET", Path: "/apache_pb.gif", Protocol: "HTTP/1.0", Status: 200, Bytes: 2326}},
		"host and port": {VhostCombined, `WWW.X.org.:443 ` + front + `"GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Site: "www.x.org", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"host alone": {VhostCombined, `x.org ` + front + `"GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Site: "x.org", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
		"host in IPv6": {VhostCombined, `[2001:DB8::1]:80 ` + front + `"GET / HTTP/1.1" 200 1 "-" "-"`,
			want{Time: at, Client: "192.0.2.7", Site: "[2001:db8::1]", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Fields = map[Format]schemas.Fields{Combined: refererAndAgent, VhostCombined: refererAndAgent | schemas.FieldSite}[c.format]
			var r schemas.Request
			if reason := New(c.format).Parse([]byte(c.line), &r); reason != None {
				t.Fatalf("refused: %s", reason)
			}
			if diff := cmp.Diff(c.want, plainOf(&r)); diff != "" {
				t.Error(diff)
			}
			if format, share := Detect([][]byte{[]byte(c.line)}); format != c.format || share != 1 {
				t.Errorf("found %s, %g", format, share)
			}
		})
	}
}

func TestCombinedRefuses(t *testing.T) {
	front, request := "192.0.2.7 - - [17/May/2015:10:05:03 +0000] ", `"GET / HTTP/1.1" `
	for line, want := range map[string]Reason{
		"":                            Empty,
		" \t\r":                       Empty,
		"- - - - - - -":               Syntax,
		`- - - [-] "-" -`:             Syntax,
		front:                         Syntax,
		front + request + `200 1`:     Syntax,
		front + request + `200 1 "-"`: Syntax,
		front + request + `200 1 "-" "agent that breaks of`:                                    Syntax,
		front + request + `200 1 "-" "a" b" c"`:                                                Syntax,
		front + request + `200 1 "-" "a"b"`:                                                    Syntax,
		front + request + `200 1 "-" "a" b ="c"`:                                               Syntax,
		front + request + `200 1 "-" "a" (b)="c"`:                                              Syntax,
		front + request + `200 1 "-" "a" b="c"d`:                                               Syntax,
		front + request + `200 1 "-" "a" b="c`:                                                 Syntax,
		front + request + `200 1 "-" "a \"`:                                                    Syntax,
		front + request + `0200 1 "-" "-"`:                                                     Number,
		front + request + `2000 1 "-" "-"`:                                                     Number,
		front + request + `200 99999999999999999999 "-" "-"`:                                   Number,
		front + request + `200 -1 "-" "-"`:                                                     Number,
		front + request + `OK 1 "-" "-"`:                                                       Number,
		"\x00\x00" + front + request + `200 1 "-" "-"`:                                         Client,
		`x.org - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:                  Client,
		`::1%,000 - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:               Client,
		`192.0.2.7, x - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:           Client,
		`192.0.2.7, [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:                 Syntax,
		`192.0.2.256 - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:            Client,
		`192.0.02.6 - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:             Client,
		`192.0.2 - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:                Client,
		`1.2.3.4.5 - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:              Client,
		`unix: - - [17/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:                  Client,
		`192.0.2.7 - - [31/Apr/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:              Time,
		`192.0.2.7 - - [29/Feb/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:              Time,
		`192.0.2.7 - - [00/May/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:              Time,
		`192.0.2.7 - - [17/Mai/2015:10:05:03 +0000] ` + request + `200 1 "-" "-"`:              Time,
		`192.0.2.7 - - [17/May/2015:24:05:03 +0000] ` + request + `200 1 "-" "-"`:              Time,
		`192.0.2.7 - - [17/May/2015:10:05:03 *0000] ` + request + `200 1 "-" "-"`:              Time,
		`192.0.2.7 - - [17/May/1915:10:05:03 +0000] ` + request + `200 1 "-" "-"`:              Time,
		`192.0.2.7 - - [` + strings.Repeat("\x00", 26) + `] ` + request + `200 1 "-" "-"`:      Time,
		`192.0.2.7 - - [17/May/2015:10:05:03.123 +0000] ` + request + `200 1 "-" "-"`:          Syntax,
		front + `"` + strings.Repeat("x", MaxLine) + `" 200 1 "-" "-"`:                         TooLong,
		`[Thu Oct 13 12:24:49.880562 2022] [auth_basic:error] [pid 10] AH01618: user "x": "/"`: Syntax,
	} {
		var r schemas.Request
		if got := New(Combined).Parse([]byte(line), &r); got != want {
			t.Errorf("%.200q: %s, want %s", line, got, want)
		}
	}
}

// The parser remembers the last time; whatever comes in between, every line must
// get its own.
func TestCombinedTimes(t *testing.T) {
	parser := New(Combined)
	begin := time.Date(1999, 12, 30, 22, 59, 58, 0, time.UTC)
	for i, step := range []time.Duration{0, time.Second, 3 * time.Second, -2 * time.Second, 24 * time.Hour, time.Hour, 366 * 24 * time.Hour, -time.Hour} {
		for _, zone := range []int{0, 3600, -5 * 3600, 12600} {
			begin = begin.Add(step)
			at := begin.In(time.FixedZone("", zone))
			line := fmt.Sprintf(`192.0.2.7 - - [%s] "GET / HTTP/1.1" 200 1 "-" "-"`, at.Format("02/Jan/2006:15:04:05 -0700"))
			var r schemas.Request
			if reason := parser.Parse([]byte(line), &r); reason != None || r.Time != begin.UnixMilli() {
				t.Errorf("step %d: %s is %d (%s), want %d", i, line, r.Time, reason, begin.UnixMilli())
			}
			parser.Parse([]byte(`192.0.2.7 - - [31/Feb/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`), &r)
		}
	}
}

func TestAddressIsNetip(t *testing.T) {
	for _, text := range []string{"0.0.0.0", "255.255.255.255", "1.2.3", "1.2.3.4.", ".1.2.3", "1..2.3", "1.2.3.04", "256.1.1.1", "1.2.3.1000", "::", "::1", "1::2::3", "a:b", "", "1", "::ffff:1.2.3.4", "1.2.3.4:80", "fe80::1%", "%eth0", "fe80::1%25"} {
		want, err := netip.ParseAddr(text)
		got, ok := parseAddress([]byte(text))
		if ok != (err == nil) || got != want.WithZone("").Unmap() {
			t.Errorf("%q: %v %t, want %v %v", text, got, ok, want, err)
		}
	}
}

func TestByName(t *testing.T) {
	for _, name := range Names() {
		if format, err := ByName(name); err != nil || format.String() != name {
			t.Errorf("%s: %s, %v", name, format, err)
		}
	}
	_, err := ByName("combine")
	if err == nil || err.Error() != `log format "combine" is not known: want one of auto, weir, combined, vhost_combined, common, caddy, traefik, traefik_json, haproxy, or the text of an nginx log_format or an Apache LogFormat` {
		t.Error(err)
	}
}
