package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/collectors/tail"
)

type fataler interface {
	Helper()
	Fatal(...any)
}

func open(t fataler, o Options) *Spool {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drain gives all lines that are there.
func drain(t fataler, s *Spool) (lines []string) {
	t.Helper()
	for {
		piece, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(piece.Data) == 0 {
			return lines
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(piece.Data), "\n"), "\n")...)
	}
}

func TestSpoolGivesWhatItWasGiven(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for _, lines := range []string{"a\nb\n", "", "c", "d\n"} {
		if err := s.Append([]byte(lines)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(drain(t, s), " "); got != "a b c d" {
		t.Errorf("got %q", got)
	}
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with %v", err)
	}
}

// A full spool takes nothing, and everything again once what it holds is published.
func TestSpoolIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Max: 4000})
	line := []byte(strings.Repeat("x", 99) + "\n")
	taken := 0
	for ; taken < 100; taken++ {
		if err := s.Append(line); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if taken != 40 || s.Bytes() != 4000 {
		t.Fatalf("%d lines, %d bytes were taken", taken, s.Bytes())
	}
	if got := len(drain(t, s)); got != 40 {
		t.Fatalf("%d lines came out", got)
	}
	s.Release(s.at)
	if s.Bytes() > 1000 {
		t.Errorf("%d bytes are left of what is published", s.Bytes())
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 1 {
		t.Errorf("files are left: %v", files)
	}
	if err := s.Append(line); err != nil {
		t.Errorf("an empty spool refuses: %v", err)
	}
}

// What a dying process had not finished to append is not given.
func TestSpoolDropsATornLine(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	if err := s.Append([]byte("a\nb\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.last.WriteAt([]byte("torn"), 4); err != nil {
		t.Fatal(err)
	}
	again := open(t, Options{Dir: dir})
	if err := again.Append([]byte("c\n")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(drain(t, again), " "); got != "a b c" {
		t.Errorf("got %q", got)
	}
}

func TestSpoolSaysWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	if err := s.Append([]byte("a\n")); err != nil {
		t.Fatal(err)
	}
	if s.Resume(tail.Position{Inode: 99, Offset: 1}, nil) || s.Skipped() != 1 {
		t.Error("a segment that never was is taken for complete")
	}
	if got := drain(t, s); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	if err := os.Remove(s.name(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reread(tail.Position{Inode: 1}, tail.Position{Inode: 1, Offset: 2}); !errors.Is(err, tail.ErrGone) {
		t.Errorf("rereading ended with %v", err)
	}
	if err := s.Shut(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append([]byte("b\n")); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("a spool that is shut: %v", err)
	}
}

// TestSpoolAnyHistory appends, reads, releases and opens anew in any order: every line
// comes once, in order, and what a position was saved before is there.
func TestSpoolAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := Options{Dir: dir, Max: 4096, Segment: 64}
		s := open(t, o)
		var saved tail.Position // journalled
		var got []string
		kept, n := 0, 0 // lines before saved; lines appended
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "next", "release", "restart"}).Draw(t, "step") {
			case "append":
				var lines strings.Builder
				count := rapid.IntRange(1, 5).Draw(t, "lines")
				for i := range count {
					fmt.Fprintf(&lines, "line %d\n", n+i)
				}
				if err := s.Append([]byte(lines.String())); err == nil {
					n += count
				} else if !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
			case "next":
				piece, err := s.Next()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, strings.FieldsFunc(string(piece.Data), func(r rune) bool { return r == '\n' })...)
				if len(piece.Data) > 0 {
					again, err := s.Reread(piece.From, piece.To)
					if err != nil || string(again) != string(piece.Data) {
						t.Fatalf("reread %q, %v; want %q", again, err, piece.Data)
					}
				}
			case "release":
				saved, kept = s.at, len(got)
				s.Release(saved)
			case "restart":
				s = open(t, o)
				if !s.Resume(saved, nil) {
					t.Fatalf("cannot go on at %+v", saved)
				}
				got = got[:kept]
			}
		}
		got = append(got, drain(t, s)...)
		if len(got) != n {
			t.Fatalf("%d lines, want %d: %q", len(got), n, got)
		}
		for i, line := range got {
			if line != fmt.Sprint("line ", i) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
	})
}
