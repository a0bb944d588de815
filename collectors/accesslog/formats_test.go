package accesslog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-project/weir/schemas"
)

const (
	haproxyTimed = schemas.FieldDuration | schemas.FieldUpstreamDuration
	allHeaders   = refererAndAgent | schemas.FieldAcceptLanguage | schemas.FieldAcceptEncoding | schemas.FieldCookie | schemas.FieldRequestID
)

const (
	caddyFront  = `{"level":"info","ts":1431857103.25,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.1","remote_port":"1","client_ip":"192.0.2.7","proto":"HTTP/2.0","method":"GET","host":"X.org:443","uri":"/a?b"`
	caddyBehind = `},"bytes_read":0,"user_id":"","duration":0.0012,"size":5,"status":200,"resp_headers":{"Server":["Caddy"]}}`
	haproxyFace = `192.0.2.7:53332 [17/May/2015:10:05:03.100] web~ app/one 0/0/7/57/150 200 5 - - ---- 2/1/0/0/0 0/0 `
	traefikJSON = `{"ClientHost":"192.0.2.7","DownstreamContentSize":5,"DownstreamStatus":200,"Duration":150000000,"OriginDuration":57000000,"RequestHost":"X.org:443","RequestMethod":"GET","RequestPath":"/a?b","RequestProtocol":"HTTP/2.0","ServiceURL":{"Scheme":"http","User":null},"StartLocal":"x","StartUTC":"2015-05-17T10:05:03.1000001Z",`
)

