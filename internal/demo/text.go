package demo

import (
	"strings"
	"sync"
	"unicode"
)

// printable makes one line for a terminal of a text that strangers may have
// chosen: no control characters, at most width runes.
func printable(s string, width int) string {
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n == width {
			break
		}
		if !unicode.IsPrint(c) {
			c = '?'
		}
		b.WriteRune(c)
		n++
	}
	return b.String()
}

// tail is a writer that keeps the last few kilobytes.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailSize = 8 << 10

// Write keeps p's end; it never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.kept...)
}
