package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// What is packed before it was read to its end is unpacked into a file without a name,
// which is read like the one that was packed, from where that one was read to.
const (
	maxUnpacked = 64 << 30        // bytes of one file
	tornAfter   = 1 * time.Minute // when a packed file that breaks off is not one that is still being written
)

var errPacking = errors.New("packed in a way that is not read: unpack it, or pack with gzip or zstd")

// considerPacked opens the packed files whose plain form was never seen, or not to its
// end.
func (f *Follower) considerPacked(files []sibling, cuts []*cutOff) {
	present := make(map[fileID]bool, len(files))
	for _, s := range files {
		present[s.id] = true
		if f.packed[s.id] {
			continue
		}
		if !f.begun && f.olderPacked(s) {
			f.packed[s.id] = true
			continue
		}
		if len(f.queue) >= maxHeld {
			continue
		}
		if accounted, ready := f.accounted(s, cuts); accounted {
			f.packed[s.id] = true
		} else if ready {
			f.openPacked(s, cuts)
		}
	}
	for id := range f.packed {
		if !present[id] {
			delete(f.packed, id)
		}
	}
	for id := range f.torn {
		if !present[id] {
			delete(f.torn, id)
		}
	}
}

// olderPacked reports, at the first look, whether a packed file is of the time before
// what is to be read.
func (f *Follower) olderPacked(s sibling) bool {
	switch {
	case !f.resumed:
		return f.o.Since.IsZero() || !s.info.ModTime().After(f.o.Since)
	case len(f.past) > 0:
		return s.changed() <= f.past[0].Changed
	}
	return f.changed == 0 || s.changed() <= f.changed
}

// openPacked puts a packed file into the queue, at the place up to which its plain form
// was read.
func (f *Follower) openPacked(s sibling, cuts []*cutOff) {
	file, ready := f.unpack(s)
	if !ready {
		return
	}
	f.packed[s.id] = true
	if file == nil {
		return
	}
	at := Position{}.in(s.id).marked(file)
	for _, k := range f.byChange() {
		if k.begins(file) {
			at.Offset = max(at.Offset, k.Offset)
		}
	}
	for _, cut := range cuts {
		if cut.at.begins(file) {
			cut.found, at.Offset = true, cut.at.Offset
		}
	}
	f.o.Logger.Info("a rotated log was packed before it was read to its end: it is unpacked and read on", "file", s.name, "offset", at.Offset)
	f.queue = append(f.queue, held{file: file, at: at, suffix: s.suffix})
}

// unpack gives what a packed file holds, as an open file without a name. It is not
// ready as long as the packed file may still be being written; nil and ready where it
// cannot be read, which is counted and logged.
func (f *Follower) unpack(s sibling) (file *os.File, ready bool) {
	file, err := unpacked(s)
	if err == nil {
		return file, true
	}
	if since, is := f.torn[s.id]; !is || time.Since(since) < tornAfter {
		if !is {
			f.torn[s.id] = time.Now()
		}
		if !errors.Is(err, errPacking) {
			return nil, false
		}
	}
	f.skip("a rotated log was packed before it was read to its end, and cannot be unpacked", "file", s.name, "error", err)
	return nil, true
}

// unpacked unpacks a file into one without a name, which has the same time.
func unpacked(s sibling) (*os.File, error) {
	plain, end, err := openPlain(s.name)
	if err != nil {
		return nil, err
	}
	defer end()
	out, err := os.CreateTemp("", "weir-unpacked-")
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(out, io.LimitReader(plain, maxUnpacked+1))
	if err == nil && n > maxUnpacked {
		err = fmt.Errorf("it holds more than %d bytes", int64(maxUnpacked))
	}
	if err == nil {
		err = os.Chtimes(out.Name(), s.info.ModTime(), s.info.ModTime())
	}
	if err = errors.Join(err, os.Remove(out.Name())); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// openPlain opens a packed file.
func openPlain(name string) (plain io.Reader, end func(), err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	end = func() { file.Close() }
	switch {
	case strings.HasSuffix(name, ".gz"):
		plain, err = gzip.NewReader(file)
	case strings.HasSuffix(name, ".zst"):
		var decoder *zstd.Decoder
		if decoder, err = zstd.NewReader(file, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err == nil {
			end = func() { decoder.Close(); file.Close() }
			plain = decoder
		}
	default:
		err = errPacking
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return plain, end, nil
}

// accounted reports whether a packed file is of one that was read to its end, or
// is open. It is not ready as long as it is being written.
func (f *Follower) accounted(s sibling, cuts []*cutOff) (accounted, ready bool) {
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
		if same(k.Position, k.Changed) && (first == nil || ready && reaches(s.name, k.Offset)) {
			return true, ready
		}
	}
	for _, cut := range cuts {
		if first != nil && ready && cut.at.begins(first) && reaches(s.name, cut.at.Offset) {
			cut.found = true
			f.gone(Mark{cut.at, s.changed()}) // or a restart would read the packed copy
			return true, ready
		}
	}
	return false, ready
}

// unpackedStart gives the first bytes of a packed file, nil where its packing is not
// read; ready is false where it is too short or torn as yet.
func unpackedStart(name string) (first *bytes.Reader, ready bool) {
	plain, end, err := openPlain(name)
	if errors.Is(err, errPacking) {
		return nil, true
	}
	if err != nil {
		return bytes.NewReader(nil), false
	}
	defer end()
	data := make([]byte, fingerprintLength)
	n, err := io.ReadFull(plain, data)
	return bytes.NewReader(data[:n]), n > 0 && (err == nil || err == io.EOF || err == io.ErrUnexpectedEOF)
}

// reaches reports whether a packed file holds no more than offset bytes. That takes
// unpacking it, once.
func reaches(name string, offset int64) bool {
	plain, end, err := openPlain(name)
	if err != nil {
		return false
	}
	defer end()
	n, err := io.Copy(io.Discard, io.LimitReader(plain, offset+1))
	return err == nil && n <= offset
}

// findPacked finds the packed form of the file that p is in, where it holds more than
// p's offset. whole says that it holds no more: p's file was read to its end.
func findPacked(path string, p Position, unpack func(sibling) (*os.File, bool)) (file *os.File, in sibling, whole bool) {
	_, packed := siblings(path)
	for _, s := range packed {
		first, _ := unpackedStart(s.name)
		if first == nil || !p.begins(first) {
			continue
		}
		if reaches(s.name, p.Offset) {
			return nil, s, true
		}
		file, _ = unpack(s)
		return file, s, false
	}
	return nil, sibling{}, false
}

// resumePacked goes on in the packed form of a file that was to be read on from p.
func (f *Follower) resumePacked(p Position) (complete bool) {
	file, in, whole := findPacked(f.path, p, f.unpack)
	switch {
	case whole:
		f.packed[in.id] = true
		f.replaced(p.id())
		f.known[p.id()] = Mark{p, in.changed()} // or it would be read again, next time
	case file != nil:
		f.packed[in.id] = true
		f.file, f.at = file, p.in(in.id)
		f.o.Logger.Info("a log was packed before it was read to its end: it is unpacked and read on", "log", f.path, "offset", p.Offset)
	default:
		f.skip("the log was deleted or replaced while nobody followed it", "offset", p.Offset)
		return false
	}
	f.changed = in.changed()
	return true
}
