package ingest

import (
	"bytes"
	"testing"

	"github.com/weir-project/weir/collectors/intake"
	"github.com/weir-project/weir/collectors/tail"
)

// FuzzMessages gives an Input what anyone may publish: each message's lines come once and in
// order, as a Body alone splits it, and every piece can be read again.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{"a\nb\xffc", "[{\"message\":\"a\"}]\xff{\"log\":\"b\"}\xff", "\xff\xff{\"a\":\"\\u12\xffx", "{\n}\n{\xff[1]x\xff\"", "\x00\n\x00\xff\n\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s stored
		var want bytes.Buffer
		var body intake.Body
		lines := 0
		for i, text := range bytes.Split(data, []byte{0xff}) {
			if s.texts = append(s.texts, string(text)); (i+1)%3 != 0 {
				body.Split(text)
				want.Write(body.Lines)
				lines += body.Count
			}
		}
		in := New(Options{Subject: "fuzz", Follow: s.follow})
		in.Resume(tail.Position{}, nil)
		defer in.Close()
		var got []byte
		for _, piece := range drain(t, in, lines) {
			again, err := in.Reread(piece.From, piece.To)
			if err != nil || !bytes.Equal(again, piece.Data) {
				t.Fatalf("again: %q, %v; want %q", again, err, piece.Data)
			}
			got = append(got, piece.Data...)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q gave %q, want %q", data, got, want.Bytes())
		}
	})
}
