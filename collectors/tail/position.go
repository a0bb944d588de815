package tail

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Position is a place in a followed file, with what it takes to find that file
// again after it has been renamed or copied away. The zero value is no place.
type Position struct {
	Device      uint64 `json:"device"`
	Inode       uint64 `json:"inode"`
	Fingerprint uint64 `json:"fingerprint"` // xxhash of the first Length bytes
	Length      int64  `json:"length"`      // at most fingerprintLength
	Offset      int64  `json:"offset"`      // bytes before it
	// Inside says that it lies within a line that is longer than any may be: what
	// follows up to the next newline is no line.
	Inside bool `json:"inside,omitempty"`
	// Cursor names the place where the source is no file and has names for places.
	Cursor string `json:"cursor,omitempty"`
}

// Mark is how far a file that is not read at the moment has been read.
type Mark struct {
	Position
	Changed int64 `json:"changed"` // when it was last written to, unix nanoseconds
}

// fileID tells a file from all others that exist at the same time.
type fileID struct{ device, inode uint64 }

func (p Position) id() fileID { return fileID{p.Device, p.Inode} }

// idOf is the zero fileID where the system does not say.
func idOf(info os.FileInfo) fileID {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(stat.Dev), stat.Ino}
	}
	return fileID{}
}

// fingerprintLength is how many of a file's first bytes tell it from others: a
// line or two, which carry a time and an address.
const fingerprintLength = 256

// known reports whether p is a place at all.
func (p Position) known() bool { return p.Inode != 0 }

// sameFile reports whether two positions are in one file.
func (p Position) sameFile(q Position) bool { return p.id() == q.id() }

// in is p's place in another file with the same beginning.
func (p Position) in(id fileID) Position {
	p.Device, p.Inode = id.device, id.inode
	return p
}

// startOf is the beginning of an open file.
func startOf(file *os.File) (Position, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return Position{}, 0, err
	}
	return Position{}.in(idOf(info)), info.Size(), nil
}

// marked is p with the fingerprint of what file holds by now, where that is
// enough to tell it by: a line at least.
func (p Position) marked(file io.ReaderAt) Position {
	var first [fingerprintLength]byte
	n, _ := file.ReadAt(first[:], 0)
	if n < fingerprintLength {
		n = bytes.LastIndexByte(first[:n], '\n') + 1
	}
	if int64(n) > p.Length {
		p.Length, p.Fingerprint = int64(n), xxhash.Sum64(first[:n])
	}
	return p
}

// moved is p after n more bytes of file.
func (p Position) moved(file *os.File, n int64) (Position, error) {
	p.Offset += n
	if p.Length == fingerprintLength || p.Length >= p.Offset {
		return p, nil
	}
	p.Length = min(p.Offset, fingerprintLength)
	var err error
	p.Fingerprint, err = fingerprint(file, p.Length)
	return p, err
}

// fingerprint hashes the first bytes of a file; io.EOF where it is shorter.
func fingerprint(file io.ReaderAt, length int64) (uint64, error) {
	var first [fingerprintLength]byte
	n, err := file.ReadAt(first[:length], 0)
	if int64(n) < length {
		return 0, io.EOF
	}
	if err == io.EOF {
		err = nil
	}
	return xxhash.Sum64(first[:length]), err
}

// holds reports whether file begins as p's did and reaches at least to offset.
func (p Position) holds(file *os.File, offset int64) bool {
	info, err := file.Stat()
	if err != nil || info.Size() < offset || !info.Mode().IsRegular() {
		return false
	}
	return p.Length == 0 || p.begins(file)
}

// beginningOf gives the bytes that fingerprints are of.
func beginningOf(file *os.File) *bytes.Reader {
	first := make([]byte, fingerprintLength)
	n, _ := file.ReadAt(first, 0)
	return bytes.NewReader(first[:n])
}

// begins reports whether file begins with the bytes that p's fingerprint is of,
// of which there must be some.
func (p Position) begins(file io.ReaderAt) bool {
	sum, err := fingerprint(file, p.Length)
	return p.Length > 0 && err == nil && sum == p.Fingerprint
}

const (
	// renaming is how long a directory must not have changed for no rename to be under way:
	// more than the grain of its time.
	renaming = 20 * time.Millisecond
	// hidden is how long renames may hide a file.
	hidden = 5 * time.Second
)

// seek looks until it has found, or no rename came between: a rotation in the middle of
// those of a thousand files can hide one for long.
func seek(path string, look func() (found bool)) {
	for began := time.Now(); ; time.Sleep(renaming / 4) {
		before := directoryTimes(path)
		if look() {
			return
		}
		since := time.Since(time.Unix(0, max(before[0], before[1])))
		if before == directoryTimes(path) && since > renaming || time.Since(began) > hidden {
			return
		}
	}
}

// find opens the file that p is in, be it at path or moved or copied aside, if it
// still reaches to offset; nil where there is none. A moved file is preferred
// to a copy.
func find(path string, p Position, offset int64) (file *os.File, at Position) {
	var copied *os.File
	names := []string{path}
	plain, _ := siblings(path)
	for _, s := range plain {
		names = append(names, s.name)
	}
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		at, _, err := startOf(file)
		switch {
		case err != nil || !p.holds(file, offset):
		case at.sameFile(p):
			if copied != nil {
				copied.Close()
			}
			return file, p
		case copied == nil && p.Length > 0:
			copied = file
			continue
		}
		file.Close()
	}
	if copied == nil {
		return nil, Position{}
	}
	at, _, _ = startOf(copied)
	return copied, p.in(at.id())
}
