package tail

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWatch has two logs of one directory and a link into another share a Watch: each is
// told of what concerns it, and when the last has ended the kernel's watch is let go.
func TestWatch(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	far := filepath.Join(elsewhere, "far-2026-11-29.log")
	if err := os.WriteFile(far, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(far, filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	var watch Watch
	o := FollowOptions{Watch: &watch, Poll: time.Hour}
	a, b, link := NewFollower(filepath.Join(dir, "a.log"), o), NewFollower(filepath.Join(dir, "b.log"), o), NewFollower(filepath.Join(dir, "link.log"), o)
	for _, f := range []*Follower{a, b, link} {
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
		if err := f.Wait(t.Context(), 0); err != nil { // from now on it is told
			t.Fatal(err)
		}
	}
	appendTo := func(path string) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = file.WriteString("line\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	told := func(f *Follower) {
		t.Helper()
		select {
		case <-f.changes:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s was not told", f.path)
		}
	}
	for _, f := range []*Follower{a, b} {
		appendTo(f.path)
		told(f)
	}
	appendTo(far)
	told(link)
	for _, f := range []*Follower{a, b} { // of their being made there may be one more, from before the link's
		select {
		case <-f.changes:
		default:
		}
	}
	appendTo(a.path + ".1")
	told(a)
	appendTo(a.path)
	told(a)
	if len(b.changes) > 0 {
		t.Error("b.log was told of a.log")
	}
	for i, f := range []*Follower{a, b, link} {
		if watch.watcher == nil {
			t.Fatalf("nothing is watched with %d left", 3-i)
		}
		f.Close()
	}
	if watch.watcher != nil || len(watch.followers) > 0 {
		t.Error("something is watched for nobody")
	}
}
