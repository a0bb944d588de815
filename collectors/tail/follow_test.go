package tail

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/collectors/accesslog"
)

// grown is a log that a server writes and rotates.
type grown struct {
	t    rapid.TB
	path string
	n    int
	at   int // seconds, of the last change
}

// changed gives a file a time of its own: those of file systems are coarse, and
// rotations in life are more than some milliseconds apart.
func (g *grown) changed(name string) {
	g.at++
	at := time.Unix(1_700_000_000+int64(g.at), 0)
	g.must(os.Chtimes(name, at, at))
}

func (g *grown) must(err error) {
	if err != nil {
		g.t.Helper()
		g.t.Fatal(err)
	}
}

// write appends lines, each with its number, to the log or to one moved away.
func (g *grown) write(suffix string, lines int) {
	var b strings.Builder
	for range lines {
		fmt.Fprintf(&b, "line %d of this log, which is followed\n", g.n)
		g.n++
	}
	g.append(suffix, b.String())
}

func (g *grown) append(suffix, text string) {
	file, err := os.OpenFile(g.path+suffix, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	g.must(err)
	_, err = file.WriteString(text)
	g.must(err)
	g.must(file.Close())
	g.changed(g.path + suffix)
}

func (g *grown) copyTruncate(to string) {
	content, err := os.ReadFile(g.path)
	g.must(err)
	g.must(os.WriteFile(g.path+to, content, 0o600))
	g.changed(g.path + to)
	g.must(os.Truncate(g.path, 0))
	g.changed(g.path)
}

func newFollower(path string) *Follower {
	return NewFollower(path, FollowOptions{Grace: time.Nanosecond})
}

// drain takes all there is; several empty pieces in a row are the end.
func drain(t rapid.TB, f *Follower) (text string, at Position) {
	t.Helper()
	for empty := 0; empty < 6; {
		piece, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		if empty++; len(piece.Data) > 0 {
			empty = 0
			again, err := f.Reread(piece.From, piece.To)
			if err != nil || !bytes.Equal(again, piece.Data) {
				t.Errorf("reread %d to %d: %v", piece.From.Offset, piece.To.Offset, err)
			}
		}
		text, at = text+string(piece.Data), piece.To
	}
	return text, at
}

func wantLines(t rapid.TB, got string, n int) {
	t.Helper()
	var want strings.Builder
	for i := range n {
		fmt.Fprintf(&want, "line %d of this log, which is followed\n", i)
	}
	if got != want.String() {
		t.Fatalf("%d lines, want %d:\n%s", strings.Count(got, "\n"), n, got)
	}
}

func TestFollowRenamedIsStillWritten(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
	f := newFollower(g.path)
	defer f.Close()
	first, _ := drain(t, f) // there is no file yet
	g.write("", 5)
	second, _ := drain(t, f)
	g.must(os.Rename(g.path, g.path+".1"))
	g.write(".1", 3)
	third, _ := drain(t, f)
	g.write(".1", 1)
	g.append(".1", "line 9 of this log, which is followed") // killed before its newline
	g.n++
	g.must(os.WriteFile(g.path, nil, 0o600))
	fourth, _ := drain(t, f)
	g.write("", 2)
	fifth, _ := drain(t, f)
	wantLines(t, first+second+third+fourth+"\n"+fifth, g.n)
}

func TestFollowDeleted(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
	f := newFollower(g.path)
	g.write("", 5)
	first, at := drain(t, f)
	g.must(os.Remove(g.path))
	second, _ := drain(t, f)
	g.write("", 5)
	third, _ := drain(t, f)
	f.Close()
	wantLines(t, first+second+third, g.n)

	f = newFollower(g.path)
	defer f.Close()
	if f.Resume(at, nil) {
		t.Error("resumed in a file that is gone")
	}
	if _, err := f.Reread(Position{Device: at.Device, Inode: at.Inode, Fingerprint: 1, Length: 30}, at); !errors.Is(err, ErrGone) {
		t.Errorf("reread of a file that is gone: %v", err)
	}
}

// A copy was made and the log truncated before its last lines were read.
func TestFollowCopyHoldsTheRest(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
	f := newFollower(g.path)
	defer f.Close()
	g.write("", 5)
	first, _ := drain(t, f)
	g.write("", 5)
	g.copyTruncate(".1")
	g.write("", 1)
	second, _ := drain(t, f)
	wantLines(t, first+second, g.n)
}

func TestFollowFromEnd(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
	g.append("", "old\nhalf a li")
	f := NewFollower(g.path, FollowOptions{FromEnd: true})
	defer f.Close()
	piece, err := f.Next()
	if err != nil || len(piece.Data) > 0 || !piece.To.Inside {
		t.Fatalf("%+v, %v", piece, err)
	}
	g.append("", "ne\n")
	g.write("", 1)
	if got, _ := drain(t, f); got != "ne\nline 0 of this log, which is followed\n" {
		t.Errorf("%q", got)
	}
}

func TestFollowLongLine(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
	f := NewFollower(g.path, FollowOptions{Piece: accesslog.MaxLine})
	defer f.Close()
	g.append("", "a\n"+strings.Repeat("x", 5*accesslog.MaxLine/2)+"\nb\n")
	var sizes []string
	for range 8 {
		piece, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(piece.Data) > 0 {
			sizes = append(sizes, fmt.Sprintf("%t %d %t", piece.From.Inside, len(piece.Data), piece.To.Inside))
		}
	}
	want := fmt.Sprintf("false 2 false, false %d true, true %d true, true %d false", accesslog.MaxLine, accesslog.MaxLine, accesslog.MaxLine/2+3)
	if got := strings.Join(sizes, ", "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestWaitEnds(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
	f := NewFollower(g.path, FollowOptions{Poll: time.Hour})
	defer f.Close()
	if err := f.Wait(t.Context(), 0); err != nil {
		t.Error(err)
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { g.append("", "x\n") })
	if err := f.Wait(t.Context(), time.Hour); err != nil { // the kernel tells
		t.Error(err)
	}
}
