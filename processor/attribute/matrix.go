package attribute

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// maxBitmaps bounds what is kept of a sample's items.
const maxBitmaps = 1024

// item is one trait at one value.
type item struct {
	trait schemas.Trait
	hash  uint32
}

// matrix is a sample laid out for counting: its rows, client by client, and for
// each item on demand the bitmap of the rows that have it.
type matrix struct {
	rows    []Traits
	weight  []float64 // requests that the row stands for
	owner   []int32   // its client, ascending
	served  []uint64  // bitmap of the rows that the site served
	clients []member
	hashes  []uint64   // of the clients
	addrs   [][16]byte // likewise
	nets    []networks // likewise
	total   float64    // sum of weight
	words   int
	known   [schemas.NumTraits]bool
	paths   uint64 // version of the Resolver, plus 1; 0 is none
	bitmaps map[itemKey][]uint64

	// What was counted before. The normal sample stands still while an incident is
	// open, and is asked the same again and again.
	requests map[itemKey]float64
	weighed  map[itemSet]weighed
	pairs    map[itemSet]int // clients of the choosing half
	shown    map[itemKey]int // clients
	uppers   []float64       // UpperShare by count, of the choosing half
	conducts []knownConduct  // by the sample's clients
	visitors *tally          // of them

	scratch []uint64 // a bitmap
}

// itemKey is an item as the key of a map, which hashes it in one go.
type itemKey uint64

func (it item) key() itemKey { return itemKey(it.trait)<<32 | itemKey(it.hash) }

// itemSet is up to three items in their order; 0 is none.
type itemSet [schemas.MaxSignatureTraits]itemKey

func setOf(items ...item) (set itemSet) {
	for i, it := range items {
		set[i] = it.key()
	}
	return set
}

// weighed is what a conjunction touches and matches.
type weighed struct {
	limit    int // up to which was counted
	touched  touched
	requests float64 // where no more than limit were touched
}

// member is what counting needs to know of a client.
type member struct {
	calibrate bool // held out for the collateral bound
	fresh     bool
	served    bool // a visitor: background noise that mostly meets 404 is not
	person    float64
}

// heldOut splits the clients by bits of their hash that nothing else uses: a quarter to choose
// by, which need not be exact, and three to measure the collateral on: of a young site it
// takes all that there are.
func heldOut(clientHash uint64) bool { return clientHash>>5&3 != 0 }

// newMatrix lays out the rows of s that know every trait of the known set: where
// a format does not carry a trait, a request says nothing about it.
//
// The layout is kept with the sample: the normal sample stands still while an
// incident is open, and is asked about again and again.
//
// What a client of the normal sample alone has made known counts as unknown for that client:
// so it will be for the next one, of another page.
func newMatrix(s *Sample, known [schemas.NumTraits]bool, paths *Resolver, normal bool) *matrix {
	version := uint64(0)
	if paths != nil {
		version = paths.Version + 1
	}
	if s.laid != nil && s.laid.known == known && s.laid.paths == version {
		return s.laid
	}
	m := &matrix{bitmaps: make(map[itemKey][]uint64), requests: make(map[itemKey]float64), weighed: make(map[itemSet]weighed),
		pairs: make(map[itemSet]int), shown: make(map[itemKey]int), known: known, paths: version}
	s.laid = m
	m.rows, m.weight, m.owner = make([]Traits, 0, len(s.rows)), make([]float64, 0, len(s.rows)), make([]int32, 0, len(s.rows))
	m.clients, m.hashes, m.addrs = make([]member, 0, len(s.clients)), make([]uint64, 0, len(s.clients)), make([][16]byte, 0, len(s.clients))
	m.served = make([]uint64, 0, len(s.rows)/64+1)
	var people []float64
	if normal {
		people = s.persons()
	}
	for i := range s.clients {
		c, added, but := &s.clients[i], false, uint64(0)
		visitor := s.visitor(c)
		if normal {
			but = c.id
		}
		for at := c.head; at >= 0; at = s.rows[at].next {
			traits := s.rows[at].traits
			if s.x.resolve(&traits, paths, but); !knows(&traits, known) {
				continue
			}
			if !added {
				added = true
				m.clients = append(m.clients, member{calibrate: heldOut(c.id), fresh: c.fresh})
				if normal {
					m.clients[len(m.clients)-1].person = people[i]
				}
				m.hashes, m.addrs, m.nets = append(m.hashes, c.id), append(m.addrs, c.addr), append(m.nets, networksOf(c.addr))
			}
			m.rows = append(m.rows, traits)
			m.weight = append(m.weight, float64(s.rows[at].count))
			m.owner = append(m.owner, int32(len(m.clients)-1))
			if n := len(m.rows) - 1; visitor && s.rows[at].served > 0 {
				for len(m.served) <= n/64 {
					m.served = append(m.served, 0)
				}
				m.served[n/64] |= 1 << (n % 64)
				m.clients[len(m.clients)-1].served = true
			}
			m.total += float64(s.rows[at].count)
		}
	}
	m.words = (len(m.rows) + 63) / 64
	for len(m.served) < m.words {
		m.served = append(m.served, 0)
	}
	return m
}