// TestFormats reads lines of the formats of other servers.
func TestFormats(t *testing.T) {
	caddy := plainRequest{Time: "2015-05-17T10:05:03.250Z", Client: "192.0.2.7", Site: "x.org", Method: "GET", Path: "/a", Query: "b", Protocol: "HTTP/2.0", Status: 200, Bytes: 5, Duration: 1200, Fields: schemas.FieldSite | schemas.FieldDuration | schemas.FieldTLS | schemas.FieldCacheStatus}
	proxied := plainRequest{Time: "2015-05-17T10:05:03.250Z", Client: "192.0.2.7", Method: "GET", Path: "/a", Query: "b", Protocol: "HTTP/1.1", Status: 200, Bytes: 5, Duration: 150000, Upstream: 57000, Fields: haproxyTimed | schemas.FieldExtra, Extra: "frontend=web~\tbackend=app/one"}
	traefik := plainRequest{Time: "2015-05-17T10:05:03.250Z", Client: "192.0.2.7", Site: "x.org", Method: "GET", Path: "/a", Query: "b", Protocol: "HTTP/2.0", Status: 200, Bytes: 5, Duration: 150000, Upstream: 57000, Fields: schemas.FieldSite | haproxyTimed | schemas.FieldExtra}
	clf := plainRequest{Time: "2015-05-17T10:05:03.000Z", Client: "192.0.2.7", Method: "GET", Path: "/a", Query: "b", Protocol: "HTTP/1.1", Status: 200, Bytes: 5, Duration: 12000, Fields: refererAndAgent | schemas.FieldDuration}
	with := func(r plainRequest, change func(r *plainRequest)) plainRequest { change(&r); return r }
	for _, c := range []struct {
		format Format
		line   string
		want   plainRequest
	}{
		{Caddy, caddyFront + caddyBehind, caddy},
		{Caddy, " " + strings.ReplaceAll(caddyFront+caddyBehind, ",", " , ") + "\r", caddy},
		{Caddy, caddyFront + `,"headers":{}` + caddyBehind, with(caddy, func(r *plainRequest) { r.Fields |= allHeaders | schemas.FieldExtra; r.Cookie = schemas.CookieNone })},
		{Caddy, caddyFront + `,"headers":{"Cookie":["REDACTED"],"X":["a","b"],"Referer":["\"\u00e9"],"Authorization":[],"User-Agent":["a","b"],"Accept-Encoding":["gzip"],"Accept-Language":[ "de" ]},"tls":{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"x"}` + caddyBehind,
			with(caddy, func(r *plainRequest) {
				r.Fields |= allHeaders | schemas.FieldExtra
				r.Extra = "http_x=a"
				r.Cookie, r.Referer, r.UA, r.Encoding, r.Language = schemas.CookieSome, "\"é", "a", "gzip", "de"
				r.TLS = "TLSv1.3 TLS_AES_128_GCM_SHA256"
			})},
		{Caddy, caddyFront + `,"headers":{"Sec-Fetch-Mode":["navigate"],"Te":["a\tb\"","c"],"Dnt":["-"],"Origin":[],"X-Forwarded-For":["1.1.1.1", "2.2.2.2" ],"Authorization":["secret"],"X-Zz":["\t"],"Forwarded":["for=1.1.1.1"],"Accept":["*/*"],"X-Request-Id":["i"],"":["x"],"a=b":["x"],"` +
			strings.Repeat("L", 99) + `":["x"]}` + strings.Replace(caddyBehind, `"Server"`, `"X-Cache":["HIT"],"Server"`, 1),
			with(caddy, func(r *plainRequest) {
				r.Fields |= allHeaders | schemas.FieldExtra
				r.Cookie, r.ForwardedFor, r.Forwarded, r.ID, r.Cache = schemas.CookieNone, "1.1.1.1, 2.2.2.2", "for=1.1.1.1", "i", "HIT"
				r.Extra = "http_accept=*/*\thttp_sec_fetch_mode=navigate\thttp_te=a b\"\thttp_x_zz= "
			})},
		{Caddy, strings.Replace(caddyFront, `"remote_ip":"10.0.0.1","remote_port":"1","client_ip":"192.0.2.7"`, `"remote_addr":"192.0.2.7:80"`, 1) + caddyBehind, caddy},
		{Caddy, strings.Replace(caddyFront, `,"client_ip":"192.0.2.7"`, ``, 1) + caddyBehind, with(caddy, func(r *plainRequest) { r.Client = "10.0.0.1" })},
		{Caddy, caddyFront + strings.Replace(caddyBehind, "0.0012", `"1.2ms"`, 1), with(caddy, func(r *plainRequest) { r.Duration, r.Fields = 0, r.Fields&^schemas.FieldDuration })},
		{HAProxy, haproxyFace + `"GET /a?b HTTP/1.1"`, proxied},
		{HAProxy, "<134>May 17 10:05:03 lb haproxy[7]: " + haproxyFace + `{a "b} {|c} "GET /a?b HTTP/1.1"` + "\r",
			with(proxied, func(r *plainRequest) { r.Extra += "\tcaptured_request_1=a \"b\tcaptured_response_2=c" })},
		{HAProxy, strings.Replace(haproxyFace, "----", "cD--", 1) + `{a#7cb|#22} "GET /a?b HTTP/1.1"`,
			with(proxied, func(r *plainRequest) { r.Extra += "\ttermination=cD--\tcaptured_1=a|b\tcaptured_2=\"" })},
		{HAProxy, "<134>1 2015-05-17T10:05:03Z lb haproxy 7 - - " + haproxyFace + `"GET http://x/a?b HTTP/1.1"`, proxied},
		{HAProxy, strings.Replace(haproxyFace, " - - ----", ` a="GET / b 6.6.6.6 ----`, 1) + `"GET /a#22#23?b HTTP/1.1"`, with(proxied, func(r *plainRequest) { r.Path = `/a"#` })},
		{HAProxy, haproxyFace + `"<BADREQ>"`, with(proxied, func(r *plainRequest) { r.Method, r.Path, r.Query, r.Protocol = "", "", "", "" })},
		{HAProxy, haproxyFace + `"GET /a?b`, with(proxied, func(r *plainRequest) { r.Protocol = "" })},
		{HAProxy, strings.Replace(haproxyFace, "0/0/7/57/150 200 5", "-1/-1/-1/-1/+150 -1 +5", 1) + `"GET /a?b HTTP/1.1"`, with(proxied, func(r *plainRequest) { r.Status, r.Upstream = 0, 0 })},
		{HAProxy, strings.Replace(haproxyFace, "192.0.2.7", "2001:db8::7", 1) + `"GET /a?b HTTP/1.1"`, with(proxied, func(r *plainRequest) { r.Client = "2001:db8::7" })},
		{TraefikJSON, traefikJSON + `"time":"2015-05-17T10:05:03Z"}`, traefik},
		{TraefikJSON, traefikJSON + `"TLSCipher":"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA","TLSVersion":"1.2","request_Cookie":"REDACTED","request_User-Agent":"a"}`,
			with(traefik, func(r *plainRequest) {
				r.Fields |= schemas.FieldTLS | schemas.FieldCookie | refererAndAgent
				r.TLS, r.Cookie, r.UA = "TLSv1.2 ECDHE-RSA-AES256-SHA", schemas.CookieSome, "a"
			})},
		{TraefikJSON, traefikJSON + `"RequestScheme":"http","RouterName":"r@docker","ServiceName":null,"RetryAttempts":0,"OriginStatus":404,"request_Accept":"*/*","request_X-Forwarded-For":"1.1.1.1","request_Proxy-Authorization":"secret","request_x\"y":"z","downstream_X-Cache":"HIT"}`,
			with(traefik, func(r *plainRequest) {
				r.Fields |= schemas.FieldTLS | allHeaders | schemas.FieldCacheStatus
				r.Cookie, r.ForwardedFor, r.Cache, r.Extra = schemas.CookieNone, "1.1.1.1", "HIT", "router=r@docker\tupstream_status=404\thttp_accept=*/*"
			})},
		{TraefikJSON, strings.Replace(traefikJSON, `"ClientHost":"`, `"ClientHost":"6.6.6.6, 7.7.7.7,`, 1) + `"x":0}`, with(traefik, func(r *plainRequest) { r.ForwardedFor = "6.6.6.6, 7.7.7.7" })},
		{TraefikJSON, strings.Replace(traefikJSON, "StartUTC", "Start", 1) + `"time":"2015-05-17T10:05:03.25Z"}`, traefik},
		{Traefik, `192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "-" 7 "a@docker -> b@docker" "http://10.0.0.1:80" 12ms`, clf},
		{Traefik, `192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 5 "\"r\"" "a\n \x41\"" 7 "-" "-" 12ms`,
			with(clf, func(r *plainRequest) { r.Referer, r.UA = `"r"`, `a\n \x41"` })},
	} {
		parser := New(c.format)
		inUTC(parser)
		var r schemas.Request
		if reason := parser.Parse([]byte(c.line), &r); reason != None {
			t.Errorf("%s: refused: %s", c.line, reason)
		} else if diff := cmp.Diff(c.want, plainOf(&r)); diff != "" {
			t.Errorf("%s: %s", c.line, diff)
		}
		if format, share := Detect([][]byte{[]byte(c.line)}); format != c.format || share != 1 {
			t.Errorf("%s: found %s, %g", c.line, format, share)
		}
	}
}

