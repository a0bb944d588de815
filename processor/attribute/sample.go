package attribute

import (
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
)

const (
	// maxRows is how many different requests of one client a sample keeps: the
	// first, as what a stranger's first request looks like, and a uniform sample
	// of the others.
	maxRows = 8
	// maxText bounds the printable form of a request that is kept as an example.
	maxText = 120
)

// Sample is a uniform sample of the clients present at a site over some span, each
// with a few of its requests as traits. A client counts once in every period in
// which it comes (see SetPeriod): whoever is there all day, a monitor or a partner's
// program, counts as often as one meets it. Which are in depends on the keyed hash of
// client and period alone (adaptive sampling, Wegman 1984): merging has no order,
// and nobody can choose to be in or out. At most the given number, whatever comes.
// Not for concurrent use.
type Sample struct {
	x       *Extractor
	max     int
	level   uint // leading zero bits of a client's hash to be in
	sparse  uint // other zero bits of it to be an example
	table   []int32
	clients []client
	rows    []row
	texts   []text
	free    int32 // list of free rows
	period  uint64
	young   bool
	laid    *matrix                  // as it was laid out last, nil once something changed
	guests  map[uint64]bool          // likewise, see Guests
	agents  map[uint64]bool          // likewise, see agentsOfGuests
	ids     int                      // likewise, see Distinct; 0 is not counted
	people  []float64                // likewise, see persons
	tells   *[schemas.NumListed]bool // likewise, see told
	refused *refusedVisitors
	nets    map[[6]byte]bool                 // likewise, see networks
	near    map[[len(spoken)]uint32][]string // see nearestTo

	// Requests is how many requests the span had, in the sample or not; Span is its
	// length. Together they are the site's rate.
	Requests float64
	Span     time.Duration

	first, last int64   // unix ms of the requests given to Add
	visits      float64 // clients, counted anew in each of the samples merged
}

type client struct {
	hash     uint64 // of client and period: what the sample is by
	id       uint64 // the client's own hash
	addr     [16]byte
	requests uint32
	peak     uint32 // most requests in one of the samples that were merged
	head     int32  // first row
	text     int32  // -1 is none
	rows     uint8
	fresh    bool // not seen before its first request here
	stopped  bool // an edge stopped a request of it
	regular  bool // the site knows it from an earlier day
	young    bool // came too short a while ago to have shown what it does next, see Young
	seen     seen
}

type row struct {
	traits Traits
	count  uint32
	served uint32 // of the count, those that got something
	key    uint32
	next   int32
}

type text struct {
	n int32
	b [maxText]byte
}

// NewSample makes an empty sample of at most maxClients clients (8 at least).
func NewSample(x *Extractor, maxClients int) *Sample {
	return &Sample{x: x, max: max(8, maxClients), free: -1}
}

// Add takes a request of a client, given by its keyed hash (Extractor.ClientHash or
// any other uniform one). Every client counts as fresh.
func (s *Sample) Add(clientHash uint64, r *schemas.Request) {
	s.Requests += float64(r.Stands())
	if s.first == 0 || r.Time < s.first {
		s.first = r.Time
	}
	s.last = max(s.last, r.Time)
	s.Span = time.Duration(s.last-s.first+1) * time.Millisecond
	if !s.Wants(clientHash, r.Stands()) {
		return
	}
	var t Traits
	s.x.Profile(&t, r)
	s.x.Rest(&t, r)
	s.AddTraits(clientHash, &t, r, Mark{Fresh: true})
}

// Mark is what the caller knows of a request beyond its traits.
type Mark struct {
	Fresh   bool // its client was not seen before
	Stopped bool // an edge stopped it
	Regular bool // its client is known from an earlier day, with this agent
	Asset   bool // it is for what a page brings with it
}

// SetPeriod says in which period (a number that no other has) the requests from now
// on are. Samples that are merged must number periods alike.
func (s *Sample) SetPeriod(period int64) { s.period = mix(uint64(period)) }

// key is what a client is in the sample by. One that a collector kept out of several has
// had its luck already: its hash begins with the zero bits that it needs for a level which
// keeps as few.
func (s *Sample) key(clientHash uint64, weight uint32) uint64 {
	return mix(clientHash^s.period) >> thinned(weight)
}

