package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/weir-project/weir/collectors/tail"
)

// Forget overwrites with "x" what find finds, as pairs of offsets, in lines that are
// published and still on disk, and reports whether lines that are not published have any:
// those are to be waited for.
func (s *Spool) Forget(find func(lines []byte) [][2]int) (waiting bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		more, err := forgetIn(s.name(g.number), s.done(g), find)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("spool %s: %w", s.o.Dir, err)
		}
		waiting = waiting || more
	}
	return waiting, nil
}

// done is how much of a segment is published.
func (s *Spool) done(g segment) int64 {
	switch {
	case s.released == (tail.Position{}) || g.number > s.released.Inode:
		return 0
	case g.number < s.released.Inode:
		return g.size
	}
	return s.released.Offset
}

func forgetIn(path string, done int64, find func([]byte) [][2]int) (waiting bool, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	found := find(data)
	if len(found) == 0 {
		return false, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	for _, at := range found {
		if int64(at[1]) > done {
			waiting = true
			continue
		}
		if _, writeErr := f.WriteAt(bytes.Repeat([]byte{'x'}, at[1]-at[0]), int64(at[0])); writeErr != nil {
			err = writeErr
		}
	}
	return waiting, errors.Join(err, f.Sync(), f.Close())
}
