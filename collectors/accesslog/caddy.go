package accesslog

import (
	"github.com/weir-project/weir/schemas"
)

// caddyJSON reads Caddy's JSON log. Caddy writes everything that it has to say to
// one log unless told otherwise; a request is a message "handled request". What a
// request carries stands in objects within, its header fields as arrays, in an
// order that differs from line to line.
type caddyJSON struct {
	scratch []byte
	tls     tlsCache
	found   caddyFound
}

// caddyFound is what one line has told so far.
type caddyFound struct {
	handled         bool   // it is a request's
	time, client    bool   // they are there
	peer            []byte // the address that connected, for where there is no client_ip
	headers         bool
	version, cipher int64 // of TLS, as on the wire
}

// place is which object a key stands in.
type place uint8

const (
	inLine place = iota
	inRequest
	inHeaders
	inTLS
	inOther
)

// Parse implements Parser.
func (p *caddyJSON) Parse(line []byte, r *schemas.Request) Reason {
	if len(line) > MaxLine {
		return TooLong
	}
	*r = schemas.Request{}
	p.scratch, p.found = p.scratch[:0], caddyFound{}
	i := skipSpace(line, 0)
	if i == len(line) {
		return Empty
	}
	if line[i] != '{' {
		return Syntax
	}
	end, reason := p.object(line, i, inLine, r)
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
		var ok bool
		if r.Client, ok = parseAddress(p.found.peer); !ok {
			return Client
		}
	}
	if p.found.headers {
		r.Fields |= schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage | schemas.FieldAcceptEncoding | schemas.FieldCookie
		if r.Cookie == schemas.CookieUnknown {
			r.Cookie = schemas.CookieNone
		}
	}
	if p.found.version != 0 {
		r.Fields |= schemas.FieldTLS
		r.TLS = p.tls.ofWire(uint16(p.found.version), uint16(p.found.cipher))
	}
	return None
}

// object reads the object at i and gives the index behind it.
func (p *caddyJSON) object(line []byte, i int, in place, r *schemas.Request) (next int, reason Reason) {
	if i = skipSpace(line, i+1); i < len(line) && line[i] == '}' {
		return i + 1, None
	}
	for {
		if i >= len(line) || line[i] != '"' {
			return i, Syntax
		}
		end, escaped := stringEnd(line, i+1)
		if end < 0 || escaped && !escapesHold(line[i+1:end]) {
			return i, Syntax
		}
		name := line[i+1 : end]
		if i = end + 1; i < len(line) && line[i] != ':' {
			i = skipSpace(line, i)
		}
		if i >= len(line) || line[i] != ':' {
			return i, Syntax
		}
		if i++; i < len(line) && line[i] <= ' ' {
			i = skipSpace(line, i)
		}
		if i, reason = p.value(line, i, in, name, r); reason != None {
			return i, reason
		}
		if i < len(line) && line[i] <= ' ' {
			i = skipSpace(line, i)
		}
		if i >= len(line) {
			return i, Syntax
		}
		if line[i] == '}' {
			return i + 1, None
		}
		if line[i] != ',' {
			return i, Syntax
		}
		if i++; i < len(line) && line[i] <= ' ' {
			i = skipSpace(line, i)
		}
	}
}

// value reads the value at i of a key and gives the index behind it.
func (p *caddyJSON) value(line []byte, i int, in place, name []byte, r *schemas.Request) (next int, reason Reason) {
	if i < len(line) && line[i] == '{' {
		if within := placeOf(in, name); within != inOther {
			p.found.headers = p.found.headers || within == inHeaders
			return p.object(line, i, within, r)
		}
	}
	if in == inHeaders {
		if field := headerOf(name); field != headerOther {
			return p.header(line, i, field, r)
		}
		return skipValue(line, i)
	}
	var set func(p *caddyJSON, value []byte, k kind, r *schemas.Request) Reason
	switch in {
	case inLine:
		set = caddyLineKey(name)
	case inRequest:
		set = caddyRequestKey(name)
	case inTLS:
		set = caddyTLSKey(name)
	}
	if set == nil {
		return skipValue(line, i)
	}
	value, k, next := p.scalar(line, i)
	if k == kindBad {
		return i, Syntax
	}
	if k == kindNull {
		return next, None
	}
	return next, set(p, value, k, r)
}

func placeOf(in place, name []byte) place {
	switch {
	case in == inLine && string(name) == "request":
		return inRequest
	case in == inRequest && string(name) == "headers":
		return inHeaders
	case in == inRequest && string(name) == "tls":
		return inTLS
	}
	return inOther
}

// scalar is the value at i, escapes undone.
func (p *caddyJSON) scalar(line []byte, i int) (value []byte, k kind, next int) {
	if i < len(line) && line[i] == '"' {
		end, escaped := stringEnd(line, i+1)
		if end < 0 {
			return nil, kindBad, i
		}
		value = line[i+1 : end : end]
		if escaped {
			start := len(p.scratch)
			var ok bool
			if p.scratch, ok = appendJSON(p.scratch, value); !ok {
				return nil, kindBad, i
			}
			value = p.scratch[start:len(p.scratch):len(p.scratch)]
		}
		return value, kindString, end + 1
	}
	next, k = valueEnd(line, i, 0)
	return line[i:next:next], k, next
}

// skipValue is the index behind the value at i.
func skipValue(line []byte, i int) (next int, reason Reason) {
	if end := onlyOne(line, i); end > 0 {
		return end, None
	}
	next, k := valueEnd(line, i, 1)
	if k == kindBad {
		return i, Syntax
	}
	return next, None
}

// header reads the array at i of a header field's values, of which the first counts.
func (p *caddyJSON) header(line []byte, i int, field header, r *schemas.Request) (next int, reason Reason) {
	var value []byte
	if end := onlyOne(line, i); end > 0 {
		value, next = line[i+2:end-2:end-2], end
	} else {
		if next, reason = skipValue(line, i); reason != None {
			return i, reason
		}
		if line[i] == '[' {
			i = skipSpace(line, i+1)
		}
		if line[i] == '"' { // and not "Authorization":[]
			var k kind
			if value, k, _ = p.scalar(line, i); k == kindBad {
				return i, Syntax
			}
		}
	}
	switch field {
	case headerReferer:
		r.Referer = value
	case headerUserAgent:
		r.UserAgent = value
	case headerAcceptLanguage:
		r.AcceptLanguage = value
	case headerAcceptEncoding:
		r.AcceptEncoding = value
	case headerCookie:
		r.Cookie = schemas.CookieSome
	}
	return next, None
}

// onlyOne is the index behind an array at i of one text without escapes, as nearly
// all are, or 0.
func onlyOne(line []byte, i int) (next int) {
	if i+1 >= len(line) || line[i] != '[' || line[i+1] != '"' {
		return 0
	}
	end, escaped := stringEnd(line, i+2)
	if end < 0 || escaped || end+1 >= len(line) || line[end+1] != ']' {
		return 0
	}
	return end + 2
}
