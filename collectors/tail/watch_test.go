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
	follow := func(name string) *Follower { return NewFollower(filepath.Join(dir, name), o) }
	a, b, last, link := follow("a.log"), follow("b.log"), follow("last.log"), follow("link.log")
	for _, f := range []*Follower{a, b, last, link} {
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
	appendTo(last.path)
	told(last)
	select {
	case <-link.changes: // it is told of all in its directory
	default:
	}
	appendTo(far)
	told(link)
	appendTo(a.path + ".1")
	appendTo(last.path) // the kernel tells in order: now all of the others was told
	told(last)
	for _, f := range []*Follower{a, b} {
		select {
		case <-f.changes:
		default:
		}
	}
	watch.changed(dir, "a.log.1")
	if len(a.changes) != 1 || len(b.changes) != 0 {
		t.Errorf("of a.log.1, a.log was told %d times, b.log %d", len(a.changes), len(b.changes))
	}
	for i, f := range []*Follower{a, b, last, link} {
		if watch.watcher == nil {
			t.Fatalf("nothing is watched with %d left", 4-i)
		}
		f.Close()
	}
	if watch.watcher != nil || len(watch.followers) > 0 {
		t.Error("something is watched for nobody")
	}
}
