package processor

import (
	"math"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// pathSet is a set of keyed hashes. The zero value is empty.
type pathSet struct {
	slots []uint32 // a power of two, at most half in use; 0 is free
	n     int
}

// pathHash is what a path is in a set by.
func pathHash(hash uint64) uint32 { return max(uint32(hash>>32), 1) }

func (s *pathSet) has(hash uint32) bool {
	if s.n == 0 {
		return false
	}
	mask := uint32(len(s.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case hash:
			return true
		case 0:
			return false
		}
	}
}

// add reports whether it was new.
func (s *pathSet) add(hash uint32) bool {
	if s.n >= schemas.MaxSitePaths || s.has(hash) {
		return false
	}
	if 2*(s.n+1) > len(s.slots) {
		old := s.slots
		s.slots, s.n = make([]uint32, max(16, 2*len(old))), 0
		for _, h := range old {
			if h != 0 {
				s.place(h)
			}
		}
	}
	s.place(hash)
	return true
}

// remove forgets one, and moves up what had gone out of its way (Knuth, The Art of Computer Programming 3, 6.4, algorithm R).
func (s *pathSet) remove(hash uint32) {
	if !s.has(hash) {
		return
	}
	mask := uint32(len(s.slots) - 1)
	i := hash & mask
	for s.slots[i] != hash {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.slots[j] != 0; j = (j + 1) & mask {
		if home := s.slots[j] & mask; (j-home)&mask >= (j-i)&mask {
			s.slots[i], i = s.slots[j], j
		}
	}
	s.slots[i] = 0
	s.n--
}

func (s *pathSet) place(hash uint32) {
	mask := uint32(len(s.slots) - 1)
	i := hash & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = hash
	s.n++
}

func (s *pathSet) write(w *state.Writer) {
	w.Uint(uint64(s.n))
	for _, h := range s.slots {
		if h != 0 {
			w.Uint(uint64(h))
		}
	}
}

func (s *pathSet) read(r *state.Reader) {
	for range r.Count(schemas.MaxSitePaths) {
		s.add(uint32(r.Uint(math.MaxUint32)))
	}
}
