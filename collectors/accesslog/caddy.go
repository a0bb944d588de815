package accesslog

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/weir-project/weir/schemas"
)

// caddyJSON reads Caddy's JSON log. Caddy writes everything that it has to say to
// one log unless told otherwise; a request is a message "handled request". What a
// request carries stands in objects within, its header fields as arrays, in an
// order that differs from line to line.
type caddyJSON struct {
	lineKeys, requestKeys, tlsKeys keys
	stops                          stops
	scratch                        []byte
	extra                          []byte
	tls                            tlsCache
	hosts                          hostCache
	found                          caddyFound
	common                         [numCommon][]byte // header fields that many send, by commonHeaders
	rare                           []rareHeader      // the others, as they come
}

// rareHeader is a header field that is none of commonHeaders.
type rareHeader struct{ name, value []byte }

// maxRare bounds them; more than a request's Extra has room for.
const maxRare = 16

// caddyFound is what one line has told so far.
type caddyFound struct {
	handled         bool   // it is a request's
	time, client    bool   // they are there
	peer            []byte // the address that connected, for where there is no client_ip
	peerPort        bool   // it has a port behind it
	headers         bool
	answer          bool   // the answer's header fields are there
	version, cipher int64  // of TLS, as on the wire
	common, escaped uint32 // of caddyJSON.common: those that are there, and those that had escapes
}

// Parse implements Parser.
func (p *caddyJSON) Parse(line []byte, r *schemas.Request) Reason {
	if len(line) > MaxLine {
		return TooLong
	}
	*r = schemas.Request{Fields: schemas.FieldTLS} // without its object there was no TLS
	p.scratch, p.extra, p.rare, p.found = p.scratch[:0], p.extra[:0], p.rare[:0], caddyFound{}
	i := skipSpace(line, 0)
	if i == len(line) {
		return Empty
	}
	if line[i] != '{' {
		return Syntax
	}
	p.stops.scan(line)
	end, reason := p.object(line, i, &p.lineKeys, caddyLineKey, r)
	if reason != None {
		return reason
	}
	if skipSpace(line, end) != len(line) {
		return Syntax
	}
	if !p.found.handled {
		if p.found.time {
			return Message
		}
		return Syntax
	}
	return p.finish(r)
}

// finish checks that all is there, and sets what depends on several keys.
func (p *caddyJSON) finish(r *schemas.Request) Reason {
	if !p.found.time {
		return Time
	}
	if !p.found.client {
		read := parseAddress
		if p.found.peerPort {
			read = beforePort
		}
		var ok bool
		if r.Client, ok = read(p.found.peer); !ok {
			return Client
		}
	}
	if p.found.headers {
		r.Fields |= schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage | schemas.FieldAcceptEncoding |
			schemas.FieldCookie | schemas.FieldRequestID | schemas.FieldExtra
		if r.Cookie == schemas.CookieUnknown {
			r.Cookie = schemas.CookieNone
		}
		r.Extra = p.extras()
	}
	if p.found.answer {
		r.Fields |= schemas.FieldCacheStatus
	}
	if p.found.version != 0 {
		r.TLS = p.tls.ofWire(uint16(p.found.version), uint16(p.found.cipher))
	}
	return None
}

// extras writes the header fields that have no place of their own. Caddy writes them in
// a new order every time; here those that many send come first, in one order, so that
// requests alike are alike.
func (p *caddyJSON) extras() []byte {
	extra := p.extra
	for set := p.found.common; set != 0; set &= set - 1 {
		i := bits.TrailingZeros32(set)
		name, value := commonHeaders[i], p.common[i]
		if n := len(value); n > extraValue || n < 2 && nothing(value) || len(extra)+len(name)+n > schemas.MaxTrait || p.found.escaped&(1<<i) != 0 {
			extra = appendPair(extra, name, value)
			continue
		}
		if len(extra) == 0 {
			name = name[1:]
		}
		extra = append(append(extra, name...), value...) // a string without escapes holds no control character
	}
	p.extra = extra
	for _, h := range p.rare {
		p.extra = appendHeader(p.extra, "http_", h.name, h.value)
	}
	return p.extra
}

