package tail

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"

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
}

// fingerprintLength is how many of a file's first bytes tell it from others: a
// line or two, which carry a time and an address.
const fingerprintLength = 256

// known reports whether p is a place at all.
func (p Position) known() bool { return p.Inode != 0 }

// sameFile reports whether two positions are in one file.
func (p Position) sameFile(q Position) bool { return p.Device == q.Device && p.Inode == q.Inode }

// startOf is the beginning of an open file.
func startOf(file *os.File) (Position, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return Position{}, 0, err
	}
	p := Position{}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		p.Device, p.Inode = uint64(stat.Dev), stat.Ino
	}
	return p, info.Size(), nil
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
func fingerprint(file *os.File, length int64) (uint64, error) {
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
	sum, err := fingerprint(file, p.Length)
	return err == nil && (p.Length == 0 || sum == p.Fingerprint)
}

// find opens the file that p is in, be it at path or moved or copied aside, if it
// still reaches to offset; nil where there is none. A moved file is preferred
// to a copy.
func find(path string, p Position, offset int64) (file *os.File, at Position, name string) {
	var copied *os.File
	for _, name := range append([]string{path}, siblings(path)...) {
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		at, _, err := startOf(file)
		if err != nil || !p.holds(file, offset) {
			file.Close()
			continue
		}
		if at.sameFile(p) {
			if copied != nil {
				copied.Close()
			}
			return file, p, name
		}
		if copied != nil || p.Length == 0 {
			file.Close()
			continue
		}
		copied = file
	}
	if copied == nil {
		return nil, Position{}, ""
	}
	at, _, _ = startOf(copied)
	p.Device, p.Inode = at.Device, at.Inode
	return copied, p, copied.Name()
}

// rotated is what log rotation appends to a name: ".1", "-20261122", ".2026-11-22_05".
var rotated = regexp.MustCompile(`^[.-][0-9][0-9._-]*$`)

// siblings are the files beside path that rotation has made of it, the one
// changed last coming last. Packed ones are not among them.
func siblings(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	base := filepath.Base(path)
	type candidate struct {
		name    string
		changed int64
	}
	var found []candidate
	for _, entry := range entries {
		suffix, ours := strings.CutPrefix(entry.Name(), base)
		if !ours || !rotated.MatchString(suffix) {
			continue
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			found = append(found, candidate{filepath.Join(filepath.Dir(path), entry.Name()), info.ModTime().UnixNano()})
		}
	}
	sort.Slice(found, func(i, j int) bool {
		if found[i].changed != found[j].changed {
			return found[i].changed < found[j].changed
		}
		return found[i].name > found[j].name // .2 is older than .1
	})
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.name
	}
	return names
}

// later are the siblings that were written after file was: rotated away before
// they could be read.
func later(path string, file *os.File, at Position) []string {
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	var names []string
	for _, name := range siblings(path) {
		other, err := os.Open(name)
		if err != nil {
			continue
		}
		start, _, err := startOf(other)
		stat, _ := other.Stat()
		if err == nil && !start.sameFile(at) && stat.ModTime().After(info.ModTime()) &&
			!(at.Length > 0 && at.holds(other, at.Offset)) {
			names = append(names, name)
		}
		other.Close()
	}
	return names
}
