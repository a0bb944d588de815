package tail

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// missed hides what rotation has made from a look, as the renames of the next one can, be
// it the first after a restart or not. What was not read before is read first.
func (h *history) missed(restart bool) {
	h.all()
	back := h.hide()
	if restart {
		h.restart()
	}
	h.all()
	back()
	h.all()
}

// hide moves the rotated files away until back is called.
func (h *history) hide() (back func()) {
	hidden, err := filepath.Glob(h.path + ".*")
	h.must(err)
	aside, err := os.MkdirTemp(filepath.Dir(filepath.Dir(h.path)), "aside")
	h.must(err)
	move := func(from, to string) {
		for _, name := range hidden {
			h.must(os.Rename(filepath.Join(from, filepath.Base(name)), filepath.Join(to, filepath.Base(name))))
		}
		h.changed(filepath.Dir(h.path))
	}
	move(filepath.Dir(h.path), aside)
	return func() {
		move(aside, filepath.Dir(h.path))
		h.must(os.Remove(aside))
	}
}

// rotate rotates so often that Past does not hold all, and reads what is there.
func (h *history) rotate(times int, packed bool) {
	for range times {
		h.rename()
		if h.write("", 3); packed {
			h.pack()
		}
		h.all()
	}
}

// Renames hide files from a look that falls between them. One that was read long ago is not
// taken for a new one when it is seen again, be it packed or not, and be the look that
// missed it the first after a restart or a later one.
func TestFollowMissedByALook(t *testing.T) {
	for _, packed := range []bool{true, false} {
		for _, restart := range []bool{true, false} {
			h := newHistory(t)
			h.rotate(2*maxPast, packed)
			h.missed(restart)
			h.write("", 2)
			h.want(0)
		}
	}
}

// A log of old that is put beside the followed one, packed or not, is read, however many
// there are that are newer; a copy of one that was read is not.
func TestFollowOldLogPutBeside(t *testing.T) {
	for _, packed := range []bool{true, false} {
		h := newHistory(t)
		h.rotate(2*maxPast, packed)
		h.restart()
		h.all()
		elsewhere := &history{grown: &grown{t: t, path: filepath.Join(t.TempDir(), "other.log"), n: h.n}, rotations: 1}
		elsewhere.write(".1", 5)
		suffix := ".1"
		if packed {
			elsewhere.pack()
			suffix = ".1.gz"
		}
		h.n = elsewhere.n
		h.must(os.Rename(elsewhere.path+suffix, h.path+".9"+suffix))
		h.changed(filepath.Dir(h.path))
		h.want(0)
		copied, err := os.ReadFile(fmt.Sprint(h.path, ".20", suffix[2:]))
		h.must(err)
		h.must(os.WriteFile(h.path+".8"+suffix, copied, 0o600))
		h.changed(filepath.Dir(h.path))
		h.restart()
		h.want(0)
	}
}

// Of more files than are remembered, the oldest are told by their time.
func TestFollowRemembersSoMany(t *testing.T) {
	for _, packed := range []bool{true, false} {
		h := newHistory(t)
		h.f.most = maxPast
		h.rotate(3*maxPast, packed)
		back := h.hide()
		h.all()
		ledger, past := h.f.Ledger(), h.f.Past()
		h.must(h.f.Close())
		h.f = newFollower(h.path)
		h.f.most = maxPast
		h.f.Recall(ledger)
		h.f.Resume(h.at, past)
		h.all()
		back()
		h.want(0)
		if most := ledgerHead + maxPast*ledgerEntry; len(h.f.Ledger()) != most {
			t.Errorf("the ledger has %d bytes, want %d", len(h.f.Ledger()), most)
		}
	}
}

// What was packed without the unpacked length in it is unpacked to be told; the other is
// told without.
func TestFollowPackedSizes(t *testing.T) {
	h := newHistory(t)
	h.rename()
	h.pack()
	_, packed := siblings(h.path)
	p, held := holdPacked(packed[0])
	if !held {
		t.Fatal("it cannot be opened")
	}
	defer p.close()
	if size, is := p.says(); !is || size != 3*int64(len("line 0 of this log, which is followed\n")) {
		t.Errorf("a gzip file says that it holds %d bytes, %v", size, is)
	}
}

// FuzzRecall takes damaged ledgers: whatever is in one, the log's own lines come, and what
// is made of it is of the form that it is read in.
func FuzzRecall(f *testing.F) {
	f.Add([]byte{}, 3)
	head := append([]byte{ledgerVersion}, make([]byte, 8)...)
	f.Add(head, 1)
	f.Add(appendMark(head, Mark{Position{Length: 256, Offset: wholeFile, Fingerprint: 7}, 5}), 2)
	f.Add(append(head, bytes.Repeat([]byte{255}, 3*ledgerEntry+1)...), 4)
	f.Fuzz(func(t *testing.T, ledger []byte, lines int) {
		g := &grown{t: t, path: filepath.Join(t.TempDir(), "access.log")}
		g.write(".1", 2) // of the time before
		g.write("", 1+lines&7)
		want, err := os.ReadFile(g.path)
		g.must(err)
		follower := newFollower(g.path)
		follower.Recall(ledger)
		if text, _ := drain(t, follower); text != string(want) {
			t.Errorf("the log's lines are %q, want %q", text, want)
		}
		made := follower.Ledger()
		if len(made) > ledgerHead+maxLedger*ledgerEntry || len(made)%ledgerEntry != ledgerHead {
			t.Errorf("a ledger of %d bytes is made", len(made))
		}
		again := newFollower(g.path)
		again.Recall(made)
		if len(again.former) != len(made)/ledgerEntry {
			t.Errorf("%d of %d files are recalled", len(again.former), len(made)/ledgerEntry)
		}
		if follower.Close() != nil || again.Close() != nil {
			t.Error("it is not closed")
		}
	})
}

// The file that is to be read on is hidden at a restart: once it is seen it is read on from
// there, and until then it counts as lost.
func TestFollowPlaceMissed(t *testing.T) {
	for _, packed := range []bool{true, false} {
		h := newHistory(t)
		h.rotate(2, packed)
		past, ledger := h.f.Past(), h.f.Ledger()
		h.must(h.f.Close())
		h.write("", 5)
		h.rename()
		if packed {
			h.pack()
		}
		back := h.hide()
		h.f = newFollower(h.path)
		h.f.Recall(ledger)
		if h.f.Resume(h.at, past) {
			t.Error("what is hidden is said to be found")
		}
		h.all()
		back()
		h.write("", 1)
		h.want(1)
	}
}

// As long as the directory changes, a file is looked for again.
func TestSeekThroughRenames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	looks := 0
	seek(path, func() bool {
		if err := os.WriteFile(fmt.Sprint(path, ".", looks), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		looks++
		return looks == 10
	})
	if looks != 10 {
		t.Errorf("given up after %d looks", looks)
	}
}
