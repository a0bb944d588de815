package tail

import (
	"cmp"
	"slices"
)

// skip counts and logs a file that was not read to its end.
func (f *Follower) skip(what string, about ...any) {
	f.skipped++
	f.o.Logger.Warn(what+": lines may be lost", append([]any{"log", f.path}, about...)...)
}

// byChange gives all that is known, the file written to last coming last.
func (f *Follower) byChange() []Mark {
	marks := make([]Mark, 0, len(f.known)+len(f.former))
	marks = append(marks, f.former...)
	for _, k := range f.known {
		marks = append(marks, k)
	}
	slices.SortStableFunc(marks, compareMarks)
	return marks
}

func compareMarks(a, b Mark) int {
	return cmp.Or(cmp.Compare(a.Changed, b.Changed), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Inode, b.Inode))
}

// replaced notes that another file has the inode of one that is known.
func (f *Follower) replaced(id fileID) {
	if k, is := f.known[id]; is {
		f.gone(k)
		delete(f.known, id)
	}
}

// note makes the current file a known one. Where another had its inode before, be it a
// log that was packed since, what was read of that one is kept.
func (f *Follower) note(changed int64) {
	if k, is := f.known[f.at.id()]; is && !k.begins(f.file) {
		f.replaced(k.id())
	}
	f.known[f.at.id()] = Mark{f.at, changed}
}

// vanished reports the files that were deleted before they could be opened.
func (f *Follower) vanished(present map[fileID]bool) {
	for id, name := range f.waiting {
		if !present[id] && !f.has(id) {
			delete(f.waiting, id)
			f.skip("a rotated log was deleted before it could be read", "file", name)
		}
	}
}