func inUTC(parser Parser) {
	if p, ok := parser.(*haproxy); ok {
		p.clock.zone = time.UTC
	}
}

// TestCaptures reads HAProxy's lines with what its configuration captures.
func TestCaptures(t *testing.T) {
	const both = `frontend web
		capture request header Host len 64
		capture request header User-Agent len 128
		http-request capture req.hdr(X-Forwarded-For) len 64
		http-request capture req.cook(sid) len 10
		http-request capture src_port len 5
		capture response header X-Cache len 8
		http-response capture res.hdr(Server) id 0`
	const fields = haproxyTimed | schemas.FieldExtra
	base := plainRequest{Time: "2015-05-17T10:05:03.250Z", Client: "192.0.2.7", Method: "GET", Path: "/", Protocol: "HTTP/1.1", Status: 200, Bytes: 5, Duration: 150000, Upstream: 57000}
	for _, c := range []struct {
		format, blocks string
		change         func(r *plainRequest)
	}{
		{both, `{X.org:443|a#7cb|1.1.1.1, 2.2.2.2|secret|99} {HIT|nginx} `, func(r *plainRequest) {
			r.Site, r.UA, r.ForwardedFor, r.Cache, r.Fields = "x.org", "a|b", "1.1.1.1, 2.2.2.2", "HIT", fields|schemas.FieldSite|schemas.FieldUserAgent|schemas.FieldCacheStatus
			r.Extra = "frontend=web~\tbackend=app/one\tsrc_port=99\tsent_http_server=nginx"
		}},
		{both, `{a|b} {HIT|} `, func(r *plainRequest) { // of another configuration
			r.Cache, r.Fields = "HIT", fields|schemas.FieldSite|schemas.FieldUserAgent|schemas.FieldCacheStatus
			r.Extra = "frontend=web~\tbackend=app/one\tcaptured_request_1=a\tcaptured_request_2=b"
		}},
		{"capture request header user-agent len 9", `{a}b} `, func(r *plainRequest) {
			r.UA, r.Fields, r.Extra = "a}b", fields|schemas.FieldUserAgent, "frontend=web~\tbackend=app/one"
		}},
		{"capture response header Cache-Status len 9", `{hit} `, func(r *plainRequest) {
			r.Cache, r.Fields, r.Extra = "hit", fields|schemas.FieldCacheStatus, "frontend=web~\tbackend=app/one"
		}},
		{"capture request header Cookie len 9", ``, func(r *plainRequest) {
			r.Fields, r.Extra = fields|schemas.FieldCookie, "frontend=web~\tbackend=app/one"
		}},
	} {
		format := mustFormat(t, c.format)
		if again := mustFormat(t, format.String()); again != format {
			t.Errorf("%q becomes %q", format, again)
		}
		parser := New(format)
		inUTC(parser)
		want := base
		c.change(&want)
		var r schemas.Request
		if reason := parser.Parse([]byte(haproxyFace+c.blocks+`"GET / HTTP/1.1"`), &r); reason != None {
			t.Errorf("%s: refused: %s", c.blocks, reason)
		} else if diff := cmp.Diff(want, plainOf(&r)); diff != "" {
			t.Errorf("%s: %s", c.blocks, diff)
		}
	}
	if _, err := ByName("capture request header "); err == nil || err.Error() != "log format: names nothing that HAProxy captures: want lines such as capture request header User-Agent len 128" {
		t.Error(err)
	}
}

