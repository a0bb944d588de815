package processor

import (
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/schemas"
)

// batchStrings keeps what was hashed of a batch's strings under their indices, and the
// hashes of its clients: what costs the same for every row that has it is worked out once.
type batchStrings struct {
	path, referer, host, agent []uint32 // of each row, its index
	texts                      [][]byte
	seen                       []hashedString // by index
	clients                    []uint64       // keyed hash of each row's client
	hosts                      [64]struct {   // by index; kept while no site comes or goes
		index uint32 // plus 1; 0 is none
		site  *countedSite
	}
}

// hashedString is the hash of a string, for one use; few have two.
type hashedString struct {
	hash uint64
	use  stringUse
}

type stringUse uint64

const (
	asPath    stringUse = 1
	asReferer stringUse = 5
	asAgent   stringUse = 6
	asQuery   stringUse = 7 // of a key: never a whole string's
)

// begin turns to a batch.
func (c *Counter) begin(b *schemas.Batch) {
	c.rows.Reset(b)
	c.extract.Begin(&c.rows)
	s := &c.strings
	s.path, s.referer, s.host = c.rows.Indices(schemas.ColumnPath), c.rows.Indices(schemas.ColumnReferer), c.rows.Indices(schemas.ColumnSite)
	s.agent, s.texts = c.rows.Indices(schemas.ColumnUserAgent), c.rows.Texts()
	if cap(s.seen) < len(s.texts) {
		s.seen = make([]hashedString, len(s.texts)+len(s.texts)/4)
	}
	s.seen = s.seen[:len(s.texts)]
	clear(s.seen)
	c.forgetHosts()
	s.clients = c.extract.ClientHashes(s.clients[:0], b.Client)
}

func (c *Counter) forgetHosts() { clear(c.strings.hosts[:]) }

// warm has the clients of the next rows fetched from memory, all at once: one after the
// other, each would be waited for.
func (c *Counter) warm(row int) {
	if row%warmRows == 0 {
		all := c.strings.clients
		c.clients.Warm(all[row:min(row+warmRows, len(all))])
	}
}

const warmRows = 32

// hashOf is the keyed hash of a string of the batch.
func (c *Counter) hashOf(index uint32, use stringUse) uint64 {
	h := &c.strings.seen[index]
	if h.use != use {
		*h = hashedString{xxh3.HashSeed(c.strings.texts[index], c.seed+uint64(use)), use}
	}
	return h.hash
}

// siteOfRow is siteOf for a row of the batch.
func (c *Counter) siteOfRow(r *schemas.Request, row int) *countedSite {
	index := c.strings.host[row]
	slot := &c.strings.hosts[index%uint32(len(c.strings.hosts))]
	if slot.index == index+1 && (slot.site.place == nil || slot.site.place.Last() >= c.latest/1000) {
		return slot.site
	}
	s := c.siteOf(r)
	if s.name != Other { // which a host may leave at any request
		slot.index, slot.site = index+1, s
	}
	return s
}
