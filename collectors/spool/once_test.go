package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func once(t fataler, s *Spool, id, lines string, want bool) {
	t.Helper()
	if fresh, err := s.AppendOnce(id, []byte(lines)); err != nil || fresh != want {
		t.Fatal(fmt.Sprintf("%s: fresh %v, %v; want %v", id, fresh, err, want))
	}
}

func TestAnIdIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	once(t, s, "1", "a\nb\n", true)
	once(t, s, "1", "a\nb\n", false)
	once(t, s, "2", "c", true)
	s = open(t, Options{Dir: dir}) // as after a crash
	once(t, s, "1", "a\nb\n", false)
	once(t, s, "2", "c", false)
	once(t, s, "3", "d\n", true)
	if got := strings.Join(drain(t, s), " "); got != "a b c d" {
		t.Errorf("got %q", got)
	}
	s.Release(s.at)
	s = open(t, Options{Dir: dir}) // what was published is still known
	once(t, s, "1", "a\nb\n", false)
	once(t, s, "3", "d\n", false)
}

// A process that dies within an append, wherever that is, and is sent the same again,
// has it once.
func TestAnIdIsTakenOnceOverACrash(t *testing.T) {
	const lines = "first\nsecond\nthird\n"
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s := open(t, Options{Dir: dir})
		once(t, s, "before", "before\n", true)
		once(t, s, "dying", lines, true)
		// Of what was written last, so much reached the disk.
		cut := func(name string, most int) {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, info.Size()-int64(rapid.IntRange(0, most).Draw(t, name))); err != nil {
				t.Fatal(err)
			}
		}
		cut("0000000000000001.log", len(lines))
		if info, err := os.Stat(filepath.Join(dir, "0000000000000001.log")); err != nil || info.Size() == int64(len("before\n")) {
			cut(idName, len(s.ids.order[1].String())) // the note comes first
		}
		again := open(t, Options{Dir: dir})
		for range 2 {
			if _, err := again.AppendOnce("dying", []byte(lines)); err != nil {
				t.Fatal(err)
			}
		}
		once(t, again, "before", "before\n", false)
		if got := strings.Join(drain(t, again), " "); got != "before first second third" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestIdsAreBounded(t *testing.T) {
	d, err := openIDs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxIDs + 10 {
		d.remember(id{hash: [idBytes]byte{byte(i), byte(i >> 8), byte(i >> 16)}})
	}
	if len(d.known) != maxIDs || len(d.order) != maxIDs {
		t.Errorf("%d known, %d in order", len(d.known), len(d.order))
	}
}

// An id whose lines found no room may come again.
func TestAnIdWithoutRoomIsForgotten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Max: 10})
	if _, err := s.AppendOnce("1", []byte("more than there is room for")); err == nil {
		t.Fatal("taken")
	}
	once(t, s, "1", "short\n", true)
}

func TestSyncIsShared(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), Segment: 100})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				if err := s.Append(fmt.Appendf(nil, "%d %d\n", i, j)); err != nil {
					t.Error(err)
				}
				if err := s.Sync(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if s.onDisk != s.appended {
		t.Errorf("%d of %d bytes are on disk", s.onDisk, s.appended)
	}
	if n := len(drain(t, s)); n != 160 {
		t.Errorf("%d lines", n)
	}
}
