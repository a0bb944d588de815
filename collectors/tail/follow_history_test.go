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
	past := h.f.Past()
	h.lost += h.f.Skipped()
	h.must(h.f.Close())
	h.f = newFollower(h.path)
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
		steps := []string{"write", "write", "next", "next", "all", "restart", "rename", "rename", "late", "copy", "part", "pack", "delete"}
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
				h.next(1)
				h.pack()
				h.held = true
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
