package accesslog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-project/weir/schemas"
)

const allFields = schemas.FieldSite | schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage | schemas.FieldAcceptEncoding |
	schemas.FieldTLS | schemas.FieldCookie | schemas.FieldDuration | schemas.FieldUpstreamDuration | schemas.FieldAction | schemas.FieldRequestID

func TestWeir(t *testing.T) {
	at := "2025-05-17T10:05:03.123Z"
	front := `{"time":1747476303.123,"client":"192.0.2.7"`
	for line, want := range map[string]plainRequest{
		`{"time":"1747476303.123","host":"WWW.X.org","client":"2001:db8::7","method":"GET","uri":"/a?b=\"c\"","protocol":"HTTP/2.0","status":499,"bytes":12,` +
			`"duration":0.012,"upstream_duration":"0.010, - : 0.001","referer":"","user_agent":"a\\b\u0001\t","accept_language":"de","accept_encoding":"gzip",` +
			`"tls":"TLSv1.3 TLS_AES_128_GCM_SHA256 0x3a3a:X25519","cookie":"1","action":"allow","decision":"-","request_id":"ab"}`: {
			Time: at, Client: "2001:db8::7", Site: "www.x.org", Method: "GET", Path: "/a", Query: `b="c"`, Protocol: "HTTP/2.0", Status: 499, Bytes: 12,
			Duration: 12000, Upstream: 11000, UA: "a\\b\x01\t", Language: "de", Encoding: "gzip", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519",
			Cookie: schemas.CookieSome, Action: "allow", ID: "ab", Fields: allFields,
		},
		` { "client" : "192.0.2.7" , "time" : "2025-05-17T13:35:03.1239+03:30" , "x" : [1,{"time":"0"},null] , "y":-1.5e+3, "bytes":"" } ` + "\r": {Time: at, Client: "192.0.2.7"},
		`{"client":"192.0.2.7","tim\u0065":"2025-05-17T10:05:03.123Z","host":null,"status":"009"}`:                                                {Time: at, Client: "192.0.2.7", Status: 9},
		front + `,"uri":"/x","uri":"/y?z","status":404,"status":200}`:                                                                             {Time: at, Client: "192.0.2.7", Path: "/y", Query: "z", Status: 200},
		front + `,"status":000,"cookie":"","tls":"  "}`:                                                                                           {Time: at, Client: "192.0.2.7", Cookie: schemas.CookieNone, Fields: schemas.FieldCookie | schemas.FieldTLS},
		front + `,"user_agent":"-","referer":"\ud83d\ude00\ud83dx"}`:                                                                              {Time: at, Client: "192.0.2.7", UA: "-", Referer: "😀�x", Fields: refererAndAgent},
		front + ",\"user_agent\":\"\xff\xfe\"}":                                                                                                   {Time: at, Client: "192.0.2.7", UA: "\xff\xfe", Fields: schemas.FieldUserAgent},
		front + `,"cache_status":"HIT","forwarded_for":"1.1.1.1, 2.2.2.2","forwarded":"-","x":"y"}`:                                               {Time: at, Client: "192.0.2.7", Cache: "HIT", ForwardedFor: "1.1.1.1, 2.2.2.2", Fields: schemas.FieldCacheStatus},
		`{"time":1747476303.123,"client":"6.6.6.6, 192.0.2.7"}`:                                                                                   {Time: at, Client: "192.0.2.7", ForwardedFor: "6.6.6.6"},
		front + `,"uri":"","method":""}`:                                                                                                          {Time: at, Client: "192.0.2.7"},
	} {
		var r schemas.Request
		if reason := New(Weir).Parse([]byte(line), &r); reason != None {
			t.Errorf("%s: refused: %s", line, reason)
			continue
		}
		if diff := cmp.Diff(want, plainOf(&r)); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
		if format, share := Detect([][]byte{[]byte(line)}); format != Weir || share != 1 {
			t.Errorf("found %s, %g", format, share)
		}
	}
}

