package pipe

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/weir-project/weir/collectors/intake"
)

// inPieces gives some bytes at once.
type inPieces struct {
	data []byte
	size int
}

func (r *inPieces) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.size)], r.data)
	r.data = r.data[n:]
	return n, nil
}

// FuzzPipe reads anything, in pieces of any size: every line that is not empty and not too
// long comes once and in order, whole. A byte 1 stands for half of the longest line.
func FuzzPipe(f *testing.F) {
	for _, seed := range []string{"a\nb", "\n\n \n", "\x01\n", "\x01\x01\n", "a\x01\x01b\nc\n", "\x01\x01\x01\x01\x01", "a\r\n\x00\n\xff"} {
		f.Add([]byte(seed), uint16(1))
		f.Add([]byte(seed), uint16(40_000))
	}
	half := bytes.Repeat([]byte{'x'}, intake.MaxLine/2)
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		if bytes.Count(data, []byte{1}) > 12 || bytes.IndexByte(data, 1) >= 0 && size < 1000 {
			return // slow, and nothing else
		}
		data = bytes.ReplaceAll(data, []byte{1}, half)
		var want []byte
		for line := range bytes.SplitSeq(data, []byte{'\n'}) {
			if len(bytes.TrimSpace(line)) > 0 && len(line) <= intake.MaxLine {
				want = append(append(want, line...), '\n')
			}
		}
		var lines kept
		p, err := New(Options{Path: "-"}, &lines)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.read(t.Context(), &inPieces{data, max(1, int(size))}); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if got := lines.all(); got != string(want) {
			t.Fatalf("%d bytes in pieces of %d gave %d bytes, want %d: %.200q, %.200q", len(data), size, len(got), len(want), got, want)
		}
	})
}
