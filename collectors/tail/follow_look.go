package tail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// maxHeld bounds how many files are held open; more wait beside the log.
const maxHeld = 128

// maxPast is how many files Past gives.
const maxPast = 16

// cutOff is where a file was read to that has been truncated.
type cutOff struct {
	at    Position
	found bool // a file that holds what was cut off
}

// look finds out what rotation has done since the last look, and opens all that is
// to be read. The directory is read only where it has changed, and every few
// polls because a file that was left may have grown.
func (f *Follower) look() {
	info, err := os.Stat(f.path)
	cuts := f.truncated()
	times, now := directoryTimes(f.path), time.Now()
	var head fileID
	if err == nil {
		head = idOf(info)
	}
	same := f.setHead(head) || err != nil
	if f.begun && same && len(cuts) == 0 && times == f.times && now.Sub(f.looked) < 10*f.o.Poll {
		return
	}
	for range 5 { // until no rename came between
		before := directoryTimes(f.path)
		f.scan(cuts)
		if before == directoryTimes(f.path) {
			break
		}
	}
	f.begun, f.looked, f.times = true, now, times
	if now.Sub(time.Unix(0, max(times[0], times[1]))) < time.Second {
		f.times = [2]int64{} // those of file systems are coarse: look again
	}
	for _, cut := range cuts {
		if !cut.found && cut.at.Length > 0 {
			f.skip("a log was cut off and no copy of it found", "offset", cut.at.Offset)
			f.gone(Mark{cut.at, now.UnixNano()}) // should one be found later
		}
	}
}

// setHead notes which of the open files is the one at path; false where none is.
func (f *Follower) setHead(id fileID) bool {
	f.head = f.file != nil && f.at.id() == id
	found := f.head
	for i := range f.queue {
		f.queue[i].head = f.queue[i].at.id() == id
		found = found || f.queue[i].head
	}
	return found
}

// truncated finds the open files whose bytes have been cut off. They are read
// from their beginning when their turn comes.
func (f *Follower) truncated() (cuts []*cutOff) {
	whole := func(file *os.File, at *Position) bool {
		if at.holds(file, at.Offset) {
			if at.Length == 0 {
				*at = at.marked(file)
			}
			return true
		}
		cuts = append(cuts, &cutOff{at: *at})
		*at = Position{}.in(at.id()).marked(file)
		return false
	}
	for i := range f.queue {
		whole(f.queue[i].file, &f.queue[i].at)
	}
	if f.file != nil && !whole(f.file, &f.at) {
		f.putBack()
	}
	return cuts
}

// putBack puts the current file back into the queue.
func (f *Follower) putBack() {
	f.queue = append([]held{{file: f.file, at: f.at, head: f.head}}, f.queue...)
	if f.at.Offset > 0 { // a restart goes on there
		f.note(changedOf(f.file))
	}
	f.file = nil
}