// thinned is the level that a collector's sampling comes to.
func thinned(weight uint32) uint { return uint(bits.Len32(max(weight, 1)) - 1) }

// Begin makes an empty sample one that keeps, from the start, only clients of a level:
// one in 2^level.
func (s *Sample) Begin(level uint) { s.level = level }

// Level is how thin the sample is: of 2^level clients it keeps one.
func (s *Sample) Level() uint { return s.level }

// Wants reports whether requests of the client, each of which stands for weight requests,
// would be kept. The caller of AddTraits asks first, and spares itself the traits. A
// sample of clients that were kept out of several keeps as few of the others, so that
// each stands for as many.
func (s *Sample) Wants(clientHash uint64, weight uint32) bool {
	if level := thinned(weight); level > s.level {
		s.raise(level)
	}
	return s.takes(s.key(clientHash, weight))
}

// Thinned reports whether it holds but a draw of the clients that it was given.
func (s *Sample) Thinned() bool { return s.level > 0 }

func (s *Sample) takes(hash uint64) bool { return hash>>(64-s.level) == 0 }

// AddTraits takes a request whose traits are known already; it does not count in
// Requests. It does not allocate once the sample has grown to its bound.
func (s *Sample) AddTraits(clientHash uint64, t *Traits, r *schemas.Request, m Mark) {
	hash := s.key(clientHash, r.Stands())
	at := s.find(hash)
	if at < 0 {
		if at = s.insert(hash, m.Fresh); at < 0 {
			return
		}
		s.clients[at].id = clientHash
		s.clients[at].addr = schemas.ClientOf(r.Client).As16()
		if s.keepsText(hash) {
			s.texts = append(s.texts, text{})
			s.texts[len(s.texts)-1].set(r)
			s.clients[at].text = int32(len(s.texts) - 1)
			s.boundTexts()
		}
	}
	c := &s.clients[at]
	c.requests++
	c.peak++
	c.stopped = c.stopped || m.Stopped
	c.regular = c.regular || m.Regular
	c.seen |= seenIn(r, m)
	served := uint32(1)
	if refusedBySite(r.Status) && !m.Stopped { // what an edge answers is not the site's word
		served = 0
	}
	s.addRow(at, t, t.key(clientHash), 1, served)
}

// keepsText thins the examples by the hashes of their clients: which are kept has nothing
// to do with the order in which they came.
func (s *Sample) keepsText(hash uint64) bool { return hash>>8&(1<<s.sparse-1) == 0 }

// maxTexts is how many examples a sample keeps, at 124 bytes each.
func (s *Sample) maxTexts() int { return max(16, s.max/32) }

func (s *Sample) boundTexts() {
	for len(s.texts) > s.maxTexts() {
		s.thinTexts(s.sparse + 1)
	}
}

func (s *Sample) thinTexts(sparse uint) {
	s.sparse = sparse
	for i := range s.clients {
		if c := &s.clients[i]; c.text >= 0 && !s.keepsText(c.hash) {
			c.text = -1
		}
	}
	s.packTexts()
}

// packTexts drops the examples that are no client's any more.
func (s *Sample) packTexts() {
	texts := s.texts[:0]
	for i := range s.clients { // ascending, so that texts only move down
		if c := &s.clients[i]; c.text >= 0 {
			texts = append(texts, s.texts[c.text])
			c.text = int32(len(texts) - 1)
		}
	}
	s.texts = texts
}

