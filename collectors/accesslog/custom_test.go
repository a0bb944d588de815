package accesslog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-project/weir/schemas"
)

const nginxMain = `log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                      '$status $body_bytes_sent "$http_referer" '
                      '"$http_user_agent" "$http_x_forwarded_for"';`

// TestCustom reads one line of each of many formats.
func TestCustom(t *testing.T) {
	const at = "2015-05-17T10:05:03.000Z"
	type want = plainRequest
	for name, c := range map[string]struct {
		format, line string
		want         want
	}{
		"nginx's example": {nginxMain,
			`192.0.2.7 - jo "hn [x] [17/May/2015:10:05:03 +0000] "GET /a?b=\x22 HTTP/1.1" 200 5 "-" "a \x22b\x22" "1.1.1.1, 2.2.2.2"`, want{}},
		"nginx's example, user with spaces": {nginxMain,
			`192.0.2.7 - jo hn [x] [17/May/2015:10:05:03 +0000] "GET /a?b=\x22 HTTP/1.1" 200 5 "-" "a \x22b\x22" "1.1.1.1, 2.2.2.2"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/a", Query: `b="`, Protocol: "HTTP/1.1", Status: 200, Bytes: 5, UA: `a "b"`, Fields: refererAndAgent | schemas.FieldExtra, Extra: "remote_user=jo hn [x]", ForwardedFor: "1.1.1.1, 2.2.2.2"}},
		"several upstreams": {`$remote_addr [$time_local] $upstream_addr $upstream_response_time $request_time "$request" $upstream_status $status`,
			`192.0.2.7 [17/May/2015:10:05:03 +0000] 10.0.0.1:80, 10.0.0.2:80 : unix:/x 0.100, 0.200 : - 0.301 "GET / HTTP/1.1" 502, 200 : 200 200`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Duration: 301000, Upstream: 300000, Fields: schemas.FieldDuration | schemas.FieldUpstreamDuration | schemas.FieldExtra,
				Extra: "upstream_addr=10.0.0.1:80, 10.0.0.2:80 : unix:/x\tupstream_status=502, 200 : 200"}},
		"several upstreams, from the right": {`$http_x $remote_addr [$time_local] $upstream_response_time $request_time $status $request_uri`,
			`a b 192.0.2.7 [17/May/2015:10:05:03 +0000] 0.100, 0.200 : - 0.301 200 /x`, want{}},
		"unquoted between": {`$remote_addr $msec $request_uri $http_user_agent $upstream_response_time $request_time $status`,
			`192.0.2.7 1431857103.250 /a?b Mozilla/5.0 (x) 5 0.1, 0.2 : 0.3 0.7 404`,
			want{Time: "2015-05-17T10:05:03.250Z", Client: "192.0.2.7", Path: "/a", Query: "b", UA: "Mozilla/5.0 (x) 5", Status: 404, Duration: 700000, Upstream: 600000, Fields: schemas.FieldUserAgent | schemas.FieldDuration | schemas.FieldUpstreamDuration}},
		"nginx JSON": {`log_format j escape=json '{"t":"$time_iso8601","ip":"$remote_addr","h":"$host","r":"$request","s":$status,"b":$body_bytes_sent,"ua":"$http_user_agent","ref":"$http_referer",'
			'"tls":"$ssl_protocol","c":"$ssl_cipher","k":"$ssl_curves","l":"$http_accept_language","ck":"$http_cookie","id":"$request_id"}';`,
			`{"t":"2015-05-17T12:05:03+02:00","ip":"192.0.2.7","h":"x.org","r":"GET /\"a\\ HTTP/1.1","s":200,"b":5,"ua":"a\",\"ref\":\"b\u0001","ref":"","tls":"TLSv1.3","c":"TLS_AES_128_GCM_SHA256","k":"0x1a1a:X25519","l":"-","ck":"","id":"abc"}`,
			want{Time: at, Client: "192.0.2.7", Site: "x.org", Method: "GET", Path: `/"a\`, Protocol: "HTTP/1.1", Status: 200, Bytes: 5, UA: "a\",\"ref\":\"b\x01", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519", Language: "-", Cookie: schemas.CookieNone, ID: "abc",
				Fields: refererAndAgent | schemas.FieldSite | schemas.FieldTLS | schemas.FieldAcceptLanguage | schemas.FieldCookie | schemas.FieldRequestID}},
		"escape=none": {`escape=none '$remote_addr [$time_local] "$request" $status "$http_user_agent"'`,
			`192.0.2.7 [17/May/2015:10:05:03 +0000] "GET /\x22 HTTP/1.1" 200 "a\b é"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: `/\x22`, Protocol: "HTTP/1.1", Status: 200, UA: `a\b é`, Fields: schemas.FieldUserAgent}},
		"tabs": {`'$msec\t$remote_addr\t$scheme://$host$uri$is_args$args\t$status\t$http_user_agent\t$http_referer\t$bytes_sent'`,
			"1431857103.000\t192.0.2.7\thttps://X.org/a b?c=d\t200\ta b\t-\t12",
			want{Time: at, Client: "192.0.2.7", Site: "x.org", Path: "/a b", Query: "c=d", Status: 200, Bytes: 12, UA: "a b", Fields: refererAndAgent | schemas.FieldSite | schemas.FieldExtra, Extra: "scheme=https"}},
		"best of several": {`$time_local|$msec|$server_name|$host|$bytes_sent|$body_bytes_sent|$remote_addr|$realip_remote_addr|$request_method|$uri|$request_uri|"$request"`,
			`17/May/2015:10:05:03 +0000|1431857103.500|_|x.org|7|5|192.0.2.7|10.0.0.1|POST|/index.php|/a|"GET /b HTTP/2.0"`,
			want{Time: "2015-05-17T10:05:03.500Z", Client: "192.0.2.7", Site: "x.org", Method: "GET", Path: "/b", Protocol: "HTTP/2.0", Bytes: 5, Fields: schemas.FieldSite | schemas.FieldExtra, Extra: "server_name=_\tbytes_sent=7\trealip_remote_addr=10.0.0.1"}},
		"braces": {`${remote_addr}x${msec}_ "${request}"`, `192.0.2.7x1431857103_ "GET /"`, want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/"}},
		"Apache combined": {`LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %D" combined`,
			`192.0.2.7 - a b [17/May/2015:10:05:03 +0000] "GET /\"a\\ HTTP/1.1" 200 - "-" "\xc3\xa9 \t" 1500`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: `/"a\`, Protocol: "HTTP/1.1", Status: 200, UA: "é \t", Duration: 1500, Fields: refererAndAgent | schemas.FieldDuration | schemas.FieldExtra, Extra: "remote_user=a b"}},
		"Apache, the inside": {`%v:%p %a %m "%U%q" %H %t %s %O %{ms}T %{Cookie}i`,
			`x.org:443 192.0.2.7 GET "/a?b" HTTP/2.0 [17/May/2015:12:05:03 +0200] 404 77 12 a=b; c=d`,
			want{Time: at, Client: "192.0.2.7", Site: "x.org", Method: "GET", Path: "/a", Query: "b", Protocol: "HTTP/2.0", Status: 404, Bytes: 77, Duration: 12000, Cookie: schemas.CookieSome, Fields: schemas.FieldSite | schemas.FieldDuration | schemas.FieldCookie | schemas.FieldExtra, Extra: "server_port=443"}},
		"Apache, a time in pieces": {`CustomLog "|/usr/bin/rotatelogs log.%Y 86400" "[%{%d/%b/%Y %T}t.%{usec_frac}t %{%z}t] %a \"%r\" %>s" env=!x`,
			`[17/May/2015 12:05:03.250999 +0200] 192.0.2.7 "GET / HTTP/1.0" 200`,
			want{Time: "2015-05-17T10:05:03.250Z", Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.0", Status: 200}},
		"Apache, ISO": {`%{%Y-%m-%dT%H:%M:%S%z}t %a "%r" %T %{SSL_PROTOCOL}x %{SSL_CIPHER}x`, `2015-05-17T06:05:03-0400 192.0.2.7 "-" 2 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256`,
			want{Time: at, Client: "192.0.2.7", TLS: "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256", Duration: 2000000, Fields: schemas.FieldDuration | schemas.FieldTLS}},
		"what has no other place": {`$remote_addr $msec "$request" $upstream_cache_status $scheme "$http_x_app" "$sent_http_x_cache" "$cookie_session" "$http_authorization" "$request_body" "$http_forwarded" "$upstream_addr" "$http_x_request_id" "$my"`,
			`192.0.2.7 1431857103.000 "GET / HTTP/2.0" HIT https "a\x09b=c" "hit, miss" "secret" "secret" "secret" "for=6.6.6.6" "-" "r1" ""`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/2.0", Cache: "HIT", ID: "r1", Forwarded: "for=6.6.6.6",
				Extra:  "scheme=https\thttp_x_app=a b=c\tsent_http_x_cache=hit, miss",
				Fields: schemas.FieldCacheStatus | schemas.FieldExtra | schemas.FieldRequestID}},
		"only behind a proxy": {`"$http_x_forwarded_for" [$time_local] "$request"`, `"6.6.6.6, 192.0.2.7" [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", ForwardedFor: "6.6.6.6"}},
		"the proxy's and all before": {`$proxy_add_x_forwarded_for $time_iso8601 "$request"`, `6.6.6.6, 192.0.2.7 2015-05-17T10:05:03+00:00 "GET / HTTP/1.1"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", ForwardedFor: "6.6.6.6"}},
		"Apache, what has no other place": {`%a %t "%r" %{cache-status}e %{X-Forwarded-For}i "%{X-Cache}o" %p %{Authorization}i %{sid}C %{GEOIP}e %X "%{Sec-Fetch-Mode}i"`,
			`192.0.2.7 [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" hit 1.1.1.1 "HIT" 443 secret secret DE + "navigate"`,
			want{Time: at, Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Cache: "hit", ForwardedFor: "1.1.1.1",
				Extra: "sent_http_x_cache=HIT\tserver_port=443\tconnection_status=+\tgeoip=DE\thttp_sec_fetch_mode=navigate", Fields: schemas.FieldCacheStatus | schemas.FieldExtra}},
		"Apache, microseconds": {`%{usec}t %a %q "%U" 100%% %400{Referer}i`, `1431857103000123 192.0.2.7 ?x=y "/a" 100% -`,
			want{Time: at, Client: "192.0.2.7", Path: "/a", Query: "x=y"}},
	} {
		t.Run(name, func(t *testing.T) {
			format := mustFormat(t, c.format)
			if again := mustFormat(t, format.String()); again != format {
				t.Errorf("%q becomes %q", format, again)
			}
			var r schemas.Request
			reason := New(format).Parse([]byte(c.line), &r)
			if c.want.Client == "" {
				if reason == None {
					t.Errorf("taken: %+v", plainOf(&r))
				}
				return
			}
			if reason != None {
				t.Fatalf("refused: %s", reason)
			}
			if diff := cmp.Diff(c.want, plainOf(&r)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A client that puts the format's own separators into what it sends moves no value
// of the server's: the line is refused, or what it sent stays where it was.
func TestCustomCannotBeShifted(t *testing.T) {
	forged := ` 6.6.6.6 200 1.0 [17/May/2016:10:05:03 +0000] "x" | 6.6.6.6 | `
	for _, text := range []string{
		`$http_user_agent $remote_addr $time_iso8601 $http_referer $status $request_uri`,
		`$http_user_agent|$remote_addr $time_iso8601|$http_referer $status $request_uri`,
		`escape=none '"$http_user_agent" $remote_addr [$time_iso8601] "$http_referer" $status "$request_uri"'`,
		`escape=none '$http_user_agent | $remote_addr | $time_iso8601 | $http_referer | $status | $request_uri'`,
		nginxMain,
	} {
		parser := New(mustFormat(t, text))
		for _, agent := range []string{"x", "x" + forged + "y", `x" 6.6.6.6 [2016-05-17T10:05:03+00:00] "y`, "x 6.6.6.6 2016-05-17T10:05:03+00:00 y 200 /", "x | 6.6.6.6 | 2016-05-17T10:05:03+00:00 | y | 200 | z"} {
			for _, referer := range []string{"r", forged, `r" 500 "`, "r 500 r", "a | 500 | b"} {
				line := nginxLine(text, map[string]string{"http_user_agent": agent, "http_referer": referer, "remote_addr": "192.0.2.7",
					"time_iso8601": "2015-05-17T10:05:03+00:00", "time_local": "17/May/2015:10:05:03 +0000", "status": "404", "request_uri": "/p", "request": "GET /p HTTP/1.1", "remote_user": agent})
				var r schemas.Request
				if reason := parser.Parse([]byte(line), &r); reason == None && (r.Client.String() != "192.0.2.7" || r.Status != 404 || plainOf(&r).Time != "2015-05-17T10:05:03.000Z") {
					t.Errorf("%s: %s: %+v", text, line, plainOf(&r))
				} else if reason != None && agent == "x" && referer == "r" {
					t.Errorf("%s: %s: refused: %s", text, line, reason)
				}
			}
		}
	}
}

// nginxLine writes a line as nginx would (ngx_http_log_escape and
// ngx_escape_json), the plain way.
func nginxLine(text string, values map[string]string) string {
	lead, pieces, mode, err := readNginx(oneLine(text))
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	b.WriteString(lead)
	for _, piece := range pieces {
		value, ok := values[strings.TrimPrefix(piece.op.name, "$")]
		if !ok && mode == escapeDefault {
			value = "-"
		}
		b.WriteString(nginxEscape(value, mode))
		b.WriteString(piece.literal)
	}
	return b.String()
}

func nginxEscape(value string, mode escape) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		switch {
		case mode == escapeNone:
			b.WriteByte(c)
		case mode == escapeDefault && (c < 0x20 || c > 0x7e || c == '"' || c == '\\'):
			b.WriteString(`\x`)
			b.WriteByte("0123456789ABCDEF"[c>>4])
			b.WriteByte("0123456789ABCDEF"[c&15])
		case mode == escapeJSON && (c == '"' || c == '\\'):
			b.WriteByte('\\')
			b.WriteByte(c)
		case mode == escapeJSON && c < 0x20:
			b.WriteString(`\u00`)
			b.WriteByte("0123456789ABCDEF"[c>>4])
			b.WriteByte("0123456789ABCDEF"[c&15])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestCustomErrors(t *testing.T) {
	for text, want := range map[string]string{
		`$remote_addr "$request"`:            `log format "$remote_addr \"$request\"": has no whole time: it needs one of $msec, $time_iso8601, $time_local, or %t, or a date, a time and %z in %{...}t`,
		`$msec "$request"`:                   `log format "$msec \"$request\"": has no client: it needs $remote_addr, or %a or %h`,
		`%a %t`:                              `log format "%a %t": has no path: it needs $request, $request_uri or $uri, or %r or %U`,
		`$msec$remote_addr "$request"`:       `log format "$msec$remote_addr \"$request\"": nothing stands between $msec and $remote_addr: where one ends cannot be known`,
		`log_format x escape=xml '$msec'`:    `log format "log_format x escape=xml '$msec'": escape=xml is not known: want default, json or none`,
		`log_format x '$msec`:                `log format "log_format x '$msec": a quote is not closed`,
		`LogFormat "%h`:                      `log format "LogFormat \"%h": a quote is not closed`,
		`LogFormat %`:                        `log format "LogFormat %": it ends within a %`,
		`%{%d/%b/%Y %T}t %a "%r"`:            `log format "%{%d/%b/%Y %T}t %a \"%r\"": has no whole time: it needs one of $msec, $time_iso8601, $time_local, or %t, or a date, a time and %z in %{...}t`,
		`%{%c}t %a "%r"`:                     `log format "%{%c}t %a \"%r\"": %c in a time is not known: want %Y %m %d %b %H %M %S %F %T %z %s`,
		`$` + strings.Repeat("x", maxFormat): `log format: has 8193 bytes, at most 8192`,
		`CustomLog /var/log/x.log%`:          `log format "CustomLog /var/log/x.log%": the directive has no format`,
	} {
		if _, err := ByName(text); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, ok := New(Format("$x")).(refuser); !ok {
		t.Error("a format that ByName refuses has a parser")
	}
}
