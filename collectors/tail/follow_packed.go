package tail

import (
	"bytes"
	"encoding/binary"
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
	for _, s := range files {
		if was, is := f.packed[s.id]; is && was == packedAs(s) {
			continue
		}
		if len(f.queue) >= maxHeld {
			continue
		}
		first, ready := unpackedStart(s.name)
		switch {
		case f.accounted(s, first, ready, cuts):
			f.packed[s.id] = packedAs(s)
		case f.olderPacked(s):
			f.dealtWith(s, first)
		case ready:
			f.openPacked(s, first, cuts)
		}
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
func (f *Follower) openPacked(s sibling, first *bytes.Reader, cuts []*cutOff) {
	file, ready := f.unpack(s)
	if !ready {
		return
	}
	if file == nil {
		f.dealtWith(s, first)
		return
	}
	f.packed[s.id] = packedAs(s)
	at := Position{}.in(s.id).marked(file)
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

// accounted reports whether a packed file, whose first bytes are given, is of one that was
// read to its end, or is open.
func (f *Follower) accounted(s sibling, first *bytes.Reader, ready bool, cuts []*cutOff) bool {
	same := func(p Position, changed int64) bool {
		if first == nil || p.Length == 0 && p.Offset == wholeFile { // it cannot be unpacked: packers keep the time
			return changed == s.changed()
		}
		return p.begins(first)
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
		if same(k.Position, k.Changed) && (first == nil || k.Offset == wholeFile || ready && reaches(s.name, k.Offset)) {
			return true
		}
	}
	for _, cut := range cuts {
		if first != nil && ready && cut.at.begins(first) && reaches(s.name, cut.at.Offset) {
			cut.found = true
			f.gone(Mark{cut.at, s.changed()}) // or a restart would read the packed copy
			return true
		}
	}
	return false
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

// reaches reports whether a packed file holds no more than offset bytes. Where it does not
// say that it holds just as many, that takes unpacking it, once.
func reaches(name string, offset int64) bool {
	if says, is := unpackedSize(name); is && says == offset {
		return true
	}
	plain, end, err := openPlain(name)
	if err != nil {
		return false
	}
	defer end()
	n, err := io.Copy(io.Discard, io.LimitReader(plain, offset+1))
	return err == nil && n <= offset
}

// unpackedSize is how many bytes a packed file says that it holds: gzip in its last four
// bytes (RFC 1952), of the last of its members, and less than 4 GiB; zstd at its beginning
// (RFC 8878, 3.1.1.1), of the first of its frames. is is false where it does not say it.
func unpackedSize(name string) (size int64, is bool) {
	file, err := os.Open(name)
	if err != nil {
		return 0, false
	}
	defer file.Close()
	if strings.HasSuffix(name, ".gz") {
		info, err := file.Stat()
		if err != nil || info.Size() < 18 {
			return 0, false
		}
		var last [4]byte
		_, err = file.ReadAt(last[:], info.Size()-4)
		return int64(binary.LittleEndian.Uint32(last[:])), err == nil
	}
	var first [zstd.HeaderMaxSize]byte
	n, _ := io.ReadFull(file, first[:])
	var header zstd.Header
	if header.Decode(first[:n]) != nil || !header.HasFCS || header.FrameContentSize > maxUnpacked {
		return 0, false
	}
	return int64(header.FrameContentSize), true
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
