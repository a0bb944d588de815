package syslog

import (
	"testing"

	"github.com/weir-project/weir/collectors/intake"
)

const combinedLine = `192.0.2.1 - - [28/Nov/2026:17:35:39 +0000] "GET / HTTP/1.1" 200 10 "-" "a: b"`

func TestMessages(t *testing.T) {
	for name, test := range map[string]struct{ text, host, tag, line string }{
		"nginx":                  {`<190>Nov 28 17:35:39 web1 nginx: ` + combinedLine, "web1", "nginx", combinedLine},
		"nginx, one digit":       {`<190>Nov  8 17:35:39 web1 nginx: ` + combinedLine, "web1", "nginx", combinedLine},
		"nginx, nohostname":      {`<190>Nov 28 17:35:39 shop_access: ` + combinedLine, "", "shop_access", combinedLine},
		"haproxy":                {`<134>Nov 28 17:35:39 haproxy[4711]: ` + combinedLine, "", "haproxy", combinedLine},
		"rsyslog forwards":       {`<190>2026-11-28T17:35:39.123456+00:00 web1 nginx: ` + combinedLine, "web1", "nginx", combinedLine},
		"rsyslog's extra space":  {`<190>2026-11-28T17:35:39Z web1 nginx:  ` + combinedLine, "web1", "nginx", combinedLine},
		"an IPv6 host":           {`<190>Nov 28 17:35:39 2001:db8::1 nginx: x`, "2001:db8::1", "nginx", "x"},
		"a container":            {`<30>Nov 28 17:35:39 host docker/web[99]: x`, "host", "docker/web", "x"},
		"JSON":                   {`<190>Nov 28 17:35:39 web1 nginx: {"a":"b"}`, "web1", "nginx", `{"a":"b"}`},
		"ends":                   {"<190>Nov 28 17:35:39 web1 nginx: x\r\n\x00\n", "web1", "nginx", "x"},
		"5424":                   {`<190>1 2026-11-28T17:35:39.003Z web1 nginx 12 access - ` + combinedLine, "web1", "nginx", combinedLine},
		"5424, nothing known":    {`<0>1 - - - - - - x`, "", "", "x"},
		"5424 with data":         {`<190>1 2026-11-28T17:35:39Z web1 nginx - - [a@1 b="c\"] x" d="e"][f g="\\"] [x]`, "web1", "nginx", "[x]"},
		"5424, an empty element": {`<190>1 - h a - - [a] x`, "h", "a", "x"},
		"5424 with a BOM":        {"<190>1 - h a - - - \ufeffx", "h", "a", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			var m message
			if reason := m.parse([]byte(test.text)); reason != intake.Taken {
				t.Fatalf("refused: %v", reason)
			}
			if string(m.host) != test.host || string(m.tag) != test.tag || string(m.line) != test.line {
				t.Errorf("host %q, tag %q, line %q", m.host, m.tag, m.line)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]intake.Reason{
		"":                                     intake.Priority,
		"x":                                    intake.Priority,
		"<>x":                                  intake.Priority,
		"<1":                                   intake.Priority,
		"<192>Nov 28 17:35:39 web1 nginx: x":   intake.Priority,
		"<1900>Nov 28 17:35:39 h t: x":         intake.Priority,
		combinedLine:                           intake.Priority,
		"<190>" + combinedLine:                 intake.Header, // its client is no host, its text no time
		"<190>Nov 28 17:35:39 " + combinedLine: intake.Header, // no tag: whose is the address?
		"<190>Nov 28 17:35:39 web1":            intake.Header,
		"<190>Nov 28 17:35:39 we\x01b t: x":    intake.Header,
		"<190>Xyz 28 17:35:39 web1 t: x":       intake.Header,
		"<190>Nov 28 17:35:39 web1 t: ":        intake.Empty,
		"<190>Nov 28 17:35:39 web1 t: \n":      intake.Empty,
		"<190>Nov 28 17:35:39 web1 t: a\nb":    intake.Broken,
		"<190>1 ":                              intake.Header,
		"<190>1 - - - - -":                     intake.Header,
		"<190>1 - h a - - [a x":                intake.Header,
		`<190>1 - h a - - [a b="c] x`:          intake.Header,
		`<190>1 - h a - - [a]x`:                intake.Header,
		"<190>1 - h a - - -":                   intake.Empty,
		"<190>1 yesterday h a - - - x":         intake.Header,
	} {
		var m message
		if got := m.parse([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v (line %q)", text, got, want, m.line)
		}
	}
	var m message
	if reason := m.plain([]byte(combinedLine + "\r\n")); reason != intake.Taken || string(m.line) != combinedLine {
		t.Errorf("a plain line: %v, %q", reason, m.line)
	}
}

func TestStreamsAreNamedSafely(t *testing.T) {
	for _, test := range []struct{ edge, tag, wantEdge, wantTag string }{
		{"Web1.example.org", "nginx", "web1.example.org", "nginx"},
		{"../../etc", "a/b\x00\n", "_._.._etc", "a_b__"},
		{"", "", "", ""},
	} {
		got := intake.StreamOf([]byte(test.edge), []byte(test.tag))
		if got.Edge != test.wantEdge || got.Tag != test.wantTag {
			t.Errorf("%q, %q: %+v", test.edge, test.tag, got)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`<190>Nov 28 17:35:39 web1 nginx: ` + combinedLine)
	var m message
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if m.parse(text) != intake.Taken {
			b.Fatal("refused")
		}
	}
}
