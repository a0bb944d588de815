package accesslog

import "math/bits"

// stops is where the strings of a line of JSON stop: at every quote, backslash and
// control character, found for the whole line at once, before its strings are looked
// for one after another. That is most of what reading JSON costs, and the processor
// does it 64 bytes at a time without a branch (as in Langdale and Lemire, "Parsing
// gigabytes of JSON per second", 2019). Where the processor cannot, none are kept, and
// stringEnd looks for itself.
type stops struct {
	bits []uint64
	kept bool
}

// scan finds the stops of a line. One stands behind its end.
func (s *stops) scan(line []byte) {
	if s.kept = haveStops() && len(line) > 0; !s.kept {
		return
	}
	whole := len(line) / 64
	if len(s.bits) <= whole {
		s.bits = make([]uint64, whole+16)
	}
	if whole > 0 {
		stopBlocks(&line[0], whole, &s.bits[0])
	}
	var rest [64]byte // what it is filled with are control characters
	copy(rest[:], line[64*whole:])
	stopBlocks(&rest[0], 1, &s.bits[whole])
}

// next is the first stop at or behind i, which is at most the line's length.
func (s *stops) next(i int) int {
	if word := s.bits[i>>6] >> (i & 63); word != 0 {
		return i + bits.TrailingZeros64(word)
	}
	return s.far(i>>6 + 1)
}

func (s *stops) far(block int) int {
	for s.bits[block] == 0 {
		block++
	}
	return block<<6 + bits.TrailingZeros64(s.bits[block])
}

// stringEnd is the function of that name for the line that was scanned.
func (s *stops) stringEnd(line []byte, i int) (end int, escaped bool) {
	if s.kept && i < len(line) {
		if end = s.next(i); end < len(line) && line[end] == '"' {
			return end, false
		}
	}
	return s.escapedEnd(line, i)
}

// escapedEnd is stringEnd for what has escapes in it, or no end.
func (s *stops) escapedEnd(line []byte, i int) (end int, escaped bool) {
	if !s.kept {
		return stringEnd(line, i)
	}
	for i < len(line) {
		end = s.next(i)
		if end >= len(line) {
			break
		}
		if line[end] == '"' {
			return end, escaped
		}
		if line[end] != '\\' {
			break
		}
		escaped = true
		i = end + 2
	}
	return -1, escaped
}
