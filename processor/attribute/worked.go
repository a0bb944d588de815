package attribute

import (
	"unsafe"

	"github.com/weir-project/weir/schemas"
)

// What an entry of a map takes beside what it holds, in bytes: a map of Go is half to seven eighths full.
const entryBytes = 16

// Worked is about how many bytes are kept of what was worked out of the sample since it changed last: as it is
// laid out, what was counted of it, who is known in it. It is several times what the sample itself takes.
func (s *Sample) Worked() int {
	n := len(s.guests)*(8+entryBytes) + len(s.agents)*(8+entryBytes) + 8*cap(s.people) + len(s.nets)*(6+entryBytes)
	if s.refused != nil {
		n += len(s.refused.known) * (8 + entryBytes)
	}
	for _, texts := range s.near {
		n += 4*len(spoken) + 24 + entryBytes
		for _, text := range texts {
			n += 16 + len(text)
		}
	}
	if s.laid != nil {
		n += s.laid.bytes()
	}
	return n
}

// LetGo forgets what was worked out of the sample: it is worked out again, to the same, when it is asked for.
func (s *Sample) LetGo() { s.changed() }

func (m *matrix) bytes() int {
	n := cap(m.rows)*4*int(schemas.NumTraits) + 8*cap(m.weight) + 4*cap(m.owner) + 8*cap(m.served)
	n += 24*cap(m.clients) + 8*cap(m.hashes) + 16*cap(m.addrs) + 8*cap(m.scratch)
	n += len(m.bitmaps) * (8*m.words + 8 + 24 + entryBytes)
	n += len(m.weighed)*(24+40+2*entryBytes) + len(m.pairs)*(24+8+entryBytes)
	n += (len(m.requests) + len(m.shown)) * (16 + entryBytes)
	n += 8*cap(m.uppers) + 3*cap(m.conducts)
	if m.visitors != nil {
		n += len(m.visitors.conducts)*(8+entryBytes) + len(m.visitors.items)*(16+entryBytes)
	}
	return n
}

// Bytes is about what the sample itself takes.
func (s *Sample) Bytes() int {
	return 4*cap(s.table) + int(unsafe.Sizeof(client{}))*cap(s.clients) + int(unsafe.Sizeof(row{}))*cap(s.rows) + int(unsafe.Sizeof(text{}))*cap(s.texts)
}