func TestFormatsRefuse(t *testing.T) {
	clf := `192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" `
	for _, c := range []struct {
		format Format
		line   string
		want   Reason
	}{
		{Caddy, "", Empty},
		{Caddy, "{}", Syntax},
		{Caddy, `{"level":"info","ts":1431857103.25,"msg":"serving initial configuration"}`, Message},
		{Caddy, strings.Replace(caddyFront+caddyBehind, "handled request", "aborting with incomplete response", 1), Message},
		{Caddy, caddyFront + strings.TrimSuffix(caddyBehind, "}"), Syntax},
		{Caddy, caddyFront + caddyBehind + "}", Syntax},
		{Caddy, caddyFront + `,"headers":{"User-Agent":["a]}` + caddyBehind, Syntax},
		{Caddy, caddyFront + `,"headers":{"User-Agent":["\x"]}` + caddyBehind, Syntax},
		{Caddy, strings.Replace(caddyFront, "192.0.2.7", "192.0.2.7, 1.1.1.1", 1) + caddyBehind, Client},
		{Caddy, strings.Replace(caddyFront, "1431857103.25", `"1431857103250"`, 1) + caddyBehind, Time},
		{Caddy, strings.Replace(caddyFront, `"ts":1431857103.25,`, ``, 1) + caddyBehind, Time},
		{Caddy, caddyFront + strings.Replace(caddyBehind, ":200", ":2000", 1), Number},
		{Caddy, strings.Replace(caddyFront, `"GET"`, `7`, 1) + caddyBehind, Syntax},
		{HAProxy, " \r", Empty},
		{HAProxy, "hello", Syntax},
		{HAProxy, "May 17 10:05:03 lb haproxy[7]: Proxy web started.", Message},
		{HAProxy, "192.0.2.7:1 [17/May/2015:10:05:03.100] web/1: SSL handshake failure", Message},
		{HAProxy, haproxyFace + `"GET / HTTP/1.1" x`, Syntax},
		{HAProxy, haproxyFace + `"GET / HTTP/1.1" "x"`, Syntax},
		{HAProxy, strings.Replace(haproxyFace, "192.0.2.7:53332", "unix:1", 1) + `"GET / HTTP/1.1"`, Client},
		{HAProxy, strings.Replace(haproxyFace, "192.0.2.7:53332", "192.0.2.7", 1) + `"GET / HTTP/1.1"`, Client},
		{HAProxy, strings.Replace(haproxyFace, "17/May", "31/Feb", 1) + `"GET / HTTP/1.1"`, Time},
		{HAProxy, strings.Replace(haproxyFace, "10:05", "10:65", 1) + `"GET / HTTP/1.1"`, Time},
		{HAProxy, strings.Replace(haproxyFace, "/150", "/", 1) + `"GET / HTTP/1.1"`, Number},
		{HAProxy, strings.Replace(haproxyFace, " 200 ", " 2000 ", 1) + `"GET / HTTP/1.1"`, Number},
		{HAProxy, strings.Replace(haproxyFace, "0/0/7", "0/0", 1) + `"GET / HTTP/1.1"`, Syntax},
		{HAProxy, strings.TrimSuffix(haproxyFace, " ") + `1"GET / HTTP/1.1"`, Syntax},
		{HAProxy, `192.0.2.7:53332 [17/May/2015:10:05:03.100] {} "GET /a 0/0/7/57/150 200 5 - - -`, Syntax}, // a name with a quote, and no request
		{TraefikJSON, traefikJSON + `"time":"2015-05-17T10:05:03Z"`, Syntax},
		{Traefik, clf + `"-" 7 x-" "-" 12ms`, Syntax},
		{TraefikJSON, strings.Replace(traefikJSON, "150000000", "-5", 1) + `"x":1}`, Number},
		{TraefikJSON, strings.Replace(traefikJSON, "150000000", "999999999999999999", 1) + `"x":1}`, None},
		{TraefikJSON, strings.Replace(traefikJSON, "2015-05-17T10", "2015-05-17", 1) + `"x":1}`, Time},
		{Traefik, clf + `"-" 7 "-" "-"`, Syntax},
		{Traefik, clf + `"-" 7 "-" "-" 12s`, Syntax},
		{Traefik, clf + `"-" x "-" "-" 12ms`, Syntax},
		{Traefik, clf + `"a\" 7 "-" "-" 12ms`, Syntax},
		{Traefik, clf + `"a\\" 1 \"r\" \"u\" 1ms" 7 "-" "-" 12ms`, Syntax},
	} {
		var r schemas.Request
		if got := New(c.format).Parse([]byte(c.line), &r); got != c.want {
			t.Errorf("%s: %.300q: %s, want %s", c.format, c.line, got, c.want)
		}
	}
}

