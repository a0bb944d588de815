package accesslog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// asked is a request as a client sent it, and what was read of it.
type asked struct{ client, method, target, protocol, agent string }

func (a asked) line() string {
	return strings.TrimSuffix(strings.Join([]string{a.method, a.target, a.protocol}, " "), " ")
}

// jsonText is a text as nginx and Caddy write it: bytes that are no UTF-8 as they are.
func jsonText(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return `"` + b.String() + `"`
}

// writers write a request's line as each server does.
var writers = []struct {
	format Format
	whole  bool // its end tells that it is whole
	write  func(a asked) string
}{
	{Combined, true, func(a asked) string {
		return fmt.Sprintf(`%s - - [17/May/2015:10:05:03 +0000] "%s" 404 5 "-" "%s"`, a.client, nginxEscape(a.line(), escapeDefault), nginxEscape(a.agent, escapeDefault))
	}},
	{VhostCombined, true, func(a asked) string {
		return fmt.Sprintf(`x.org:443 %s - - [17/May/2015:10:05:03 +0000] "%s" 404 5 "-" "%s"`, a.client, nginxEscape(a.line(), escapeDefault), nginxEscape(a.agent, escapeDefault))
	}},
	{Common, false, func(a asked) string {
		return fmt.Sprintf(`%s - - [17/May/2015:10:05:03 +0000] "%s" 404 5`, a.client, nginxEscape(a.line(), escapeDefault))
	}},
	{Weir, true, func(a asked) string {
		return fmt.Sprintf(`{"time":"1431857103.000","client":"%s","method":%s,"uri":%s,"protocol":%s,"status":404,"user_agent":%s}`, a.client, jsonText(a.method), jsonText(a.target), jsonText(a.protocol), jsonText(a.agent))
	}},
	{Caddy, true, func(a asked) string {
		return fmt.Sprintf(`{"ts":1431857103.0,"msg":"handled request","request":{"client_ip":"%s","proto":%s,"method":%s,"host":"x.org","uri":%s,"headers":{"User-Agent":[%s]}},"duration":0,"size":5,"status":404}`, a.client, jsonText(a.protocol), jsonText(a.method), jsonText(a.target), jsonText(a.agent))
	}},
	{TraefikJSON, true, func(a asked) string {
		return fmt.Sprintf(`{"ClientHost":"%s","DownstreamStatus":404,"Duration":0,"RequestMethod":%s,"RequestPath":%s,"RequestProtocol":%s,"StartUTC":"2015-05-17T10:05:03Z","request_User-Agent":%s}`, a.client, jsonText(a.method), jsonText(a.target), jsonText(a.protocol), jsonText(a.agent))
	}},
	{HAProxy, false, func(a asked) string {
		var b strings.Builder // HAProxy's hdr_encode_map
		for _, c := range []byte(a.line()) {
			if c < ' ' || c > '~' || strings.IndexByte(`"#{|}`, c) >= 0 {
				fmt.Fprintf(&b, "#%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
		return fmt.Sprintf(`%s:53332 [17/May/2015:10:05:03.000] web~ app/one 0/0/0/0/0 404 5 - - ---- 2/1/0/0/0 0/0 "%s"`, a.client, b.String())
	}},
	{`$remote_addr [$time_local] "$request" $status "$http_user_agent"`, true, func(a asked) string {
		return fmt.Sprintf(`%s [17/May/2015:10:05:03 +0000] "%s" 404 "%s"`, a.client, nginxEscape(a.line(), escapeDefault), nginxEscape(a.agent, escapeDefault))
	}},
	{`escape=json '{"a":"$remote_addr","t":"$time_iso8601","r":"$request","s":$status,"u":"$http_user_agent"}'`, true, func(a asked) string {
		return fmt.Sprintf(`{"a":"%s","t":"2015-05-17T10:05:03+00:00","r":%s,"s":404,"u":%s}`, a.client, jsonText(a.line()), jsonText(a.agent))
	}},
	{`%a %t "%r" %>s "%{User-Agent}i"`, true, func(a asked) string {
		return fmt.Sprintf(`%s [17/May/2015:10:05:03 +0000] "%s" 404 "%s"`, a.client, nginxEscape(a.line(), escapeDefault), nginxEscape(a.agent, escapeDefault))
	}},
}

// TestHostileInEveryFormat sends every kind of hostile request through every format: each
// gives the right fields, or is refused for the right reason.
func TestHostileInEveryFormat(t *testing.T) {
	plain := asked{"192.0.2.7", "GET", "/a?b=c", "HTTP/1.1", "Mozilla/5.0"}
	with := func(change func(a *asked)) asked { a := plain; change(&a); return a }
	for name, c := range map[string]struct {
		asked
		client, path, query string
		reason              Reason
	}{
		"plain":             {plain, "192.0.2.7", "/a", "b=c", None},
		"quotes":            {with(func(a *asked) { a.target, a.agent = `/"?"=\`, `a" 200 5 "\x22\" {"b":"c"}` }), "192.0.2.7", `/"`, `"=\`, None},
		"NUL bytes":         {with(func(a *asked) { a.target, a.agent = "/\x00", "\x00a\x00" }), "192.0.2.7", "/\x00", "", None},
		"invalid UTF-8":     {with(func(a *asked) { a.target, a.agent = "/\xff\xc3", "\xfe\xff é" }), "192.0.2.7", "/\xff\xc3", "", None},
		"control bytes":     {with(func(a *asked) { a.target, a.agent = "/a\tb", "a\r\tb\x1b[31m" }), "192.0.2.7", "/a\tb", "", None},
		"absolute URI":      {with(func(a *asked) { a.target = "http://X.org:80/a?b" }), "192.0.2.7", "/a", "b", None},
		"CONNECT":           {with(func(a *asked) { a.method, a.target = "CONNECT", "x.org:443" }), "192.0.2.7", "x.org:443", "", None},
		"asterisk":          {with(func(a *asked) { a.method, a.target = "OPTIONS", "*" }), "192.0.2.7", "*", "", None},
		"no protocol":       {with(func(a *asked) { a.protocol = "" }), "192.0.2.7", "/a", "b=c", None},
		"another's fields":  {with(func(a *asked) { a.agent = `x [17/May/2016:10:05:03 +0000] "GET / HTTP/1.1" 200 6.6.6.6` }), "192.0.2.7", "/a", "b=c", None},
		"100 kB":            {with(func(a *asked) { a.target, a.agent = "/"+strings.Repeat("a", 50_000), strings.Repeat(`\"`, 50_000) }), "192.0.2.7", "/" + strings.Repeat("a", 50_000), "", None},
		"more than a line":  {with(func(a *asked) { a.target = "/" + strings.Repeat("a", MaxLine) }), "", "", "", TooLong},
		"IPv6":              {with(func(a *asked) { a.client = "2001:DB8::7" }), "2001:db8::7", "/a", "b=c", None},
		"IPv6, a zone":      {with(func(a *asked) { a.client = "fe80::1%eth0" }), "fe80::1", "/a", "b=c", None},
		"IPv6, brackets":    {with(func(a *asked) { a.client = "[2001:db8::7]" }), "2001:db8::7", "/a", "b=c", None},
		"IPv4 in IPv6":      {with(func(a *asked) { a.client = "::ffff:192.0.2.7" }), "192.0.2.7", "/a", "b=c", None},
		"a name":            {with(func(a *asked) { a.client = "host.example.org" }), "", "", "", Client},
		"no client":         {with(func(a *asked) { a.client = "-" }), "", "", "", Client},
		"several addresses": {with(func(a *asked) { a.client = "6.6.6.6,192.0.2.7" }), "192.0.2.7", "/a", "b=c", None},
	} {
		for _, w := range writers {
			line := w.write(c.asked)
			parser := New(mustFormat(t, string(w.format)))
			inUTC(parser)
			var r schemas.Request
			reason, want := parser.Parse([]byte(line), &r), c.reason
			if name == "several addresses" && (w.format == Caddy || w.format == HAProxy) {
				want = Client // they write one
			}
			if reason != want {
				t.Errorf("%s: %s: %s, want %s: %.300s", name, w.format, reason, want, line)
			}
			if reason != None {
				continue
			}
			agent := c.agent
			if !r.Fields.Has(schemas.FieldUserAgent) {
				agent = ""
			}
			if r.Client.String() != c.client || string(r.Path) != c.path || string(r.Query) != c.query || string(r.Method) != c.method ||
				string(r.Protocol) != c.protocol || string(r.UserAgent) != agent || r.Status != 404 || r.Time != 1431857103000 {
				t.Errorf("%s: %s: %.300s: %.600s", name, w.format, line, fmt.Sprintf("%+v", plainOf(&r)))
			}
			if !w.whole || len(line) > 1000 {
				continue
			}
			for n := range len(line) { // broken off anywhere
				if reason := parser.Parse([]byte(line[:n]), &r); reason == None {
					t.Errorf("%s: %s: taken: %s", name, w.format, line[:n])
				}
			}
		}
	}
}

// jsonText writes what encoding/json reads back.
func TestJSONText(t *testing.T) {
	var got string
	if err := json.Unmarshal([]byte(jsonText("a\"\\\x00é")), &got); err != nil || got != "a\"\\\x00é" {
		t.Errorf("%q, %v", got, err)
	}
}
