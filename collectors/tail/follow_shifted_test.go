package tail

import (
	"fmt"
	"io"
	"os"
	"testing"
)

// shiftPacked renames the packed files, .n.gz to .n+1.gz, or back.
func (h *history) shiftPacked(on bool) {
	for i := range h.rotations {
		n := h.rotations - i
		from, to := n, n+1
		if !on {
			from, to = i+2, i+1
		}
		if err := os.Rename(fmt.Sprint(h.path, ".", from, ".gz"), fmt.Sprint(h.path, ".", to, ".gz")); err != nil {
			h.t.Error(err)
		}
	}
}

// Between a look into the directory and the look into a packed file the file's name is given
// to another one: neither is the other taken for it, nor it for done.
func TestFollowPackedUnderAnotherName(t *testing.T) {
	h := newHistory(t)
	h.rotate(3, true)
	elsewhere := &history{grown: &grown{t: t, path: h.path + ".put", n: h.n}, rotations: 1}
	elsewhere.write(".1", 5)
	elsewhere.pack()
	h.n = elsewhere.n
	h.must(os.Rename(elsewhere.path+".1.gz", h.path+".4.gz"))
	h.rotations++
	_, packed := siblings(h.path)
	h.shiftPacked(true)
	h.f.considerPacked(packed, nil)
	h.want(0)
}

// What is asked of a packed file is all asked of that one, whatever its name by then.
func TestPackedFileKeepsItself(t *testing.T) {
	h := newHistory(t)
	h.rotate(1, true)
	h.write("", 9)
	h.rename()
	h.pack()
	_, packed := siblings(h.path)
	for _, s := range packed {
		p, is := holdPacked(s)
		if !is {
			t.Fatal("it cannot be opened")
		}
		defer p.close()
		size, says := p.says()
		h.shiftPacked(true)
		file, err := p.unpacked()
		h.must(err)
		defer file.Close()
		first, ready := p.start()
		info, err := file.Stat()
		h.must(err)
		if mark := (Position{}).marked(file); !says || !ready || !mark.begins(first) || info.Size() != size || p.reaches(size-1) || !p.reaches(size) {
			t.Errorf("%s: %d bytes by its end, %d unpacked, its first ones %v", s.name, size, info.Size(), ready)
		}
		h.shiftPacked(false)
		if _, is := holdPacked(sibling{name: h.path + ".3.gz", id: s.id}); is {
			t.Error("a name that is no file's is held")
		}
	}
}

// A rotation shifts the packed files again and again while followers start anew beside it:
// they were all read, and a range of one is given again as it was.
func TestFollowPackedWhileShifted(t *testing.T) {
	h := newHistory(t)
	for i := range 60 {
		h.rename()
		h.write("", 3+i%7) // of different lengths
		h.pack()
		h.all()
	}
	past, ledger := h.f.Past(), h.f.Ledger()
	var of []Position
	var want []string
	_, packed := siblings(h.path)
	for _, s := range packed {
		p, is := holdPacked(s)
		if !is {
			t.Fatal("it cannot be opened")
		}
		file, err := p.unpacked()
		h.must(err)
		content, err := io.ReadAll(file)
		h.must(err)
		of, want = append(of, Position{Inode: 1, Offset: int64(len(content))}.marked(file)), append(want, string(content))
		p.close()
		h.must(file.Close())
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				h.shiftPacked(true)
				h.shiftPacked(false)
			}
		}
	}()
	for i := range 200 {
		f := newFollower(h.path)
		f.Recall(ledger)
		f.Resume(h.at, past)
		for range 3 {
			piece, err := f.Next()
			h.must(err)
			if len(piece.Data) > 0 {
				t.Errorf("a packed file was read again: %q", piece.Data)
			}
		}
		n := i % len(of)
		from := of[n]
		from.Offset = 0
		if data, err := f.Reread(from, of[n]); err != nil || string(data) != want[n] {
			t.Errorf("%q (%v) is given again, want %q", data, err, want[n])
		}
		h.must(f.Close())
	}
	close(stop)
	<-done
}
