package tail

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// skip counts and logs a file that was not read to its end.
func (f *Follower) skip(what string, about ...any) {
	f.skipped++
	f.o.Logger.Warn(what+": lines are lost", append([]any{"log", f.path}, about...)...)
}

// remember makes Past from the known files.
func (f *Follower) remember() {
	marks := f.byChange()
	f.past = slices.Clone(marks[max(0, len(marks)-maxPast):])
}

// byChange gives all that is known, the file written to last coming last.
func (f *Follower) byChange() []Mark {
	marks := make([]Mark, 0, len(f.known)+len(f.former))
	marks = append(marks, f.former...)
	for _, k := range f.known {
		marks = append(marks, k)
	}
	slices.SortStableFunc(marks, func(a, b Mark) int {
		return cmp.Or(cmp.Compare(a.Changed, b.Changed), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Inode, b.Inode))
	})
	return marks
}

// replaced notes that another file has the inode of one that is known.
func (f *Follower) replaced(id fileID) {
	if k, is := f.known[id]; is {
		f.former = append(f.former[max(0, len(f.former)-maxPast+1):], k)
		delete(f.known, id)
	}
}

// prune forgets files that are gone, but for the last of them: their packed
// forms are told by them.
func (f *Follower) prune(present map[fileID]bool) {
	const most = 4 * maxPast
	if len(f.known) <= len(present)+most {
		return
	}
	marks := f.byChange()
	for _, k := range marks[:len(marks)-most] {
		if !present[k.id()] {
			delete(f.known, k.id())
		}
	}
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

// unpacked reports packed files whose plain form was never seen, or not to its
// end.
func (f *Follower) unpacked(files []sibling) {
	present := make(map[fileID]bool, len(files))
	for _, s := range files {
		present[s.id] = true
		if f.packed[s.id] {
			continue
		}
		if !f.begun && (!f.resumed || len(f.past) == 0 || s.changed() <= f.past[0].Changed) {
			f.packed[s.id] = true
			continue
		}
		if accounted, ready := f.accounted(s); accounted {
			f.packed[s.id] = true
		} else if ready {
			f.packed[s.id] = true
			f.skip("a rotated log was packed before it could be read: "+
				"delay packing by one rotation (delaycompress)", "file", s.name)
		}
	}
	for id := range f.packed {
		if !present[id] {
			delete(f.packed, id)
		}
	}
}

// accounted reports whether a packed file is of one that was read to its end, or
// is open. It is not ready as long as it is being written.
func (f *Follower) accounted(s sibling) (accounted, ready bool) {
	first, ready := unpackedStart(s.name)
	same := func(p Position, changed int64) bool {
		if first == nil { // packed in a way that is not read: packers keep the time
			return changed == s.changed()
		}
		return p.begins(first)
	}
	if f.file != nil && same(f.at, changedOf(f.file)) {
		return true, ready
	}
	for i := range f.queue {
		if same(f.queue[i].at, changedOf(f.queue[i].file)) {
			return true, ready
		}
	}
	for _, k := range f.byChange() {
		if same(k.Position, k.Changed) && reaches(s.name, k.Offset) {
			return true, ready
		}
	}
	return false, ready
}

// gone looks for the packed form of a file that was to be read on from p.
func (f *Follower) gone(p Position) (complete bool) {
	_, packed := siblings(f.path)
	for _, s := range packed {
		first, _ := unpackedStart(s.name)
		if first == nil || !p.begins(first) {
			continue
		}
		f.packed[s.id] = true
		if reaches(s.name, p.Offset) {
			return true
		}
		f.skip("a rotated log was packed before it was read to its end: "+
			"delay packing by one rotation (delaycompress)", "file", s.name, "offset", p.Offset)
		return false
	}
	f.skip("the log was deleted or replaced while nobody followed it", "offset", p.Offset)
	return false
}

// unpackedStart gives the first bytes of a packed file, nil where its packing is not
// read; ready is false where it is too short or torn as yet.
func unpackedStart(name string) (first *bytes.Reader, ready bool) {
	file, err := os.Open(name)
	if err != nil {
		return bytes.NewReader(nil), false
	}
	defer file.Close()
	var plain io.Reader
	switch {
	case strings.HasSuffix(name, ".gz"):
		plain, err = gzip.NewReader(file)
	case strings.HasSuffix(name, ".zst"):
		var decoder *zstd.Decoder
		if decoder, err = zstd.NewReader(file, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1)); err == nil {
			defer decoder.Close()
			plain = decoder
		}
	default:
		return nil, true
	}
	if err != nil {
		return bytes.NewReader(nil), false
	}
	data := make([]byte, fingerprintLength)
	n, err := io.ReadFull(plain, data)
	return bytes.NewReader(data[:n]), n > 0 && (err == nil || err == io.EOF || err == io.ErrUnexpectedEOF)
}

// reaches reports whether a packed file held no more than offset bytes, as far as
// it says: gzip's last four bytes are its length (RFC 1952, 2.3.1).
func reaches(name string, offset int64) bool {
	if !strings.HasSuffix(name, ".gz") {
		return true
	}
	file, err := os.Open(name)
	if err != nil {
		return true
	}
	defer file.Close()
	info, err := file.Stat()
	var last [4]byte
	if err == nil {
		_, err = file.ReadAt(last[:], max(0, info.Size()-4))
	}
	return err != nil || binary.LittleEndian.Uint32(last[:]) == uint32(offset)
}
