package processor

// windowBytes is what the closed steps in all sites' windows may take; beyond it the ten
// minutes of the sites that take most become shorter. It is enough for ten minutes of a
// thousand sites with a hundred clients each in ten seconds.
//
// An estate that has more of everything has less room for them: where the windows could not be
// whole anyway they get windowLess, so that all that is known of its clients fits beside them.
const (
	windowBytes = 112 << 20
	windowLess  = 76 << 20
	windowMuch  = windowBytes + windowBytes/8 // from which on they could not be whole
)

// share is what the windows may take, by how much they took in of late. The zero value knows
// nothing yet.
type share struct {
	second int64 // of the last look
	added  int64 // bytes until then
	less   bool
}

// next is the bound after a second, in bytes; added are the bytes of all steps that ever closed.
// It is not what the windows have that is looked at, but what ten minutes at the rate since the
// last look would be: so the bound is there before the memory is taken.
func (s *share) next(second, added int64) int {
	if elapsed := second - s.second; s.second != 0 && elapsed > 0 {
		switch whole := (added - s.added) * 600 / elapsed; {
		case whole >= windowMuch:
			s.less = true
		case whole < windowBytes:
			s.less = false
		}
	}
	s.second, s.added = second, added
	if s.less {
		return windowLess
	}
	return windowBytes
}
