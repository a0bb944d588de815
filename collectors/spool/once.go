package spool

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxIDs is how many ids are remembered: the latest ones.
const maxIDs = 50_000

// ids are those of what was taken, on disk beside the segments. Before lines with an id
// are written, their place is noted with it; so after a crash it is known whether they
// were written as a whole, and what is there of them in part is cut off, or a sender
// that comes again would be taken twice.
type ids struct {
	path  string
	file  *os.File // nil until one is noted
	size  int64
	lines int // in the file
	order []id
	known map[[idBytes]byte]struct{}
}

// id is one of them, with the place of its lines.
type id struct {
	hash    [idBytes]byte
	segment uint64
	offset  int64
	length  int64
}

// idBytes is how much of an id's SHA-256 tells it from others.
const idBytes = 16

// idName is the file's, within the spool's directory.
const idName = "ids"

// AppendOnce keeps lines that have an id, unless lines of that id were taken before:
// then fresh is false. When it returns without an error, the lines would survive a loss
// of power. The last 50,000 ids are remembered, over restarts, too.
func (s *Spool) AppendOnce(name string, lines []byte) (fresh bool, err error) {
	if len(lines) > 0 && lines[len(lines)-1] != '\n' {
		lines = append(lines[:len(lines):len(lines)], '\n')
	}
	sum := sha256.Sum256([]byte(name))
	one := id{hash: [idBytes]byte(sum[:]), length: int64(len(lines))}
	s.mu.Lock()
	if _, taken := s.ids.known[one.hash]; !taken && len(lines) > 0 {
		fresh = true
		err = s.appendAnd(lines, func(at segment) error {
			one.segment, one.offset = at.number, at.size
			return s.ids.note(one)
		})
		if err != nil {
			err = errors.Join(err, s.ids.forget(one))
		}
	}
	s.mu.Unlock()
	if err != nil {
		return false, err
	}
	return fresh, s.Sync()
}

// openIDs reads what was noted, and leaves out what was not taken.
func openIDs(dir string) (*ids, error) {
	d := &ids{path: filepath.Join(dir, idName), known: map[[idBytes]byte]struct{}{}}
	file, err := os.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		one, ok := parseID(lines.Text())
		if !ok {
			break // torn: nothing was written after it
		}
		taken, err := one.taken(dir)
		if err != nil {
			return nil, err
		}
		if taken {
			d.remember(one)
		}
	}
	return d, d.rewrite()
}

// taken reports whether an id's lines were written as a whole, and cuts off what was
// written of them in part.
func (i id) taken(dir string) (bool, error) {
	name := segmentName(dir, i.segment)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil // a later start found it whole; it is published since
	case err != nil:
		return false, err
	case info.Size() >= i.offset+i.length:
		return true, nil
	case info.Size() > i.offset:
		return false, os.Truncate(name, i.offset)
	}
	return false, nil
}

func (i id) String() string {
	return fmt.Sprintf("%x %d %d %d\n", i.hash, i.segment, i.offset, i.length)
}

func parseID(line string) (i id, ok bool) {
	var hash string
	if n, err := fmt.Sscanf(line, "%32s %d %d %d", &hash, &i.segment, &i.offset, &i.length); n != 4 || err != nil {
		return i, false
	}
	n, err := hex.Decode(i.hash[:], []byte(hash))
	return i, err == nil && n == idBytes
}

func (d *ids) remember(one id) {
	d.known[one.hash] = struct{}{}
	d.order = append(d.order, one)
	if len(d.order) > maxIDs {
		delete(d.known, d.order[0].hash)
		d.order = d.order[1:]
	}
}

// note brings an id to disk.
func (d *ids) note(one id) error {
	if d.lines >= 2*maxIDs || d.file == nil {
		if err := d.rewrite(); err != nil {
			return err
		}
	}
	line := one.String()
	if _, err := d.file.WriteAt([]byte(line), d.size); err != nil {
		return err
	}
	if err := d.file.Sync(); err != nil {
		return err
	}
	d.size += int64(len(line))
	d.lines++
	d.remember(one)
	return nil
}

// forget takes back what was noted last, where its lines could not be written.
func (d *ids) forget(one id) error {
	if _, noted := d.known[one.hash]; !noted {
		return nil
	}
	delete(d.known, one.hash)
	d.order = d.order[:len(d.order)-1]
	d.size -= int64(len(one.String()))
	d.lines--
	return errors.Join(d.file.Truncate(d.size), d.file.Sync())
}

// rewrite makes the file anew, of what is remembered.
func (d *ids) rewrite() error {
	if err := d.close(); err != nil {
		return err
	}
	file, err := os.OpenFile(d.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	d.size = 0
	for _, one := range d.order {
		n, _ := out.WriteString(one.String()) // Flush has its error
		d.size += int64(n)
	}
	if err := errors.Join(out.Flush(), file.Sync(), os.Rename(d.path+".new", d.path), syncDirectory(filepath.Dir(d.path))); err != nil {
		return errors.Join(err, file.Close())
	}
	d.file, d.lines = file, len(d.order)
	return nil
}

func (d *ids) close() error {
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}
