package tail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxUnpacked bounds the bytes of one unpacked file.
const maxUnpacked = 64 << 30

var errPacking = errors.New("packed in a way that is not read: unpack it, or pack with gzip or zstd")

// packedFile is a packed file beside the log, held open from the first question about it
// to the last: a rotation gives its name to another one between two of them, and then one
// file's beginning would be taken together with the other one's length and lines.
type packedFile struct {
	sibling
	file   *os.File
	failed error // why it could not be opened
}

// holdPacked opens a packed file; false where another has its name by now, or none. Its
// length and time are those of when it was opened.
func holdPacked(s sibling) (p *packedFile, is bool) {
	file, err := os.Open(s.name)
	if err != nil {
		return &packedFile{sibling: s, failed: err}, !errors.Is(err, fs.ErrNotExist)
	}
	if s.info, err = file.Stat(); err != nil || idOf(s.info) != s.id {
		file.Close()
		return nil, false
	}
	return &packedFile{sibling: s, file: file}, true
}

func (p *packedFile) close() {
	if p.file != nil {
		p.file.Close()
	}
}

// plain reads what it holds from the beginning.
func (p *packedFile) plain() (plain io.Reader, end func(), err error) {
	if p.failed != nil {
		return nil, nil, p.failed
	}
	from := io.NewSectionReader(p.file, 0, math.MaxInt64)
	switch {
	case strings.HasSuffix(p.name, ".gz"):
		unpacking, err := gzip.NewReader(from)
		return unpacking, func() {}, err
	case strings.HasSuffix(p.name, ".zst"):
		unpacking, err := zstd.NewReader(from, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return unpacking, unpacking.Close, nil
	}
	return nil, nil, errPacking
}

// start gives its first bytes, nil where its packing is not read; ready is false where it
// is too short or torn as yet.
func (p *packedFile) start() (first *bytes.Reader, ready bool) {
	plain, end, err := p.plain()
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

// reaches reports whether it holds no more than offset bytes. Where it does not say that it
// holds just as many, that takes unpacking it, once.
func (p *packedFile) reaches(offset int64) bool {
	if says, is := p.says(); is && says == offset {
		return true
	}
	plain, end, err := p.plain()
	if err != nil {
		return false
	}
	defer end()
	n, err := io.Copy(io.Discard, io.LimitReader(plain, offset+1))
	return err == nil && n <= offset
}

// says is how many bytes it says that it holds: gzip in its last four bytes (RFC 1952), of
// the last of its members, and less than 4 GiB; zstd at its beginning (RFC 8878, 3.1.1.1),
// of the first of its frames. is is false where it does not say it.
func (p *packedFile) says() (size int64, is bool) {
	if p.failed != nil {
		return 0, false
	}
	if strings.HasSuffix(p.name, ".gz") {
		if p.info.Size() < 18 {
			return 0, false
		}
		var last [4]byte
		_, err := p.file.ReadAt(last[:], p.info.Size()-4)
		return int64(binary.LittleEndian.Uint32(last[:])), err == nil
	}
	var first [zstd.HeaderMaxSize]byte
	n, _ := p.file.ReadAt(first[:], 0)
	var header zstd.Header
	if header.Decode(first[:n]) != nil || !header.HasFCS || header.FrameContentSize > maxUnpacked {
		return 0, false
	}
	return int64(header.FrameContentSize), true
}

// unpacked unpacks it into a file without a name, which has the same time.
func (p *packedFile) unpacked() (*os.File, error) {
	plain, end, err := p.plain()
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
		err = os.Chtimes(out.Name(), p.info.ModTime(), p.info.ModTime())
	}
	if err = errors.Join(err, os.Remove(out.Name())); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}