func changedOf(file *os.File) int64 {
	info, err := file.Stat()
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// scan opens the files beside the log, and the one at path, that hold something
// to read.
func (f *Follower) scan(cuts []*cutOff) {
	f.lead()
	plain, packed := siblings(f.path)
	before := len(f.queue)
	present := make(map[fileID]bool, len(plain))
	for _, s := range plain {
		present[s.id] = true
		for i := range f.queue {
			if f.queue[i].at.id() == s.id {
				f.queue[i].suffix = s.suffix
			}
		}
	}
	// Files that are known first: whether another is a copy of one depends on it.
	for _, known := range []bool{true, false} {
		for _, s := range plain {
			if _, is := f.known[s.id]; is == known {
				f.consider(s, cuts, present)
			}
		}
	}
	f.considerHead(cuts, present)
	f.considerPacked(packed, cuts)
	f.vanished(present)
	if len(f.queue) > before {
		f.arrange()
	}
	for _, s := range packed {
		present[s.id] = true
	}
	f.prune(present)
	f.remember()
}

// lead notes where path leads, if it is a link.
func (f *Follower) lead() {
	target := linked(f.path)
	f.link.Store(target != "")
	if f.target = filepath.Dir(target); target == "" || f.target == filepath.Dir(f.path) {
		f.target = ""
	}
}

// headID is that of the file at path by now.
func (f *Follower) headID() fileID {
	info, err := os.Stat(f.path)
	if err != nil {
		return fileID{}
	}
	return idOf(info)
}

// consider opens a file beside the log where it holds something to read.
func (f *Follower) consider(s sibling, cuts []*cutOff, present map[fileID]bool) {
	if f.has(s.id) || !f.begun && !f.resumed && s.id == f.headID() {
		return // what path is a link to is read from its beginning, be it ever so old
	}
	if k, is := f.known[s.id]; is && s.info.Size() == k.Offset && s.changed() == k.Changed {
		return
	}
	if len(f.queue) >= maxHeld {
		f.waiting[s.id] = s.name
		return
	}
	file, err := os.Open(s.name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !f.refused[s.id] && f.begun {
			f.refused[s.id] = true
			f.skip("a rotated log cannot be opened", "file", s.name, "error", err)
		}
		return
	}
	start, size, err := startOf(file)
	if err != nil || start.id() != s.id { // another has its name by now: the next look tells
		file.Close()
		return
	}
	if _, is := f.known[s.id]; !is && f.older(s) {
		start.Offset = size
		f.known[s.id] = Mark{start.marked(file), s.changed()}
		file.Close()
		return
	}
	at, unread := f.beginning(file, start, size, cuts, present)
	if !unread {
		file.Close()
		return
	}
	delete(f.waiting, s.id)
	f.queue = append(f.queue, held{file: file, at: at, suffix: s.suffix})
}

// has reports whether a file is open.
func (f *Follower) has(id fileID) bool {
	if f.file != nil && f.at.id() == id {
		return true
	}
	for i := range f.queue {
		if f.queue[i].at.id() == id {
			return true
		}
	}
	return false
}

// beginning is where to begin to read a file, and whether there is anything.
func (f *Follower) beginning(file *os.File, start Position, size int64, cuts []*cutOff, present map[fileID]bool) (at Position, unread bool) {
	id := start.id()
	if k, is := f.known[id]; is && k.holds(file, k.Offset) {
		if size == k.Offset {
			k.Changed = changedOf(file)
			f.known[id] = k
		}
		return k.Position, size > k.Offset
	}
	f.replaced(id)
	for _, cut := range cuts {
		if cut.at.Length > 0 && cut.at.holds(file, cut.at.Offset) {
			cut.found = true
			f.known[id] = Mark{cut.at.in(id), changedOf(file)}
			return f.known[id].Position, size > cut.at.Offset
		}
	}
	if f.copyOfOpen(file, size) {
		return start, false
	}
	first := beginningOf(file)
	for _, k := range f.byChange() {
		if !k.begins(first) {
			continue
		}
		if size > k.Offset && !present[k.id()] {
			return k.in(id), true
		}
		k.Position = k.in(id)
		k.Offset, k.Changed = size, changedOf(file)
		f.known[id] = k
		return k.Position, false
	}
	return start.marked(file), size > 0
}

// copyOfOpen reports whether file is a copy of one that is open and whole: it is
// of use only once that one is cut off.
func (f *Follower) copyOfOpen(file *os.File, size int64) bool {
	mark := Position{}.marked(file)
	copyOf := func(other *os.File, at Position) bool {
		info, err := other.Stat()
		return err == nil && size <= info.Size() && (at.begins(file) || mark.begins(other))
	}
	if f.file != nil && copyOf(f.file, f.at) {
		return true
	}
	for i := range f.queue {
		if copyOf(f.queue[i].file, f.queue[i].at) {
			return true
		}
	}
	return false
}

// considerHead opens the file at path where it is not open yet.
func (f *Follower) considerHead(cuts []*cutOff, present map[fileID]bool) {
	if len(f.queue) >= maxHeld {
		return
	}
	f.trouble = nil
	file, err := os.Open(f.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.trouble = pathError(f.path, err)
			return
		}
		f.setHead(fileID{})
		f.o.FromEnd = false // all that it will hold is new
		return
	}
	start, size, err := startOf(file)
	if err != nil || f.setHead(start.id()) {
		file.Close()
		return
	}
	at := start.marked(file)
	if f.o.FromEnd {
		at.Offset = size
		var last [1]byte
		_, err = file.ReadAt(last[:], max(0, size-1))
		at.Inside = err == nil && last[0] != '\n'
	} else if from, _ := f.beginning(file, start, size, cuts, present); from.id() == start.id() {
		at = from
	}
	f.o.FromEnd = false
	f.queue = append(f.queue, held{file: file, at: at, head: true})
	f.arrange()
}

// arrange puts the queue in the order of rotation.
func (f *Follower) arrange() {
	if f.file != nil && f.head {
		f.putBack() // what came before it is read first
	}
	changed := make(map[*os.File]int64, len(f.queue))
	for _, h := range f.queue {
		changed[h.file] = changedOf(h.file)
	}
	sort.SliceStable(f.queue, func(i, j int) bool {
		a, b := f.queue[i], f.queue[j]
		if a.head != b.head {
			return b.head
		}
		if changed[a.file] != changed[b.file] {
			return changed[a.file] < changed[b.file]
		}
		return olderSuffix(a.suffix, b.suffix)
	})
}
