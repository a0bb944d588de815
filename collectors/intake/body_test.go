package intake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// split gives the lines of a body, and how many of it were refused.
func split(body string) (lines []string, refused map[string]int) {
	var b Body
	b.Split([]byte("left from before\n"))
	b.Split([]byte(body))
	refused = map[string]int{}
	for r, n := range b.Refused {
		if n > 0 {
			refused[Reason(r).String()] = n
		}
	}
	if len(b.Lines) > 0 {
		lines = strings.Split(strings.TrimSuffix(string(b.Lines), "\n"), "\n")
	}
	return lines, refused
}

func TestBodies(t *testing.T) {
	const request = `{"time":"1795887339.5","host":"a","uri":"/\"x"}`
	for _, test := range []struct {
		name, body string
		want       []string
		refused    string
	}{
		{"lines", "a\nb\r\nc", []string{"a", "b", "c"}, ""},
		{"nothing", " \r\n", nil, "empty:1"},
		{"an empty line", "a\n\nb\n", []string{"a", "b"}, "empty:1"},
		{"lines that begin with a bracket", "[28/Nov/2026:17:35:39 +0000] a\n[28/Nov/2026:17:35:40 +0000] b", []string{"[28/Nov/2026:17:35:39 +0000] a", "[28/Nov/2026:17:35:40 +0000] b"}, ""},
		{"objects", request + "\n" + request + "\n", []string{request, request}, ""},
		{"Vector", `{"file":"/x","message":"192.0.2.1 - - \"GET / HTTP/1.1\"","timestamp":"2026"}` + "\n", []string{`192.0.2.1 - - "GET / HTTP/1.1"`}, ""},
		{"Vector's array", `[{"message":"a"},{"message":"b"}]`, []string{"a", "b"}, ""},
		{"Fluent Bit", `[{"date":1795887339.1,"log":"a"},{"date":2,"log":"b\n"}]`, []string{"a", "b"}, ""},
		{"Fluent Bit to NATS", `[[1795887339,{"log":"a"}],[[1,{}],{"log":"b"}]]`, []string{"a", "b"}, ""},
		{"Docker", `{"log":"a\n","stream":"stdout","time":"2026"}`, []string{"a"}, ""},
		{"texts", "[ \"a\" , \"\\u00e9\\ud83d\\ude00\\ud83d\" ]", []string{"a", "é😀\ufffd"}, ""},
		{"an array of objects", "[\n" + request + ",\n" + request + "]\n", []string{request, request}, ""},
		{"objects over several lines", "{\n \"a\": 1\n}\n{\n \"message\": \"b\"\n}", []string{`{  "a": 1 }`, "b"}, ""},
		{"objects over several lines, broken", "{\n \"message\": \"b\"\n}{", []string{"b"}, "object:1"},
		{"the message is no text", `{"message":{"message":"x"},"log":5}`, []string{`{"message":{"message":"x"},"log":5}`}, ""},
		{"a message of two lines", `{"message":"a\nb"}`, nil, "broken:1"},
		{"nothing of use", `[1,null,true,[],[1,2],{}]`, []string{"{}"}, "object:5"},
		{"an empty array", `[]`, nil, ""},
		{"a long line", strings.Repeat("x", MaxLine+1) + "\na", []string{"a"}, "too_long:1"},
		{"a broken object is a line, for the parser to refuse", `{"a":`, []string{`{"a":`}, ""},
		{"invalid UTF-8", "a\xff\n", []string{"a\xff"}, ""},
	} {
		lines, refused := split(test.body)
		if fmt.Sprintf("%q", lines) != fmt.Sprintf("%q", test.want) || strings.Trim(fmt.Sprint(refused), "map[]") != test.refused {
			t.Errorf("%s: %q, refused %v", test.name, lines, refused)
		}
	}
}

// TestBodiesOfAnyText wraps any text in every way that there is, and gets it back.
func TestBodiesOfAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~é😀"\\]{1,60}`).Filter(func(s string) bool {
			return strings.TrimSpace(s) != "" && s[0] != '[' && s[0] != '{' && !strings.HasPrefix(strings.TrimLeft(s, " "), "{")
		}).Draw(t, "text")
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{
			text, string(quoted[:0]) + "[" + string(quoted) + "]", `{"x":[{"y":"}"}],"message":` + string(quoted) + `}`, `[[1,{"log":` + string(quoted) + `}]]`,
		} {
			if lines, _ := split(body); len(lines) != 1 || lines[0] != text {
				t.Fatalf("%s: %q", body, lines)
			}
		}
	})
}

// FuzzBody splits anything: as many lines as it says, none empty, none too long, and
// splitting them again gives no fewer.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{"a\nb", `[{"message":"a"}]`, `[[1,{"log":"\ud83d\u0000"}]]`, "{\n}\n{", `["\`, "[1]x", `{"a":"\u12`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Body
		b.Split(data)
		n := 0
		for line := range bytes.Lines(b.Lines) {
			n++
			if line[len(line)-1] != '\n' || len(bytes.TrimSpace(line)) == 0 || len(line) > MaxLine+1 {
				t.Fatalf("%q gives the line %q", data, line)
			}
		}
		if n != b.Count {
			t.Fatalf("%q: %d lines, it says %d", data, n, b.Count)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	line := `192.0.2.1 - - [28/Nov/2026:17:35:39 +0000] "GET / HTTP/1.1" 200 10 "-" "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"`
	quoted, _ := json.Marshal(line)
	for name, one := range map[string]string{"lines": line + "\n", "wrapped": `{"file":"/var/log/nginx/access.log","message":` + string(quoted) + "}\n"} {
		b.Run(name, func(b *testing.B) {
			body := []byte(strings.Repeat(one, 100))
			var s Body
			b.ReportAllocs()
			for b.Loop() {
				if s.Split(body); s.Count != 100 {
					b.Fatal(s.Count)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/line")
		})
	}
}
