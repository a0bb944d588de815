package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-project/weir/collectors/tail"
)

// TestForgotten: where the file system knows no holes, what is published is overwritten where
// it stands, and what is not is said to wait.
func TestForgotten(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	s.solid = true
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

// TestPublishedLinesLeaveTheDisk: of lines that are published nothing is left to read, those
// after them stay, and a restart and a body that is sent again find all as it was.
func TestPublishedLinesLeaveTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	for _, lines := range []string{"a secret\n", "another secret\n"} {
		if fresh, err := s.AppendOnce(lines, []byte(lines)); err != nil || !fresh {
			t.Fatal(fresh, err)
		}
	}
	s.Resume(tail.Position{}, nil)
	piece, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	if fresh, err := s.AppendOnce("third", []byte("the third\n")); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	on := func() string {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		var text []byte
		for _, name := range all {
			if filepath.Base(name) == idName {
				continue
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, data...)
		}
		return string(bytes.ReplaceAll(text, []byte{0}, nil))
	}
	s.Release(piece.To)
	if got := on(); got != "\nthe third\n" {
		t.Errorf("on disk is %q", got)
	}
	if err := s.Shut(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = open(t, Options{Dir: dir})
		if !s.Resume(piece.To, nil) {
			t.Error("lines are said to be gone")
		}
		for _, name := range []string{"a secret\n", "another secret\n", "third"} {
			if fresh, err := s.AppendOnce(name, []byte("again\n")); err != nil || fresh {
				t.Errorf("%q is taken again (%v)", name, err)
			}
		}
		if next, err := s.Next(); err != nil || string(next.Data) != "the third\n" {
			t.Errorf("after it comes %q (%v)", next.Data, err)
		}
		s.Release(s.at) // the whole segment is published; a crash may have it asked for again
		if got := on(); got != "\n" {
			t.Errorf("on disk is %q", got)
		}
		if err := s.Shut(); err != nil {
			t.Fatal(err)
		}
		piece.To = s.at
		s = open(t, Options{Dir: dir})
		if !s.Resume(piece.To, nil) {
			t.Error("lines are said to be gone")
		}
		if next, err := s.Next(); err != nil || len(next.Data) > 0 {
			t.Errorf("after all of it comes %q (%v)", next.Data, err)
		}
		if err := s.Append([]byte("the third\n")); err != nil {
			t.Fatal(err)
		}
		if err := s.Shut(); err != nil {
			t.Fatal(err)
		}
	}
}