func knows(t *Traits, known [schemas.NumTraits]bool) bool {
	for i, k := range known {
		if k && t[i] == 0 {
			return false
		}
	}
	return true
}

// knownTraits are those that most rows of the suspects know; what a list says, only where there is one.
func knownTraits(s *Sample, lists *Resolver) (known [schemas.NumTraits]bool) {
	var count [schemas.NumTraits]int
	n := 0
	for i := range s.clients {
		for at := s.clients[i].head; at >= 0; at = s.rows[at].next {
			n++
			for t, hash := range s.rows[at].traits {
				if hash != 0 {
					count[t]++
				}
			}
		}
	}
	for t := range known {
		known[t] = 2*count[t] > n
	}
	for of := range schemas.NumListed {
		known[of.Trait()] = known[of.Trait()] && lists != nil && lists.Known[of] != nil
	}
	return known
}

func (m *matrix) bitmap(it item) []uint64 {
	if b, ok := m.bitmaps[it.key()]; ok {
		return b
	}
	if len(m.bitmaps) >= maxBitmaps {
		clear(m.bitmaps)
	}
	b := make([]uint64, m.words)
	for i := range m.rows {
		if m.rows[i].value(&m.nets[m.owner[i]], it.trait) == it.hash {
			b[i/64] |= 1 << (i % 64)
		}
	}
	m.bitmaps[it.key()] = b
	return b
}

// match is the bitmap of the rows that have all the items.
func (m *matrix) match(items []item) []uint64 { return m.matchInto(nil, items) }

// matchInto is match in dst's memory.
func (m *matrix) matchInto(dst []uint64, items []item) []uint64 {
	b := append(dst, m.bitmap(items[0])...)
	for _, it := range items[1:] {
		for i, w := range m.bitmap(it) {
			b[i] &= w
		}
	}
	return b
}

// maxWeighed bounds what is remembered of conjunctions.
const maxWeighed = 1 << 16

// weigh counts the clients of the choosing half that have a conjunction, up to more than
// limit, and its requests where there are no more. most is the greatest limit that the same
// will be asked with: what was counted up to it answers for all.
func (m *matrix) weigh(items []item, limit, most int) weighed {
	set := setOf(items...)
	w, ok := m.weighed[set]
	if !ok || w.touched.all > w.limit && w.limit < limit {
		rows := m.matchInto(m.scratch[:0], items)
		m.scratch = rows
		w = weighed{limit: max(limit, most)}
		if w.touched = m.touchedUpTo(rows, false, w.limit); w.touched.all <= w.limit {
			_, w.requests = m.count(rows)
		}
		if len(m.weighed) >= maxWeighed {
			clear(m.weighed)
		}
		m.weighed[set] = w
	}
	if w.touched.all > limit {
		w.touched.all, w.requests = limit+1, 0
	}
	return w
}

// pair is how many clients of the choosing half have both items.
func (m *matrix) pair(x, y item) int {
	set := setOf(x, y)
	n, ok := m.pairs[set]
	if !ok {
		n = m.touched(m.match([]item{x, y}), false).all
		if len(m.pairs) >= maxWeighed {
			clear(m.pairs)
		}
		m.pairs[set] = n
	}
	return n
}

// shownBy is how many clients that the site served show an item.
func (m *matrix) shownBy(it item) int {
	n, ok := m.shown[it.key()]
	if !ok {
		b := m.bitmap(it)
		n = m.touched(b, false).all + m.touched(b, true).all
		if len(m.shown) >= maxWeighed {
			clear(m.shown)
		}
		m.shown[it.key()] = n
	}
	return n
}

// requestsOf is how many requests have an item.
func (m *matrix) requestsOf(it item) float64 {
	if n, ok := m.requests[it.key()]; ok {
		return n
	}
	_, n := m.count(m.bitmap(it))
	if len(m.requests) >= maxWeighed {
		clear(m.requests)
	}
	m.requests[it.key()] = n
	return n
}

// count gives the clients and the requests of the rows in the bitmap.
func (m *matrix) count(b []uint64) (clients int, requests float64) { return m.countBoth(b, b) }

// countBoth is count of the rows in both.
func (m *matrix) countBoth(x, y []uint64) (clients int, requests float64) {
	last := int32(-1)
	for w, word := range x {
		for word &= y[w]; word != 0; {
			i := w*64 + bits.TrailingZeros64(word)
			word &= word - 1
			requests += m.weight[i]
			if m.owner[i] != last {
				last = m.owner[i]
				clients++
			}
		}
	}
	return clients, requests
}

