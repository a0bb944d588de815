package tail

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// history is a log with its follower, and what that one has given.
type history struct {
	*grown
	f         *Follower
	got       string
	at        Position
	rotations int
	held      bool // files are gone that the follower alone has open
	lost      uint64
}

// next asks for some pieces, which may not be all there is.
func (h *history) next(times int) {
	for range times {
		piece, err := h.f.Next()
		h.must(err)
		h.got, h.at = h.got+string(piece.Data), piece.To
	}
}

// all asks until several empty pieces in a row are the end.
func (h *history) all() {
	for empty := 0; empty < 6; empty++ {
		before := h.at
		if h.next(1); h.at != before {
			empty = 0
		}
	}
	h.held = false
}

func (h *history) restart() {
	if h.held {
		h.all()
	}
	past, ledger := h.f.Past(), h.f.Ledger()
	h.lost += h.f.Skipped()
	h.must(h.f.Close())
	h.f = newFollower(h.path)
	h.f.Recall(ledger)
	if !h.f.Resume(h.at, past) {
		h.t.Fatalf("cannot resume at %+v", h.at)
	}
}

// shift moves .1 to .2 and so on, packed or not, as logrotate does.
func (h *history) shift() {
	for n := h.rotations; n > 0; n-- {
		for _, packing := range []string{"", ".gz"} {
			if _, err := os.Stat(fmt.Sprint(h.path, ".", n, packing)); err == nil {
				h.must(os.Rename(fmt.Sprint(h.path, ".", n, packing), fmt.Sprint(h.path, ".", n+1, packing)))
			}
		}
	}
	h.rotations++
	h.changed(filepath.Dir(h.path))
}

func (h *history) rename() {
	h.shift()
	h.must(os.Rename(h.path, h.path+".1"))
	h.changed(filepath.Dir(h.path))
}

// pack does to all rotated files what gzip does.
func (h *history) pack() {
	for n := 1; n <= h.rotations; n++ {
		name := fmt.Sprint(h.path, ".", n)
		info, err := os.Stat(name)
		if err != nil {
			continue
		}
		content, err := os.ReadFile(name)
		h.must(err)
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(content)
		h.must(w.Close())
		h.must(os.WriteFile(name+".gz", b.Bytes(), 0o600))
		h.must(os.Chtimes(name+".gz", info.ModTime(), info.ModTime()))
		h.must(os.Remove(name))
	}
	h.changed(filepath.Dir(h.path))
}

// TestFollowAnyHistory lets a log be written to and rotated in any order and any
// number of times between two reads, its rotated files shifted and packed, and the
// follower stopped and resumed anywhere: each line comes once, in order.
func TestFollowAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "follow")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		h := &history{grown: &grown{t: t, path: filepath.Join(dir, "access.log")}}
		h.f = newFollower(h.path)
		defer func() { h.f.Close() }()
		h.write("", 3)
		if rapid.Bool().Draw(t, "seen") {
			h.all()
		} else {
			h.next(1) // what is rotated before the first look is not followed
		}
		steps := []string{"write", "write", "next", "next", "all", "restart", "rename", "rename", "late", "copy", "part", "pack", "delete", "missed"}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			step := rapid.SampledFrom(steps).Draw(t, "step")
			switch step {
			case "write":
				h.write("", rapid.IntRange(1, 20).Draw(t, "lines"))
			case "next":
				h.next(rapid.IntRange(1, 4).Draw(t, "times"))
			case "all":
				h.all()
			case "restart":
				h.restart()
			case "rename":
				h.rename()
				h.write("", 4)
			case "late": // the writer turns to the new file later
				h.rename()
				h.next(rapid.IntRange(0, 2).Draw(t, "times"))
				h.write(".1", 2)
				h.next(rapid.IntRange(0, 2).Draw(t, "times"))
				h.write("", 1)
			case "copy":
				h.shift()
				h.copyTruncate(".1")
				h.changed(dir)
				h.write("", 1)
			case "part":
				h.append("", fmt.Sprintf("line %d of this ", h.n))
				h.next(rapid.IntRange(0, 2).Draw(t, "times"))
				h.append("", "log, which is followed\n")
				h.n++
			case "pack":
				h.pack()
			case "missed":
				h.missed(rapid.Bool().Draw(t, "over a restart"))
			case "delete":
				h.next(1)
				h.must(os.Remove(h.path))
				h.held = true
				h.changed(dir)
				h.write("", 2)
				h.next(1)
			}
		}
		h.all()
		wantLines(t, h.got, h.n)
		if h.lost += h.f.Skipped(); h.lost > 0 {
			t.Errorf("%d files are said to be lost", h.lost)
		}
	})
}

// newHistory is a follower that has read the first lines of a log.
func newHistory(t *testing.T) *history {
	h := &history{grown: &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}}
	h.f = newFollower(h.path)
	t.Cleanup(func() { h.f.Close() })
	h.write("", 3)
	h.all()
	return h
}

