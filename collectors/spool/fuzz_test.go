package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-project/weir/collectors/tail"
)

// FuzzSpool opens spools whose files a crash has damaged: what is whole is given, what is
// appended comes after it, once, and an id that was noted with lines that are not there is
// taken again.
func FuzzSpool(f *testing.F) {
	f.Add([]byte("one\ntwo\n"), []byte{})
	f.Add([]byte("one\ntw"), []byte("00112233445566778899aabbccddeeff 1 4 9\n"))
	f.Add([]byte{}, []byte("00112233445566778899aabbccddeeff 18446744073709551615 -1 9\n0011"))
	f.Add([]byte("one\n"), []byte("00112233445566778899aabbccddeeff 1 -5 2\nffffffffffffffffffffffffffffffff 1 9223372036854775807 9223372036854775807\n"))
	f.Fuzz(func(t *testing.T, segment, ids []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{segmentName(dir, 1): segment, filepath.Join(dir, idName): ids} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(Options{Dir: dir, Name: "fuzz"})
		if err != nil {
			return // said, and nothing was changed
		}
		defer s.Close()
		kept, err := os.ReadFile(segmentName(dir, 1))
		if err != nil && len(segment) > 0 {
			kept = nil // an empty one is left out
		}
		if !bytes.HasPrefix(segment, kept) {
			t.Errorf("%q became %q", segment, kept)
		}
		for range 2 {
			if _, err := s.AppendOnce("an id", []byte("appended\n")); err != nil {
				t.Fatal(err)
			}
		}
		if !s.Resume(tail.Position{}, nil) {
			t.Error("its beginning is not found")
		}
		var got []byte
		for {
			piece, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if len(piece.Data) == 0 {
				break
			}
			got = append(got, piece.Data...)
		}
		if !bytes.HasSuffix(got, []byte("appended\n")) || !bytes.HasPrefix(got, kept[:bytes.LastIndexByte(kept, '\n')+1]) ||
			bytes.Count(got, []byte("appended\n")) != 1+bytes.Count(kept, []byte("appended\n")) {
			t.Errorf("of %q and what was appended came %q", kept, got)
		}
	})
}