func TestWeirRefuses(t *testing.T) {
	front := `{"time":1747476303.123,"client":"192.0.2.7"`
	for line, want := range map[string]Reason{
		"":                                      Empty,
		"{}":                                    Time,
		"{":                                     Syntax,
		front:                                   Syntax,
		front + `} x`:                           Syntax,
		front + `,}`:                            Syntax,
		front + `,"a"}`:                         Syntax,
		front + `,"a":01x}`:                     Syntax,
		front + `,"a":tru}`:                     Syntax,
		front + `,"a":"\x41"}`:                  Syntax,
		front + `,"a":"\u00g0"}`:                Syntax,
		front + ",\"a\":\"\x01\"}":              Syntax,
		front + `,"user_agent":7}`:              Syntax,
		front + `,"status":true}`:               Syntax,
		front + `,"status":2000}`:               Number,
		front + `,"bytes":-1}`:                  Number,
		front + `,"bytes":1.5}`:                 Number,
		front + `,"duration":"x"}`:              Number,
		`{"client":"192.0.2.7"}`:                Time,
		`{"time":1747476303.123}`:               Client,
		`{"time":"","client":"::1"}`:            Time,
		`{"time":"-1","client":"::1"}`:          Time,
		`{"time":1747476303123,"client":"::1"}`: Time,
		`{"time":"2025-02-29T10:05:03Z","client":"::1"}`:                          Time,
		`{"time":"2025-02-28T10:05:03","client":"::1"}`:                           Time,
		`{"time":1,"client":"x.org"}`:                                             Client,
		`{"time":1,"client":"unix:"}`:                                             Client,
		front + `,"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`: Syntax,
		front + `,"a":"` + strings.Repeat("x", MaxLine) + `"}`:                    TooLong,
	} {
		var r schemas.Request
		if got := New(Weir).Parse([]byte(line), &r); got != want {
			t.Errorf("%.200q: %s, want %s", line, got, want)
		}
	}
}

// A client that shows ever new TLS parameters, or very long ones, gets its own.
func TestTLSIsNormalised(t *testing.T) {
	var cache tlsCache
	for i := range 1000 {
		raw := []byte("TLSv1.3 C" + strings.Repeat("x", i) + " 0x1a1a:X25519")
		want := string(schemas.NormaliseTLS(nil, raw))
		if got := cache.normalise(raw); string(got) != want {
			t.Fatalf("%s: %s, want %s", raw, got, want)
		}
	}
}

// What a parser learns from one line must not show in the next.
func TestWeirForgets(t *testing.T) {
	lines := []string{
		`{"time":1,"client":"::1","host":"a","uri":"/x","status":200}`,
		`{"time": 1,"client":	"::1","host" :"a","uri":"/x","status": 200}`,
		`{"time":1,"client":"::1","hos":"a","uri":"/x","status":`,
		`{"client":"::1","time":1,"uri":"/y","host":"B","x":{"status":3}}`,
		`{"time":1,"client":"::1","host"`,
		`{"time":1,"client":"::1","host":`,
		`{"time":1,"client":"::1","user_agent":"\"host\":"}`,
		`{"time":1,"client":"::1","status":200,"bytes":1,"x":"                                "}`,
		`{"time":"1","client":"::1","status":"300","bytes": "2","x":"                                "}`,
		`{"time":1,"client":"::1","status":null,"bytes":	3,"x":"                                "}`,
	}
	parser := New(Weir)
	for i := range 100 {
		line := []byte(lines[i*i*7%len(lines)])
		var want, got schemas.Request
		reason := New(Weir).Parse(line, &want)
		if again := parser.Parse(line, &got); again != reason {
			t.Fatalf("%s: %s, by a new parser %s", line, again, reason)
		}
		if diff := cmp.Diff(plainOf(&want), plainOf(&got)); reason == None && diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}
