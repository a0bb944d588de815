package attribute

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/schemas"
)

// Traits are a request's trait values, hashed with the secret; 0 is unknown.
type Traits [schemas.NumTraits]uint32

// Extractor turns requests into hashed traits and remembers the text of the
// values that occur often. Not for concurrent use.
type Extractor struct {
	seed    uint64
	names   names
	scratch []byte
	// What referers and cookies hash to, so that they need not be hashed anew.
	referers map[string]uint32
	some     uint32
	none     uint32
}

// NewExtractor makes an Extractor whose hashes are keyed by seed.
func NewExtractor(seed uint64) *Extractor {
	x := &Extractor{seed: seed, referers: make(map[string]uint32, 3)}
	for _, kind := range []string{"none", "same", "other"} {
		x.referers[kind] = x.hash(schemas.TraitReferer, []byte(kind))
		x.names.see(schemas.TraitReferer, x.referers[kind], []byte(kind))
	}
	x.some = x.hash(schemas.TraitCookie, []byte("some"))
	x.none = x.hash(schemas.TraitCookie, []byte("none"))
	x.names.see(schemas.TraitCookie, x.some, []byte("some"))
	x.names.see(schemas.TraitCookie, x.none, []byte("none"))
	return x
}

func (x *Extractor) hash(t schemas.Trait, value []byte) uint32 {
	h := uint32(xxh3.HashSeed(value, x.seed+uint64(t)*0x9E3779B97F4A7C15) >> 32)
	if h == 0 {
		return 1
	}
	return h
}

// profileTraits are those that a client program sends the same with every
// request: one fact, not five.
var profileTraits = [...]schemas.Trait{
	schemas.TraitUserAgent, schemas.TraitAcceptLanguage, schemas.TraitAcceptEncoding,
	schemas.TraitTLS, schemas.TraitProtocol,
}

// Profile fills the traits that are the same in all requests of a client program.
func (x *Extractor) Profile(t *Traits, r *schemas.Request) {
	*t = Traits{}
	if r.Fields.Has(schemas.FieldUserAgent) {
		t[schemas.TraitUserAgent] = x.hash(schemas.TraitUserAgent, r.UserAgent)
	}
	if r.Fields.Has(schemas.FieldAcceptLanguage) {
		t[schemas.TraitAcceptLanguage] = x.hash(schemas.TraitAcceptLanguage, r.AcceptLanguage)
	}
	if r.Fields.Has(schemas.FieldAcceptEncoding) {
		t[schemas.TraitAcceptEncoding] = x.hash(schemas.TraitAcceptEncoding, r.AcceptEncoding)
	}
	if r.Fields.Has(schemas.FieldTLS) {
		t[schemas.TraitTLS] = x.hash(schemas.TraitTLS, r.TLS)
	}
	t[schemas.TraitProtocol] = x.hash(schemas.TraitProtocol, r.Protocol)
}

// Program identifies the client program by its agent, encodings, TLS and protocol
// together. The language is left out: it tells people apart, not programs.
func (t *Traits) Program() uint64 {
	p := mix(uint64(t[schemas.TraitUserAgent])<<32 | uint64(t[schemas.TraitAcceptEncoding]))
	return mix(p ^ uint64(t[schemas.TraitTLS])<<32 ^ uint64(t[schemas.TraitProtocol]))
}

// mix is a multiply-and-fold step (wyhash's), good enough to join hashes that are
// already keyed.
func mix(v uint64) uint64 {
	hi, lo := bits.Mul64(v^0xA0761D6478BD642F, 0xE7037ED1A0B428DB)
	return hi ^ lo
}

// Rest fills the traits that Profile left, and notes the text of all.
func (x *Extractor) Rest(t *Traits, r *schemas.Request) {
	t[schemas.TraitMethod] = x.hash(schemas.TraitMethod, r.Method)
	if r.Fields.Has(schemas.FieldReferer) {
		t[schemas.TraitReferer] = x.referers[schemas.RefererKind(r.Referer, r.Site)]
	}
	switch r.Cookie {
	case schemas.CookieSome:
		t[schemas.TraitCookie] = x.some
	case schemas.CookieNone:
		t[schemas.TraitCookie] = x.none
	}
	for _, p := range profileTraits {
		if t[p] != 0 {
			x.names.see(p, t[p], profileText(p, r))
		}
	}
	if r.Fields.Has(schemas.FieldUserAgent) {
		family := schemas.AgentFamily(r.UserAgent)
		x.scratch = append(x.scratch[:0], family...)
		t[schemas.TraitAgentFamily] = x.hash(schemas.TraitAgentFamily, x.scratch)
		x.names.see(schemas.TraitAgentFamily, t[schemas.TraitAgentFamily], x.scratch)
	}
	x.names.see(schemas.TraitMethod, t[schemas.TraitMethod], r.Method)
	x.scratch = schemas.PathShape(x.scratch[:0], r.Path)
	t[schemas.TraitPathShape] = x.hash(schemas.TraitPathShape, x.scratch)
	x.names.see(schemas.TraitPathShape, t[schemas.TraitPathShape], x.scratch)
	x.scratch = schemas.QueryKeys(x.scratch[:0], r.Query)
	t[schemas.TraitQueryKeys] = x.hash(schemas.TraitQueryKeys, x.scratch)
	x.names.see(schemas.TraitQueryKeys, t[schemas.TraitQueryKeys], x.scratch)
}

func profileText(t schemas.Trait, r *schemas.Request) []byte {
	switch t {
	case schemas.TraitUserAgent:
		return r.UserAgent
	case schemas.TraitAcceptLanguage:
		return r.AcceptLanguage
	case schemas.TraitAcceptEncoding:
		return r.AcceptEncoding
	case schemas.TraitTLS:
		return r.TLS
	}
	return r.Protocol
}

// Name is the text of a hashed value, if it is known.
func (x *Extractor) Name(t schemas.Trait, hash uint32) (string, bool) {
	return x.names.of(t, hash)
}

// ClientHash is the keyed hash of a client.
func (x *Extractor) ClientHash(client [16]byte) uint64 {
	lo, hi := binary.LittleEndian.Uint64(client[:8]), binary.LittleEndian.Uint64(client[8:])
	return xxh3.HashSeed(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(x.scratch[:0], lo), hi), x.seed)
}