// touched is how many clients of one half have a served row in the bitmap, of all
// and of those that were new. A client who would lose only what the site refuses
// anyway is not touched.
type touched struct {
	all, fresh int
	people     float64 // see Sample.persons
}

func (m *matrix) touched(b []uint64, calibrate bool) touched {
	return m.touchedUpTo(b, calibrate, len(m.clients))
}

// touchedUpTo stops counting beyond limit, where the answer is "too many".
func (m *matrix) touchedUpTo(b []uint64, calibrate bool, limit int) (t touched) {
	last := int32(-1)
	for w, word := range b {
		word &= m.served[w]
		for word != 0 {
			i := w*64 + bits.TrailingZeros64(word)
			word &= word - 1
			if m.owner[i] == last {
				continue
			}
			last = m.owner[i]
			c := m.clients[last]
			if c.calibrate != calibrate {
				continue
			}
			if t.add(c.person, c.fresh); t.all > limit {
				return t
			}
		}
	}
	return t
}

// clientsOf are the hashes of the clients with a served row in the bitmap.
func (m *matrix) clientsOf(b []uint64) map[uint64]bool {
	of := make(map[uint64]bool)
	for w, word := range b {
		for word &= m.served[w]; word != 0; word &= word - 1 {
			of[m.hashes[m.owner[w*64+bits.TrailingZeros64(word)]]] = true
		}
	}
	return of
}

// halves counts the clients that each half has.
func (m *matrix) halves() (choose, calibrate touched) {
	for _, c := range m.clients {
		if !c.served {
			continue
		}
		t := &choose
		if c.calibrate {
			t = &calibrate
		}
		t.add(c.person, c.fresh)
	}
	return choose, calibrate
}

// items are the items of the matrix that at least least clients have, in a fixed order.
func (m *matrix) items(least int) []item {
	var table itemTable
	for i := range m.rows {
		for t, hash := range m.rows[i] {
			if hash != 0 {
				table.count(item{schemas.Trait(t), hash}, m.owner[i], m.weight[i])
			}
		}
	}
	var items []item
	for _, s := range table.slots {
		if s.clients >= int32(least) && s.clients > 0 {
			items = append(items, s.item)
			m.requests[s.item.key()] = s.requests
		}
	}
	slices.SortFunc(items, compareItems)
	return items
}

func compareItems(a, b item) int {
	if a.trait != b.trait {
		return int(a.trait) - int(b.trait)
	}
	return cmp.Compare(a.hash, b.hash)
}

// itemTable counts the clients of items: open addressing, because a map of Go takes most
// of the time of an analysis. The hashes are keyed already.
type itemTable struct {
	slots []itemSlot
	used  int
}

type itemSlot struct {
	item
	clients, last int32 // clients is 0 where the slot is free
	requests      float64
}

// count counts an item of a client's row; a client's rows come together.
func (t *itemTable) count(it item, client int32, requests float64) {
	if 2*(t.used+1) > len(t.slots) {
		t.grow()
	}
	s := t.slot(it)
	switch {
	case s.clients == 0:
		*s = itemSlot{item: it, clients: 1, last: client}
		t.used++
	case s.last != client:
		s.clients++
		s.last = client
	}
	s.requests += requests
}

func (t *itemTable) slot(it item) *itemSlot {
	mask := uint32(len(t.slots) - 1)
	for i := (it.hash + uint32(it.trait)*0x9E3779B1) & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.clients == 0 || s.item == it {
			return s
		}
	}
}

func (t *itemTable) grow() {
	old := t.slots
	t.slots = make([]itemSlot, max(1024, 2*len(old)))
	for _, s := range old {
		if s.clients > 0 {
			*t.slot(s.item) = s
		}
	}
}

// itemNumbers gives some items a number each: open addressing too, looked into for each trait of each row.
type itemNumbers struct {
	slots []numberedItem // a power of two, at least twice as many as are filled
}

type numberedItem struct {
	item
	number int32
	filled bool
}

// numbersFor makes room for at most n items.
func numbersFor(n int) itemNumbers {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return itemNumbers{make([]numberedItem, size)}
}

func (t *itemNumbers) slot(it item) *numberedItem {
	mask := uint32(len(t.slots) - 1)
	for i := (it.hash ^ it.hash>>15 + uint32(it.trait)*0x9E3779B1) & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; !s.filled || s.item == it {
			return s
		}
	}
}

func (t *itemNumbers) put(it item, number int32) {
	*t.slot(it) = numberedItem{item: it, number: number, filled: true}
}

// of is an item's number, if it has one.
func (t *itemNumbers) of(it item) (number int32, ok bool) {
	s := t.slot(it)
	return s.number, s.filled
}