// want fails unless each line came once, and as many files as said were lost.
func (h *history) want(skipped uint64) {
	h.t.Helper()
	h.all()
	wantLines(h.t, h.got, h.n)
	if h.lost += h.f.Skipped(); h.lost != skipped {
		h.t.Errorf("%d files are said to be lost, want %d", h.lost, skipped)
	}
}

// A copy that copytruncate made is packed before the follower looks, and so is the
// log that was cut off: after a restart, too, the copy is known to have been read.
func TestFollowPackedCopy(t *testing.T) {
	h := newHistory(t)
	h.rename()
	h.write("", 4)
	h.all()
	h.shift()
	h.copyTruncate(".1")
	h.changed(filepath.Dir(h.path))
	h.write("", 7)
	h.rename()
	h.write("", 4)
	h.pack()
	h.next(1)
	h.restart()
	h.want(0)
}

// A link is turned to another file several times between two reads.
func TestFollowLink(t *testing.T) {
	h := newHistory(t)
	link := h.path
	turn := func(name string) {
		h.path = filepath.Join(filepath.Dir(link), name)
		os.Remove(link)
		h.must(os.Symlink(name, link))
		h.write("", 4)
	}
	h.must(os.Rename(link, link+"-0"))
	for day := range 3 {
		turn(fmt.Sprintf("site-2025-11-0%d.log", day+1))
	}
	h.next(2)
	h.path = link
	h.restart()
	for day := range 3 {
		turn(fmt.Sprintf("site-2025-11-1%d.log", day))
	}
	h.want(0)
}

// What a link leads to at the first look is read from its beginning.
func TestFollowLinkFromItsBeginning(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "site-2025-11-03.log")}
	g.write("", 5)
	link := filepath.Join(filepath.Dir(g.path), "access.log")
	g.must(os.Symlink(filepath.Base(g.path), link))
	h := &history{grown: g, f: newFollower(link)}
	t.Cleanup(func() { h.f.Close() })
	h.want(0)
}

// A writer goes on in a file that has been left.
func TestFollowLeftFileGrows(t *testing.T) {
	h := newHistory(t)
	h.rename()
	h.write("", 2)
	h.all()
	h.write(".1", 3)
	h.changed(filepath.Dir(h.path))
	h.all()
	h.restart()
	h.write(".1", 3)
	h.all()
	h.write("", 1)
	h.want(0)
}

// A copy that was made by hand, of the log or of a rotated file, is not read.
func TestFollowBackup(t *testing.T) {
	h := newHistory(t)
	backup := func(of, to string) {
		content, err := os.ReadFile(h.path + of)
		h.must(err)
		h.must(os.WriteFile(h.path+to, content, 0o600))
		h.changed(h.path + to)
	}
	h.write("", 9)
	backup("", ".1-1")
	h.write("", 2)
	h.all()
	h.rename()
	h.write("", 8)
	backup(".1", "-2")
	h.next(1)
	backup("", "-3")
	h.all()
	h.restart()
	h.rename()
	h.write("", 2)
	h.want(0)
}

// What is packed before it was read is read, from where its plain form was read to.
func TestFollowPacked(t *testing.T) {
	h := newHistory(t)
	h.write("", 9)
	h.next(1)
	h.rename()
	h.write("", 7)
	h.rename()
	h.pack()
	h.write("", 2)
	h.restart()
	h.next(2)
	h.restart() // in the middle of what was unpacked
	h.rename()
	h.pack()
	h.write("", 1)
	h.restart()
	h.want(0)
}

// A packed file that breaks off is counted, once it is not being written any more.
func TestFollowTornPacked(t *testing.T) {
	h := newHistory(t)
	h.write("", 50)
	h.all()
	h.rename()
	h.write("", 1)
	h.all()
	h.append(".0.gz", "\x1f\x8b\x08\x00 this is no gzip")
	h.changed(filepath.Dir(h.path))
	h.all()
	if h.f.Skipped() != 0 {
		t.Error("a packed file that is perhaps being written is said to be lost")
	}
}

// What cannot be read any more is counted.
func TestFollowLost(t *testing.T) {
	h := newHistory(t)
	h.must(os.Truncate(h.path, 0))
	h.write("", 2)
	h.want(1)
}

// More files are waiting than are held open.
func TestFollowManyWaiting(t *testing.T) {
	h := newHistory(t)
	for range maxHeld + 10 {
		h.rename()
		h.write("", 1)
	}
	h.next(3)
	h.restart()
	h.want(0)
}

// Files of the time before the first look are not read, nor are they later.
func TestFollowFromNowOn(t *testing.T) {
	g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
	for n := range 2 * maxPast {
		g.append(fmt.Sprint(".", 2*maxPast-n), fmt.Sprintf("of before %d\n", n))
	}
	h := &history{grown: g, f: newFollower(g.path), rotations: 2 * maxPast}
	t.Cleanup(func() { h.f.Close() })
	h.all()
	h.write("", 1)
	h.all()
	h.restart()
	h.rename()
	h.write("", 1)
	h.all()
	h.restart()
	h.want(0)
}
