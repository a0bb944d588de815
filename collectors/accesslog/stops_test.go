package accesslog

import (
	"testing"

	"pgregory.net/rapid"
)

// What is found for a whole line at once is what is found byte by byte, and with eight
// bytes at once: whatever the processor has, lines are read the same way.
func TestStops(t *testing.T) {
	var s stops
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SliceOfN(rapid.SampledFrom([]byte("aaaaaaaaaaaaaaaaaaaaaaaa\"\\\n\x00\x1f\x20\x7f\x80\xff")), 0, 300).Draw(t, "line")
		s.scan(line)
		for i := range line {
			end, escaped := slowEnd(line, i)
			if e, x := stringEnd(line, i); e != end || end >= 0 && x != escaped {
				t.Fatalf("%q from %d: %d %t, want %d %t", line, i, e, x, end, escaped)
			}
			if e, x := s.stringEnd(line, i); e != end || end >= 0 && x != escaped {
				t.Fatalf("%q from %d: %d %t at once, want %d %t", line, i, e, x, end, escaped)
			}
		}
		if end, _ := s.stringEnd(line, len(line)); end != -1 {
			t.Fatalf("%q has an end behind its end: %d", line, end)
		}
	})
}

func slowEnd(line []byte, i int) (end int, escaped bool) {
	for ; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			return i, escaped
		case c == '\\':
			escaped = true
			i++
		case c < 0x20:
			return -1, escaped
		}
	}
	return -1, escaped
}
