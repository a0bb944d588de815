package spool

import (
	"bytes"
	"os"
	"testing"
)

// TestForgotten: what is published is overwritten where it stands, and what is not is said
// to wait.
func TestForgotten(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	find := func(lines []byte) (at [][2]int) {
		for from := 0; ; {
			i := bytes.Index(lines[from:], []byte("secret"))
			if i < 0 {
				return at
			}
			at = append(at, [2]int{from + i, from + i + 6})
			from += i + 6
		}
	}
	if err := s.Append([]byte("a secret\n")); err != nil {
		t.Fatal(err)
	}
	s.Resume(s.at, nil)
	piece, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append([]byte("no secret, secret\n")); err != nil {
		t.Fatal(err)
	}
	text := func() string {
		data, err := os.ReadFile(s.name(s.at.Inode))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, c := range []struct {
		release, waiting bool
		want             string
	}{{false, true, "a secret\nno secret, secret\n"}, {true, true, "a xxxxxx\nno secret, secret\n"}} {
		if c.release {
			s.Release(piece.To)
		}
		if waiting, err := s.Forget(find); err != nil || waiting != c.waiting || text() != c.want {
			t.Errorf("released %v: %q, waiting %v, %v", c.release, text(), waiting, err)
		}
	}
	if piece, err = s.Next(); err != nil {
		t.Fatal(err)
	}
	s.Release(piece.To)
	if waiting, err := s.Forget(find); err != nil || waiting || text() != "a xxxxxx\nno xxxxxx, xxxxxx\n" {
		t.Errorf("all released: %q, waiting %v, %v", text(), waiting, err)
	}
}
