package window

import "slices"

const (
	// blockBytes is the unit in which a shelf keeps what it holds, chunkBlocks is how many of
	// these are taken from the system at once.
	blockBytes  = 128
	chunkBlocks = 1024
)

// shelf keeps pieces of bytes of any length in blocks of 128: hundreds of thousands of them,
// which come and go all the time, in sizes of their own. Allocated one by one they would take a
// fifth more, as memory comes in sizes and what is free among those in use is of no use to
// others; and the collector would look at each. The zero value is empty. Not for concurrent use.
type shelf struct {
	chunks []*shelfChunk // nil where one was given back
	vacant []uint32      // of these
	open   []uint32      // chunks with free blocks, and some that just have none any more
	spare  *shelfChunk   // one that was emptied last
}

// shelfChunk holds no pointer.
type shelfChunk struct {
	bytes [chunkBlocks * blockBytes]byte
	next  [chunkBlocks]uint32 // block after one in its piece, or the next free one; plus one
	free  uint32              // the first free one in this chunk, plus one
	used  uint32
	open  bool
}

// kept is a piece on a shelf. The zero value is an empty one.
type kept struct {
	first uint32 // block, plus one
	size  uint32 // bytes
}

// bytes is what the piece takes.
func (k kept) bytes() int { return (int(k.size) + blockBytes - 1) / blockBytes * (blockBytes + 4) }

// put keeps a copy of data.
func (s *shelf) put(data []byte) (k kept) {
	k.size = uint32(len(data))
	last := &k.first
	for len(data) > 0 {
		c, block := s.take()
		*last = block + 1
		at := block % chunkBlocks
		data = data[copy(c.bytes[at*blockBytes:(at+1)*blockBytes], data):]
		last = &c.next[at]
	}
	*last = 0
	return k
}

// take is a free block, in its chunk.
func (s *shelf) take() (c *shelfChunk, block uint32) {
	for len(s.open) > 0 {
		n := s.open[len(s.open)-1]
		if c = s.chunks[n]; c.free != 0 {
			at := c.free - 1
			c.free = c.next[at]
			c.used++
			return c, n*chunkBlocks + at
		}
		c.open = false
		s.open = s.open[:len(s.open)-1]
	}
	s.grow()
	return s.take()
}

// grow adds a chunk.
func (s *shelf) grow() {
	c := s.spare
	if s.spare = nil; c == nil {
		c = new(shelfChunk)
	}
	for i := range c.next {
		c.next[i] = uint32(i) + 2
	}
	c.next[chunkBlocks-1], c.free, c.used, c.open = 0, 1, 0, true
	var n uint32
	if len(s.vacant) > 0 {
		n, s.vacant = s.vacant[len(s.vacant)-1], s.vacant[:len(s.vacant)-1]
		s.chunks[n] = c
	} else {
		n = uint32(len(s.chunks))
		s.chunks = append(s.chunks, c)
	}
	s.open = append(s.open, n)
}

// load appends a piece to dst.
func (s *shelf) load(dst []byte, k kept) []byte {
	for block, left := k.first, int(k.size); left > 0; {
		c, at := s.chunks[(block-1)/chunkBlocks], int((block-1)%chunkBlocks)
		n := min(left, blockBytes)
		dst = append(dst, c.bytes[at*blockBytes:at*blockBytes+n]...)
		block, left = c.next[at], left-n
	}
	return dst
}

// drop forgets a piece.
func (s *shelf) drop(k kept) {
	for block := k.first; block != 0; {
		n, at := (block-1)/chunkBlocks, (block-1)%chunkBlocks
		c := s.chunks[n]
		block = c.next[at]
		c.next[at], c.free = c.free, at+1
		if c.used--; c.used == 0 {
			if c.open {
				s.open = slices.Delete(s.open, slices.Index(s.open, n), slices.Index(s.open, n)+1)
			}
			s.chunks[n], s.spare = nil, c
			s.vacant = append(s.vacant, n)
		} else if !c.open {
			c.open = true
			s.open = append(s.open, n)
		}
	}
}