func (s *Sample) find(hash uint64) int32 {
	if len(s.table) == 0 {
		return -1
	}
	mask := uint64(len(s.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		at := s.table[i] - 1
		if at < 0 || s.clients[at].hash == hash {
			return at
		}
	}
}

// insert makes room for a client, and is negative where it is not wanted any more.
func (s *Sample) insert(hash uint64, fresh bool) int32 {
	for len(s.clients) >= s.max {
		s.raise(s.level + 1)
		if !s.takes(hash) {
			return -1
		}
	}
	if 2*(len(s.clients)+1) > len(s.table) {
		s.index(max(16, 2*len(s.table)))
	}
	at := int32(len(s.clients))
	s.clients = append(spare(s.clients), client{hash: hash, head: -1, text: -1, fresh: fresh})
	s.link(at)
	return at
}

// spare is a list with room for one more: there are thousands of lists, which stay, and a
// doubled one would stand half empty.
func spare[T any](list []T) []T {
	if len(list) < cap(list) {
		return list
	}
	return append(slices.Grow([]T(nil), len(list)+len(list)/8+4), list...)
}

func (s *Sample) index(size int) {
	s.table = make([]int32, size)
	for at := range s.clients {
		s.link(int32(at))
	}
}

func (s *Sample) link(at int32) {
	mask := uint64(len(s.table) - 1)
	i := s.clients[at].hash & mask
	for s.table[i] != 0 {
		i = (i + 1) & mask
	}
	s.table[i] = at + 1
}

// raise drops the clients that a higher level does not take, about half of them.
func (s *Sample) raise(level uint) {
	s.level = level
	s.keep(func(c *client) bool { return s.takes(c.hash) })
}

// Forget drops a client with its requests, and reports whether it was there.
func (s *Sample) Forget(address netip.Addr) bool {
	addr, before := schemas.ClientOf(address).As16(), len(s.clients)
	if !s.Has(address) {
		return false
	}
	s.keep(func(c *client) bool { return c.addr != addr })
	clear(s.clients[len(s.clients):before])
	return true
}

// changed forgets what was worked out of what the sample held.
func (s *Sample) changed() {
	s.laid, s.guests, s.agents, s.ids, s.people, s.refused, s.nets, s.near, s.tells = nil, nil, nil, 0, nil, nil, nil, nil, nil
}

// keep drops the clients that are not wanted.
func (s *Sample) keep(wanted func(*client) bool) {
	s.changed()
	kept := s.clients[:0]
	for i := range s.clients {
		c := &s.clients[i]
		if wanted(c) {
			kept = append(kept, *c)
			continue
		}
		for at := c.head; at >= 0; {
			next := s.rows[at].next
			s.rows[at].next, s.free = s.free, at
			at = next
		}
	}
	s.clients = kept
	s.packTexts()
	if len(s.table) == 0 { // it is packed
		return
	}
	clear(s.table)
	for at := range s.clients {
		s.link(int32(at))
	}
}

// key orders the rows of a client: which of many are kept is another draw for every client. Were it the same for
// all, what most visitors with one program ask for on the way would be missing of all of them or of none, and a
// signature of it would be found that they seem not to show. Whether an agent and the keys of a query are known
// follows from what they are.
func (t *Traits) key(id uint64) uint32 {
	h := id
	for i := 0; i < int(schemas.TraitAgentKnown); i += 2 {
		h = mix(h ^ uint64(t[i])<<32 ^ uint64(t[i+1]))
	}
	return uint32(h)
}

// addRow counts a request with these traits and their key, which takes the place of another
// if the client has many.
func (s *Sample) addRow(at int32, t *Traits, key, count, served uint32) {
	s.changed()
	c := &s.clients[at]
	largest, tail := int32(-1), int32(-1)
	for i := c.head; i >= 0; i = s.rows[i].next {
		r := &s.rows[i]
		if r.key == key && r.traits.like(t) {
			s.x.settle(&r.traits, t)
			r.count += count
			r.served += served
			return
		}
		if i != c.head && (largest < 0 || r.key > s.rows[largest].key) {
			largest = i
		}
		tail = i
	}
	if c.rows >= maxRows && s.fold(c, t, count, served) {
		return
	}
	if c.rows >= maxRows {
		if key < s.rows[largest].key {
			r := &s.rows[largest]
			r.traits, r.key, r.count, r.served = *t, key, count, served
		}
		return
	}
	i := s.free
	if i >= 0 {
		s.free = s.rows[i].next
	} else {
		i = int32(len(s.rows))
		s.rows = append(spare(s.rows), row{})
	}
	s.rows[i] = row{traits: *t, count: count, served: served, key: key, next: -1}
	if tail < 0 {
		c.head = i
	} else {
		s.rows[tail].next = i
	}
	c.rows++
}

// Reset empties the sample and keeps its memory.
func (s *Sample) Reset() {
	s.level, s.sparse, s.free, s.young = 0, 0, -1, false
	s.changed()
	clear(s.table)
	s.clients, s.rows, s.texts = s.clients[:0], s.rows[:0], s.texts[:0]
	s.Requests, s.Span, s.first, s.last, s.visits = 0, 0, 0, 0, 0
}
