package simulate

import (
	"net/netip"
	"testing"
	"time"
)

func sample() *Record {
	return &Record{
		Request: Request{
			Site: "www.example.org", Client: netip.MustParseAddr("2001:db8::1"), Method: "GET", URI: `/a"b\c?q=1`,
			Protocol: "HTTP/2.0", Referer: "https://www.example.org/", UserAgent: "a\tb", AcceptLanguage: "de",
			AcceptEncoding: "gzip", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256 ", Cookie: true,
		},
		Time:   time.Date(2026, 11, 21, 5, 8, 0, 7e6, time.UTC),
		Status: 200, Bytes: 123, Duration: 1234 * time.Millisecond, Upstream: 1230 * time.Millisecond,
	}
}

func TestAppend(t *testing.T) {
	own := sample()
	own.Upstream, own.Cookie, own.Referer, own.UserAgent = -1, false, "", ""
	for _, test := range []struct {
		name   string
		format Format
		record *Record
		want   string
	}{
		{"json", FormatJSON, sample(), `{"time":"1795237680.007","host":"www.example.org","client":"2001:db8::1","method":"GET",` +
			`"uri":"/a\"b\\c?q=1","protocol":"HTTP/2.0","status":200,"bytes":123,"duration":1.234,"upstream_duration":"1.230",` +
			`"referer":"https://www.example.org/","user_agent":"a\u0009b","accept_language":"de","accept_encoding":"gzip",` +
			`"tls":"TLSv1.3 TLS_AES_128_GCM_SHA256 ","cookie":"1","action":"allow","decision":"",` +
			`"request_id":"00000000000000000000000000000000"}` + "\n"},
		{"json, little known", FormatJSON, own, `{"time":"1795237680.007","host":"www.example.org","client":"2001:db8::1","method":"GET",` +
			`"uri":"/a\"b\\c?q=1","protocol":"HTTP/2.0","status":200,"bytes":123,"duration":1.234,"upstream_duration":"",` +
			`"referer":"","user_agent":"","accept_language":"de","accept_encoding":"gzip",` +
			`"tls":"TLSv1.3 TLS_AES_128_GCM_SHA256 ","cookie":"","action":"allow","decision":"",` +
			`"request_id":"00000000000000000000000000000000"}` + "\n"},
		{"combined", FormatCombined, sample(), `2001:db8::1 - - [21/Nov/2026:05:08:00 +0000] "GET /a\x22b\x5Cc?q=1 HTTP/2.0" 200 123 ` +
			`"https://www.example.org/" "a\x09b"` + "\n"},
		{"combined, little known", FormatCombined, own, `2001:db8::1 - - [21/Nov/2026:05:08:00 +0000] "GET /a\x22b\x5Cc?q=1 HTTP/2.0" 200 123 ` +
			`"-" "-"` + "\n"},
	} {
		if got := string(test.format.Append(nil, test.record)); got != test.want {
			t.Errorf("%s:\ngot  %swant %s", test.name, got, test.want)
		}
	}
	if _, err := ParseFormat("xml"); err == nil || err.Error() != `simulate: format "xml"; give json or combined` {
		t.Error(err)
	}
}

func TestHeader(t *testing.T) {
	q := sample().Request
	h := q.Header()
	for name, want := range map[string]string{
		"User-Agent": "a\tb", "Accept-Language": "de", "Accept-Encoding": "gzip", "Cookie": "session=1", "If-None-Match": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, there := (&Request{}).Header()["Referer"]; there {
		t.Error("an empty referer is sent")
	}
}
