package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/collectors/intake"
)

// frames reads everything and gives the messages, and what was refused as "!reason".
func frames(source io.Reader, most int, mode framing) (all []string) {
	f := framer{source: source, most: most, mode: mode}
	for {
		text, reason, err := f.next()
		switch {
		case errors.Is(err, errMore):
			if f.fill() == nil {
				continue
			}
			if text, reason = f.rest(); reason == intake.Taken {
				all = append(all, string(text))
			} else if reason != intake.Empty {
				all = append(all, "!"+reason.String())
			}
			return all
		case reason == intake.Taken:
			all = append(all, string(text))
		default:
			if all = append(all, "!"+reason.String()); reason == intake.Unframed {
				return all
			}
		}
	}
}

func TestFraming(t *testing.T) {
	long := strings.Repeat("x", 101)
	for _, test := range []struct {
		name, sent string
		want       []string
	}{
		{"nothing", "", nil},
		{"newlines", "<1>a\n<1>b\r\n\n<1>c", []string{"<1>a", "<1>b\r", "", "<1>c"}},
		{"counted", "4 <1>a6 <1>b\nc4 <1>d", []string{"<1>a", "<1>b\nc", "<1>d"}},
		{"counted with newlines", "4 <1>a\n4 <1>b\n", []string{"<1>a", "<1>b"}},
		{"too long, newlines", "<1>a\n" + long + "\n<1>b\n", []string{"<1>a", "!too_long", "<1>b"}},
		{"too long, counted", "4 <1>a101 " + long + "4 <1>b", []string{"<1>a", "!too_long", "<1>b"}},
		{"cut within a counted one", "9 <1>a", []string{"!idle"}},
		{"cut within a length", "4 <1>a12", []string{"<1>a", "!idle"}},
		{"cut within one too long", "101 xx", []string{"!too_long", "!idle"}},
		{"no length", "4 <1>a<1>b\n", []string{"<1>a", "!unframed"}},
		{"a length of nothing", "4 <1>a0 4 <1>b", []string{"<1>a", "!unframed"}},
		{"a length beyond all", "1234567890 x", []string{"!unframed"}},
		{"HTTP", "GET / HTTP/1.1\n", []string{"GET / HTTP/1.1"}},
	} {
		for chunks, source := range map[string]io.Reader{
			"at once": strings.NewReader(test.sent), "byte by byte": iotest.OneByteReader(strings.NewReader(test.sent)),
		} {
			if got := frames(source, 100, unknown); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%s, %s: %q, want %q", test.name, chunks, got, test.want)
			}
		}
	}
}

// TestFramesAsSent frames messages either way, cuts the bytes anywhere, and gets the
// messages back.
func TestFramesAsSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		byCount := rapid.Bool().Draw(t, "counted")
		var sent bytes.Buffer
		var want []string
		for _, text := range rapid.SliceOfN(rapid.StringMatching(`<[0-9]>[ -~]{0,300}`), 1, 50).Draw(t, "messages") {
			if byCount {
				fmt.Fprintf(&sent, "%d %s", len(text), text)
			} else {
				sent.WriteString(text + "\n")
			}
			if len(text) > 200 {
				text = "!too_long"
			}
			want = append(want, text)
		}
		cuts := rapid.SliceOfN(rapid.IntRange(1, 400), 1, 20).Draw(t, "reads")
		if got := frames(&choppy{sent.Bytes(), cuts, 0}, 200, unknown); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

// choppy gives its bytes in reads of the given sizes.
type choppy struct {
	data []byte
	cuts []int
	n    int
}

func (c *choppy) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.cuts[c.n%len(c.cuts)])], c.data)
	c.data = c.data[n:]
	c.n++
	return n, nil
}

// FuzzConnection reads anything, in two different ways of cutting it: the messages are
// the same, within the bound, and the buffer stays within its own.
func FuzzConnection(f *testing.F) {
	for _, seed := range []string{
		"<190>Nov 28 17:35:39 web1 nginx: x\n<190>1 - h a - - [a b=\"c\"] x\n", "4 <1>a101 x4 <1>b", "0 \n", "99999999 x", "7 <1>\n\n\n\n5 ",
	} {
		f.Add([]byte(seed), uint8(3), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint8, plain bool) {
		mode := unknown
		if plain {
			mode = newline
		}
		whole := frames(bytes.NewReader(data), 64, mode)
		chopped := frames(&choppy{data, []int{int(cut) + 1}, 0}, 64, mode)
		if fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", chopped) {
			t.Fatalf("%q at once, %q in pieces", whole, chopped)
		}
		for _, text := range whole {
			if len(text) > 64 {
				t.Fatalf("a message of %d bytes", len(text))
			}
		}
	})
}

// FuzzMessage parses anything. A line that is taken is the message's own end, and has
// no newline.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`<190>Nov 28 17:35:39 web1 nginx: x`, `<190>2026-11-28T17:35:39Z h t[1]: x`, `<190>1 - h a - - [a b="c\"]"][d] x`, "<1>Nov  1 00:00:00 t: \x00\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m message
		if m.parse(data) != intake.Taken {
			return
		}
		if len(m.line) == 0 || bytes.IndexByte(m.line, '\n') >= 0 || !bytes.HasSuffix(bytes.TrimRight(data, "\r\n\x00"), m.line) {
			t.Fatalf("%q: line %q", data, m.line)
		}
		again := fmt.Appendf(nil, "<13>1 - %s %s - - - %s", orNil(m.host), orNil(m.tag), m.line)
		var b message
		if reason := b.parse(again); reason != intake.Taken || !bytes.Equal(bytes.TrimPrefix(b.line, []byte("\ufeff")), bytes.TrimPrefix(bytes.TrimPrefix(m.line, []byte(" ")), []byte("\ufeff"))) && !bytes.Equal(b.line, m.line) {
			t.Fatalf("%q as %q: %v, line %q", data, again, reason, b.line)
		}
	})
}

func orNil(word []byte) []byte {
	if len(word) == 0 || bytes.IndexByte(word, ' ') >= 0 {
		return []byte("-")
	}
	return word
}
