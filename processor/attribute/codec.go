package attribute

import (
	"math"
	"time"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// The form of a sample says how many traits its rows have where its level is told as so much more; else they are
// the first, which were once all.
const (
	saysTraits  = 64
	firstTraits = 12
)

// Write appends the sample, its examples included.
func (s *Sample) Write(w *state.Writer) {
	w.Uint(uint64(s.level) + saysTraits)
	w.Uint(uint64(schemas.NumTraits))
	w.Uint(uint64(s.sparse))
	w.Float(s.Requests)
	w.Float(s.visits)
	w.Uint(uint64(s.Span))
	w.Uint(uint64(len(s.clients)))
	for i := range s.clients {
		c := &s.clients[i]
		w.Uint(c.hash)
		w.Uint(c.id)
		w.Bytes = append(w.Bytes, c.addr[:]...)
		w.Uint(uint64(c.requests))
		w.Uint(uint64(c.peak))
		w.Bool(c.fresh)
		w.Bool(c.regular)
		w.Uint(c.flags())
		w.Bool(c.text >= 0)
		if c.text >= 0 {
			t := &s.texts[c.text]
			w.Text(string(t.b[:t.n]))
		}
		w.Uint(uint64(c.rows))
		for at := c.head; at >= 0; at = s.rows[at].next {
			s.rows[at].write(w)
		}
	}
}

// flags is what a client is saved with beside its numbers. The first was once the only one.
func (c *client) flags() (flags uint64) {
	if c.stopped {
		flags = 1
	}
	return flags | uint64(c.seen)<<1
}

func (c *client) setFlags(flags uint64) { c.stopped, c.seen = flags&1 == 1, seen(flags>>1) }

func (r *row) write(w *state.Writer) {
	for _, t := range r.traits {
		w.Uint(uint64(t))
	}
	w.Uint(uint64(r.count))
	w.Uint(uint64(r.served))
}

// Read replaces the sample by one that Write wrote. A larger one than this may hold
// is thinned; one that does not hold together is refused through r.
func (s *Sample) Read(r *state.Reader) {
	s.Reset()
	level, traits := r.Uint(40+saysTraits), firstTraits
	if level >= saysTraits {
		level, traits = level-saysTraits, int(r.Uint(uint64(schemas.NumTraits)))
	} else if level > 40 {
		r.Fail("a sample of level %d", level)
	}
	s.level, s.sparse = uint(level), uint(r.Uint(40))
	s.Requests, s.visits = r.Float(), r.Float()
	s.Span = time.Duration(r.Uint(math.MaxInt64))
	for range r.Count(1 << 21) {
		s.readClient(r, traits)
		if r.Err() != nil {
			return
		}
	}
}

// readClient reads a client whose rows have so many traits.
func (s *Sample) readClient(r *state.Reader, traits int) {
	c := client{hash: r.Uint(math.MaxUint64), id: r.Uint(math.MaxUint64), text: -1, head: -1}
	copy(c.addr[:], r.Raw(len(c.addr)))
	c.requests, c.peak = uint32(r.Uint(math.MaxUint32)), uint32(r.Uint(math.MaxUint32))
	c.fresh, c.regular = r.Bool(), r.Bool()
	c.setFlags(r.Uint(1<<(1+seenBits) - 1))
	var example string
	if r.Bool() {
		example = r.Text(maxText)
	}
	at := int32(-1)
	if r.Err() == nil && s.takes(c.hash) {
		if s.find(c.hash) >= 0 {
			r.Fail("a client stands twice in a sample")
			return
		}
		at = s.insert(c.hash, c.fresh)
	}
	if at >= 0 {
		k := &s.clients[at]
		k.id, k.addr, k.requests, k.peak, k.regular, k.stopped, k.seen = c.id, c.addr, c.requests, c.peak, c.regular, c.stopped, c.seen
		if example != "" {
			if s.keepsText(c.hash) {
				k.text = int32(len(s.texts))
				s.texts = append(s.texts, text{n: int32(len(example))})
				copy(s.texts[k.text].b[:], example)
				s.boundTexts()
			}
		}
	}
	for range r.Count(maxRows) {
		var t Traits
		for i := range traits {
			t[i] = uint32(r.Uint(math.MaxUint32))
		}
		count, served := uint32(r.Uint(math.MaxUint32)), uint32(r.Uint(math.MaxUint32))
		if at >= 0 && r.Err() == nil {
			s.addRow(at, &t, t.key(c.id), count, min(served, count))
		}
	}
}