// object reads the object at i, whose keys lookup knows, and gives the index behind it.
func (p *caddyJSON) object(line []byte, i int, known *keys, lookup func([]byte) key, r *schemas.Request) (next int, reason Reason) {
	if i = skipSpace(line, i+1); i < len(line) && line[i] == '}' {
		return i + 1, None
	}
	for n := 0; ; n++ {
		id, value, text := known.next(line, i, n, lookup, &p.stops, &p.scratch)
		if value < 0 {
			return i, Syntax
		}
		if i, reason = p.value(line, value, id, text, r); reason != None {
			return i, reason
		}
		if i+1 < len(line) && line[i] == ',' && line[i+1] == '"' { // as another does
			i++
			continue
		}
		var more bool
		if i, more = another(line, i); i < 0 {
			return i, Syntax
		}
		if !more {
			return i + 1, None
		}
	}
}

// value reads the value at i of a key, which is a text behind its quote or anything
// else, and gives the index behind it.
func (p *caddyJSON) value(line []byte, i int, id key, text bool, r *schemas.Request) (next int, reason Reason) {
	if text {
		if p.stops.kept && i < len(line) { // what stringEnd does first
			if end := p.stops.next(i); end < len(line) && line[end] == '"' {
				if id == keyUnknown {
					return end + 1, None
				}
				return end + 1, p.set(id, line[i:end:end], kindString, r)
			}
		}
		end, escaped := p.stops.stringEnd(line, i)
		if end < 0 {
			return i, Syntax
		}
		value := line[i:end:end]
		if escaped {
			if id == keyUnknown {
				if !escapesHold(value) {
					return i, Syntax
				}
				return end + 1, None
			}
			var ok bool
			if value, ok = unescapeJSON(&p.scratch, value); !ok {
				return i, Syntax
			}
		}
		if id == keyUnknown {
			return end + 1, None
		}
		return end + 1, p.set(id, value, kindString, r)
	}
	if i < len(line) && line[i] == '{' {
		switch id {
		case keyCaddyRequest:
			return p.object(line, i, &p.requestKeys, caddyRequestKey, r)
		case keyCaddyTLS:
			return p.object(line, i, &p.tlsKeys, caddyTLSKey, r)
		case keyCaddyHeaders:
			p.found.headers = true
			return p.headers(line, i, r)
		case keyCaddyAnswer:
			p.found.answer = true
			return p.answer(line, i, r)
		}
	}
	end, k := p.stops.valueEnd(line, i, 1)
	if k == kindBad {
		return i, Syntax
	}
	if id == keyUnknown || k == kindNull {
		return end, None
	}
	return end, p.set(id, line[i:end:end], k, r)
}

// headers reads the object at i of a request's header fields.
func (p *caddyJSON) headers(line []byte, i int, r *schemas.Request) (next int, reason Reason) {
	return p.fields(line, i, false, r)
}

// answer reads the object at i of the answer's header fields, of which only what the
// cache did is of interest.
func (p *caddyJSON) answer(line []byte, i int, r *schemas.Request) (next int, reason Reason) {
	return p.fields(line, i, true, r)
}

