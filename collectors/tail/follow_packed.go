package tail

import (
	"bytes"
	"errors"
	"os"
	"time"
)

// What is packed before it was read to its end is unpacked into a file without a name,
// which is read like the one that was packed, from where that one was read to.
//
// tornAfter is when a packed file that breaks off is not one that is still being written.
const tornAfter = 1 * time.Minute

// considerPacked opens the packed files whose plain form was never seen, or not to its
// end.
func (f *Follower) considerPacked(files []sibling, cuts []*cutOff) {
	for _, s := range files {
		if was, is := f.packed[s.id]; is && was == packedAs(s) {
			continue
		}
		if len(f.queue) >= maxHeld {
			continue
		}
		if p, is := holdPacked(s); is { // or another has its name by now: the next look tells
			f.considerHeld(p, cuts)
			p.close()
		}
	}
}

func (f *Follower) considerHeld(p *packedFile, cuts []*cutOff) {
	first, ready := p.start()
	switch {
	case f.accounted(p, first, ready, cuts):
		f.packed[p.id] = packedAs(p.sibling)
	case f.olderPacked(p.sibling):
		f.dealtWith(p.sibling, first)
	case ready:
		f.openPacked(p, first, cuts)
	}
}

// packedLog is what a packed file was like when it was looked at: one with its inode and
// another length or time is another, or was still being written.
type packedLog struct{ size, changed int64 }

func packedAs(s sibling) packedLog { return packedLog{s.info.Size(), s.changed()} }

// dealtWith notes a packed file of which nothing is to be read.
func (f *Follower) dealtWith(s sibling, first *bytes.Reader) {
	f.packed[s.id] = packedAs(s)
	k := Mark{Changed: s.changed()}
	if first != nil {
		k.Position = k.marked(first)
	}
	k.Offset = wholeFile
	f.gone(k)
}

// openPacked puts a packed file into the queue, at the place up to which its plain form
// was read.
func (f *Follower) openPacked(p *packedFile, first *bytes.Reader, cuts []*cutOff) {
	file, ready := f.unpack(p)
	if !ready {
		return
	}
	if file == nil {
		f.dealtWith(p.sibling, first)
		return
	}
	f.packed[p.id] = packedAs(p.sibling)
	at := Position{}.in(p.id).marked(file)
	for _, k := range f.byChange() {
		if k.begins(first) {
			at.Offset = max(at.Offset, k.Offset)
		}
	}
	for _, cut := range cuts {
		if cut.at.begins(file) {
			cut.found, at.Offset = true, cut.at.Offset
		}
	}
	f.o.Logger.Info("a rotated log was packed before it was read to its end: it is unpacked and read on", "file", p.name, "offset", at.Offset)
	f.queue = append(f.queue, held{file: file, at: at, suffix: p.suffix})
}

// unpack gives what a packed file holds, as an open file without a name. It is not
// ready as long as the packed file may still be being written; nil and ready where it
// cannot be read, which is counted and logged.
func (f *Follower) unpack(p *packedFile) (file *os.File, ready bool) {
	file, err := p.unpacked()
	if err == nil {
		return file, true
	}
	if since, is := f.torn[p.id]; !is || time.Since(since) < tornAfter {
		if !is {
			f.torn[p.id] = time.Now()
		}
		if !errors.Is(err, errPacking) {
			return nil, false
		}
	}
	f.skip("a rotated log was packed before it was read to its end, and cannot be unpacked", "file", p.name, "error", err)
	return nil, true
}

// accounted reports whether a packed file, whose first bytes are given, is of one that was
// read to its end, or is open.
func (f *Follower) accounted(p *packedFile, first *bytes.Reader, ready bool, cuts []*cutOff) bool {
	same := func(at Position, changed int64) bool {
		if first == nil || at.Length == 0 && at.Offset == wholeFile { // it cannot be unpacked: packers keep the time
			return changed == p.changed()
		}
		return at.begins(first)
	}
	if f.file != nil && same(f.at, changedOf(f.file)) {
		return true
	}
	for i := range f.queue {
		if same(f.queue[i].at, changedOf(f.queue[i].file)) {
			return true
		}
	}
	for _, k := range f.byChange() {
		if same(k.Position, k.Changed) && (first == nil || k.Offset == wholeFile || ready && p.reaches(k.Offset)) {
			return true
		}
	}
	for _, cut := range cuts {
		if first != nil && ready && cut.at.begins(first) && p.reaches(cut.at.Offset) {
			cut.found = true
			f.gone(Mark{cut.at, p.changed()}) // or a restart would read the packed copy
			return true
		}
	}
	return false
}

// findPacked finds the packed form of the file that at is in, where it holds more than
// at's offset. whole says that it holds no more: at's file was read to its end.
func findPacked(path string, at Position, unpack func(*packedFile) (*os.File, bool)) (file *os.File, in sibling, whole bool) {
	_, packed := siblings(path)
	for _, s := range packed {
		p, is := holdPacked(s)
		if !is {
			continue
		}
		first, _ := p.start()
		found := first != nil && at.begins(first)
		if whole = found && p.reaches(at.Offset); found && !whole {
			file, _ = unpack(p)
		}
		if p.close(); found {
			return file, p.sibling, whole
		}
	}
	return nil, sibling{}, false
}

// resumePacked goes on in the packed form of a file that was to be read on from p.
func (f *Follower) resumePacked(p Position) (found bool) {
	file, in, whole := findPacked(f.path, p, f.unpack)
	switch {
	case whole:
		f.packed[in.id] = packedAs(in)
		f.replaced(p.id())
		f.known[p.id()] = Mark{p, in.changed()} // or it would be read again, next time
	case file != nil:
		f.packed[in.id] = packedAs(in)
		f.file, f.at = file, p.in(in.id)
		f.o.Logger.Info("a log was packed before it was read to its end: it is unpacked and read on", "log", f.path, "offset", p.Offset)
	default:
		return false
	}
	f.changed = in.changed()
	return true
}