// Go's names of cipher suites, and OpenSSL's, which nginx logs.
func TestCipherNames(t *testing.T) {
	for name, want := range map[string]string{
		"TLS_AES_256_GCM_SHA384":                      "TLS_AES_256_GCM_SHA384",
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256":     "ECDHE-ECDSA-AES128-GCM-SHA256",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
		"TLS_RSA_WITH_AES_128_CBC_SHA":                "AES128-SHA",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256":       "ECDHE-RSA-AES128-SHA256",
		"TLS_RSA_WITH_3DES_EDE_CBC_SHA":               "DES-CBC3-SHA",
		"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA":         "ECDHE-RSA-DES-CBC3-SHA",
		"0x1234":                                      "0x1234",
	} {
		if got := string(appendCipher(nil, []byte(name))); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// HAProxy's clock is its machine's: summer and winter differ.
func TestLocalClock(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	clock := localClock{zone: zone}
	for text, want := range map[string]int64{"01/Jan/2025:01:00:00.001": 1735689600001, "01/Jul/2025:02:00:00.999": 1751328000999, "31/Dec/2024:24:00:00.000": -1, "00/Jan/2025:00:00:00.000": -1} {
		if got, ok := clock.parse([]byte(text)); ok != (want >= 0) || ok && got != want {
			t.Errorf("%s: %d %t, want %d", text, got, ok, want)
		}
	}
}
