package spool

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/collectors/tail"
)

// hollow gives back the disk under lines that are published, up to a position in the first
// segment, whose length stays: a segment that few write to would keep for months what
// strangers sent, on a machine that whoever erases an address does not reach. The newline
// before the position stays, too: what ends without one is torn.
func (s *Spool) hollow(p tail.Position) {
	to := p.Offset - 1
	if s.solid || p.Inside || s.segments[0].number != p.Inode || to <= s.hollowed.Offset && p.Inode == s.hollowed.Inode || to <= 0 {
		return
	}
	file := s.last
	if len(s.segments) > 1 {
		var err error
		if file, err = os.OpenFile(s.name(p.Inode), os.O_WRONLY, 0); err != nil {
			s.o.Logger.Warn("published lines stay on disk until their segment is deleted", "spool", s.o.Dir, "error", err)
			return
		}
		defer file.Close()
	}
	err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, to)
	if s.solid = errors.Is(err, unix.EOPNOTSUPP); err != nil {
		s.o.Logger.Warn("published lines stay on disk until their segment is deleted", "spool", s.o.Dir, "error", err)
		return
	}
	s.hollowed = tail.Position{Inode: p.Inode, Offset: to}
}