// fields reads an object of header fields of a request or of its answer, each an array
// of values, and takes those that have one: the first, or of X-Forwarded-For and
// Forwarded, which grow at their end, all.
func (p *caddyJSON) fields(line []byte, i int, answer bool, r *schemas.Request) (next int, reason Reason) {
	if i = skipSpace(line, i+1); i < len(line) && line[i] == '}' {
		return i + 1, None
	}
	for {
		if i = p.plainFields(line, i, answer, r); i < len(line) && line[i] == '}' {
			return i + 1, None
		}
		if i >= len(line) || line[i] != '"' {
			return i, Syntax
		}
		end, escaped := p.stops.stringEnd(line, i+1)
		if end < 0 || escaped && !escapesHold(line[i+1:end]) {
			return i, Syntax
		}
		name := line[i+1 : end]
		wanted := !answer || len(name) > 0 && (name[0]|0x20 == 'x' || name[0]|0x20 == 'c')
		if i = skipSpace(line, end+1); i >= len(line) || line[i] != ':' {
			return i, Syntax
		}
		var value []byte
		value, i, reason = p.array(line, skipSpace(line, i+1), wanted, isForwarded(name))
		if reason != None {
			return i, reason
		}
		if wanted && len(name) > 0 && value != nil {
			if answer {
				p.answerHeader(name, value, r)
			} else {
				p.header(name, value, false, r)
			}
		}
		var more bool
		if i, more = another(line, i); i < 0 {
			return i, Syntax
		}
		if !more {
			return i + 1, None
		}
	}
}

// plainFields reads as many fields from i on as are written as Caddy writes them, and
// have one value, without escapes where it is wanted: nearly all. It gives the index of the one that is not,
// or of the brace that closes the object.
func (p *caddyJSON) plainFields(line []byte, i int, answer bool, r *schemas.Request) int {
	if !p.stops.kept {
		return i
	}
	for i < len(line) && line[i] == '"' {
		name := p.stops.next(i + 1)
		if name+4 >= len(line) || name == i+1 || binary.LittleEndian.Uint32(line[name:]) != opensValue {
			return i
		}
		value := p.stops.next(name + 4)
		wanted := !answer || line[i+1]|0x20 == 'x' || line[i+1]|0x20 == 'c'
		if !wanted && value < len(line) && line[value] == '\\' { // an Etag has quotes in it
			end, _ := p.stops.escapedEnd(line, value)
			if end < 0 || !escapesHold(line[value:end]) {
				return i
			}
			value = end
		}
		if value+3 >= len(line) || line[value] != '"' || line[value+1] != ']' {
			return i
		}
		next := value + 2
		if line[next] == ',' && line[next+1] == '"' {
			next++
		} else if line[next] != '}' {
			return i
		}
		if wanted && answer {
			p.answerHeader(line[i+1:name], line[name+4:value:value], r)
		} else if wanted {
			p.header(line[i+1:name], line[name+4:value:value], true, r)
		}
		i = next
	}
	return i
}

// opensValue is `":["`, what stands between the name of a header field and its value.
const opensValue = '"' | ':'<<8 | '['<<16 | '"'<<24

func isForwarded(name []byte) bool {
	return string(name) == "X-Forwarded-For" || string(name) == "Forwarded"
}

// array reads the values of a header field at i, in whatever form, and gives the first,
// or all joined by commas, where it is wanted, and the index behind it.
func (p *caddyJSON) array(line []byte, i int, wanted, join bool) (value []byte, next int, reason Reason) {
	next, k := p.stops.valueEnd(line, i, 1)
	if k == kindBad {
		return nil, i, Syntax
	}
	if !wanted {
		return nil, next, None
	}
	inside := line[i:next]
	if line[i] == '[' {
		inside = bytes.TrimSpace(inside[1 : len(inside)-1])
	}
	start := len(p.scratch)
	for n := 0; len(inside) > 0 && inside[0] == '"'; n++ { // and not "Authorization":[]
		end, _ := stringEnd(inside, 1)
		var ok bool
		if n > 0 {
			p.scratch = append(p.scratch, ", "...)
		}
		if p.scratch, ok = appendJSON(p.scratch, inside[1:end]); !ok {
			return nil, i, Syntax
		}
		if value = p.scratch[start:len(p.scratch):len(p.scratch)]; !join {
			break
		}
		inside = bytes.TrimLeft(inside[end+1:], " \t\r\n,")
	}
	return value, next, None
}
