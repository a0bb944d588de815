package attribute

import (
	"slices"
)

// Merge adds what other holds, except the clients of which an edge stopped a
// request where clean is true. Both must come from the same Extractor.
func (s *Sample) Merge(other *Sample, clean bool) {
	if other.level > s.level {
		s.raise(other.level)
	}
	s.gather(other, clean)
}

// Gather is Merge of all clients that other holds, though it be a draw and s was none: whom one asks of each client by itself, and
// of no shares.
func (s *Sample) Gather(other *Sample) { s.gather(other, false) }

func (s *Sample) gather(other *Sample, clean bool) {
	if other.sparse > s.sparse {
		s.thinTexts(other.sparse)
	}
	s.Requests += other.Requests
	s.Span += other.Span
	s.visits += other.Visits()
	for i := range other.clients {
		from := &other.clients[i]
		if clean && from.stopped || !s.takes(from.hash) {
			continue
		}
		at := s.adopt(from, other)
		if at < 0 {
			continue
		}
		c := &s.clients[at]
		c.requests += from.requests
		c.peak = max(c.peak, from.peak)
		c.stopped = c.stopped || from.stopped
		c.regular = c.regular || from.regular
		c.seen |= from.seen
		c.young = c.young && s.young
		s.addRows(at, from, other)
	}
}

// Join adds what other holds as if both were one sample: other is of the same span, of
// other requests. Both must come from the same Extractor, or from ones of the same seed.
func (s *Sample) Join(other *Sample) {
	if other.level > s.level {
		s.raise(other.level)
	}
	if other.sparse > s.sparse {
		s.thinTexts(other.sparse)
	}
	s.Requests += other.Requests
	for i := range other.clients {
		from := &other.clients[i]
		if !s.takes(from.hash) {
			continue
		}
		at := s.adopt(from, other)
		if at < 0 {
			continue
		}
		c := &s.clients[at]
		c.requests += from.requests
		c.peak += from.peak
		c.stopped = c.stopped || from.stopped
		c.regular = c.regular || from.regular
		c.seen |= from.seen
		c.young = c.young && s.young
		s.addRows(at, from, other)
	}
}

// adopt finds a client of another sample or makes it, without its requests; negative
// where it is not wanted.
func (s *Sample) adopt(from *client, other *Sample) int32 {
	at := s.find(from.hash)
	if at >= 0 {
		return at
	}
	if at = s.insert(from.hash, from.fresh); at < 0 {
		return at
	}
	s.clients[at].addr, s.clients[at].id, s.clients[at].young = from.addr, from.id, s.young
	if from.text >= 0 && s.keepsText(from.hash) {
		s.texts = append(s.texts, other.texts[from.text])
		s.clients[at].text = int32(len(s.texts) - 1)
		s.boundTexts()
	}
	return at
}

func (s *Sample) addRows(at int32, from *client, other *Sample) {
	for j := from.head; j >= 0; j = other.rows[j].next {
		r := &other.rows[j]
		s.addRow(at, &r.traits, r.key, r.count, r.served)
	}
}

// Young says whether the clients of which nothing but what is merged from now on is known
// came too short a while ago to have shown what they do next.
func (s *Sample) Young(young bool) { s.young = young }

// Pack is a copy that takes no more memory than it needs, to be merged into others and
// not to be added to.
func (s *Sample) Pack() *Sample {
	c := *s
	c.changed()
	c.table, c.free = nil, -1
	c.clients, c.texts = exactly(s.clients), exactly(s.texts)
	c.rows = make([]row, 0, len(s.rows))
	for i := range c.clients {
		k := &c.clients[i]
		at := k.head
		for last := int32(-1); at >= 0; at = s.rows[at].next {
			c.rows = append(c.rows, s.rows[at])
			n := int32(len(c.rows) - 1)
			c.rows[n].next = -1
			if last < 0 {
				k.head = n
			} else {
				c.rows[last].next = n
			}
			last = n
		}
	}
	return &c
}

func exactly[T any](from []T) []T {
	to := make([]T, len(from))
	copy(to, from)
	return to
}

// Thin drops about half of the clients, and the memory that they took.
func (s *Sample) Thin() {
	s.raise(s.level + 1)
	table := len(s.table)
	for table > 16 && table >= 4*len(s.clients) {
		table /= 2
	}
	packed := s.Pack()
	s.clients, s.rows, s.texts, s.free = packed.clients, packed.rows, packed.texts, -1
	if table > 0 {
		s.index(table)
	}
}

// Clone is a copy that shares nothing but the Extractor.
func (s *Sample) Clone() *Sample {
	c := *s
	c.changed()
	c.table, c.clients = slices.Clone(s.table), slices.Clone(s.clients)
	c.rows, c.texts = slices.Clone(s.rows), slices.Clone(s.texts)
	return &c
}
