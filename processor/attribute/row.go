package attribute

import (
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
	referers [3]uint32 // none, same, other
	client   [16]byte
	some     uint32
	none     uint32
	listed   [schemas.NumListed][numSaid]uint32 // what lists say

	families    [1024]agentSlot
	familyNames map[uint32]string

	memo memo
}

// agentSlot is what is known of an agent.
type agentSlot struct {
	agent, family uint32
	machine       bool
}

// NewExtractor makes an Extractor whose hashes are keyed by seed.
func NewExtractor(seed uint64) *Extractor {
	x := &Extractor{seed: seed, familyNames: make(map[uint32]string)}
	for i, kind := range refererKinds {
		x.referers[i] = x.hash(schemas.TraitReferer, []byte(kind))
	}
	for of := range schemas.NumListed {
		for said, text := range [numSaid]string{schemas.PathKnown, schemas.PathUnknown, ""} {
			x.listed[of][said] = x.hash(of.Trait(), []byte(text))
		}
	}
	x.some = x.hash(schemas.TraitCookie, []byte("some"))
	x.none = x.hash(schemas.TraitCookie, []byte("none"))
	x.memo.init(x)
	return x
}

func (x *Extractor) hash(t schemas.Trait, value []byte) uint32 {
	h := uint32(xxh3.HashSeed(value, x.seed+uint64(t)*0x9E3779B97F4A7C15) >> 32)
	if h == 0 {
		return 1
	}
	return h
}

// Agent is the hash of a user agent, as it stands in Traits.
func (x *Extractor) Agent(agent []byte) uint32 { return x.hash(schemas.TraitUserAgent, agent) }

// profileTraits are those that a client program sends the same with every
// request: one fact, not five.
var profileTraits = [...]schemas.Trait{
	schemas.TraitUserAgent, schemas.TraitAcceptLanguage, schemas.TraitAcceptEncoding,
	schemas.TraitTLS, schemas.TraitProtocol,
}

// Profile fills the traits that are the same in all requests of a client program.
func (x *Extractor) Profile(t *Traits, r *schemas.Request) {
	*t = Traits{}
	for _, p := range profileTraits {
		if field := profileField(p); field == 0 || r.Fields.Has(field) {
			t[p] = x.hash(p, profileText(p, r))
		}
	}
}

// profileField is the field that a profile trait is unknown without; 0 is none.
func profileField(t schemas.Trait) schemas.Fields {
	switch t {
	case schemas.TraitUserAgent:
		return schemas.FieldUserAgent
	case schemas.TraitAcceptLanguage:
		return schemas.FieldAcceptLanguage
	case schemas.TraitAcceptEncoding:
		return schemas.FieldAcceptEncoding
	case schemas.TraitTLS:
		return schemas.FieldTLS
	}
	return 0
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
	t[schemas.TraitPathShape] = x.hash(schemas.TraitPathShape, x.derive(schemas.TraitPathShape, r.Path))
	t[schemas.TraitQueryKeys] = x.hash(schemas.TraitQueryKeys, x.derive(schemas.TraitQueryKeys, r.Query))
	x.rest(t, r)
}

// rest is what Rest and RestOf do alike.
func (x *Extractor) rest(t *Traits, r *schemas.Request) {
	if r.Fields.Has(schemas.FieldReferer) {
		t[schemas.TraitReferer] = x.referer(schemas.RefererKind(r.Referer, r.Site))
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
		t[schemas.TraitAgentFamily] = x.family(t[schemas.TraitUserAgent], r.UserAgent)
	}
	x.names.see(schemas.TraitMethod, t[schemas.TraitMethod], r.Method)
	x.noteDerived(schemas.TraitPathShape, t, r.Path)
	x.noteDerived(schemas.TraitQueryKeys, t, r.Query)
}

// refererKinds are what schemas.RefererKind answers.
var refererKinds = [3]string{"none", "same", "other"}

func (x *Extractor) referer(kind string) uint32 {
	switch kind {
	case refererKinds[0]:
		return x.referers[0]
	case refererKinds[1]:
		return x.referers[1]
	}
	return x.referers[2]
}

// family is the hash of the agent's family, kept by the agent's hash: few agents
// make most requests, and telling a family takes longer than all other traits.
func (x *Extractor) family(agent uint32, text []byte) uint32 { return x.agentOf(agent, text).family }

// Declares reports whether an agent, given with its hash, says that it is no browser: robots,
// tools, and what names itself not at all.
func (x *Extractor) Declares(agent uint32, text []byte) bool { return x.agentOf(agent, text).machine }

func (x *Extractor) agentOf(agent uint32, text []byte) *agentSlot {
	slot := &x.families[agent%uint32(len(x.families))]
	if slot.agent == agent {
		return slot
	}
	name := schemas.AgentFamily(text)
	family := x.hash(schemas.TraitAgentFamily, []byte(name))
	x.familyNames[family] = name // there are few, by their definition
	slot.agent, slot.family = agent, family
	slot.machine = name == schemas.AgentRobot || name == schemas.AgentTool || name == schemas.AgentNone
	return slot
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
	switch t {
	case schemas.TraitAgentFamily:
		name, ok := x.familyNames[hash]
		return name, ok
	case schemas.TraitReferer:
		for i, h := range x.referers {
			if h == hash {
				return refererKinds[i], true
			}
		}
		return "", false
	case schemas.TraitCookie:
		if hash == x.some {
			return "some", true
		}
		return "none", hash == x.none
	}
	if of, listed := schemas.ListedOf(t); listed {
		if hash == x.listed[of][isKnown] {
			return schemas.PathKnown, true
		}
		return schemas.PathUnknown, hash == x.listed[of][isUnknown]
	}
	return x.names.of(t, hash)
}

// maxFamilies bounds the families that Learn takes: there are few, by their definition.
const maxFamilies = 1024

// Learn notes the text behind a hashed value, as another Extractor of the same seed saw
// it. A text that does not fit the hash is passed over.
func (x *Extractor) Learn(t schemas.Trait, hash uint32, text []byte) {
	if _, listed := schemas.ListedOf(t); hash == 0 || listed || x.hash(t, text) != hash {
		return
	}
	if t == schemas.TraitAgentFamily {
		if _, ok := x.familyNames[hash]; !ok && len(x.familyNames) < maxFamilies {
			x.familyNames[hash] = string(text)
		}
		return
	}
	x.names.see(t, hash, text)
}

// ClientHash is the keyed hash of a client.
func (x *Extractor) ClientHash(client [16]byte) uint64 {
	x.client = client // hashed where it lies: a slice of the argument would escape
	return xxh3.HashSeed(x.client[:], x.seed)
}

// ClientHashes appends the keyed hash of each client of a batch's column of addresses, 16
// bytes each: ClientHash of schemas.ClientOf.
func (x *Extractor) ClientHashes(dst []uint64, addresses []byte) []uint64 {
	for ; len(addresses) >= 16; addresses = addresses[16:] {
		a := addresses[:16]
		if [12]byte(a) != v4Mapped {
			x.client = [16]byte{}
			copy(x.client[:8], a)
			a = x.client[:]
		}
		dst = append(dst, xxh3.HashSeed(a, x.seed))
	}
	return dst
}

// v4Mapped is what an IPv4 address begins with among IPv6 addresses.
var v4Mapped = [12]byte{10: 0xFF, 11: 0xFF}
