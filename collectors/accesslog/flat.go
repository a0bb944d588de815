package accesslog

import (
	"github.com/weir-project/weir/schemas"
)

// flatJSON reads one JSON object a line: weir's own nginx format, or Traefik's.
// Of a key that stands twice the last one counts. A field is carried where its key
// is there and not null, even where the value is empty.
type flatJSON struct {
	lookup  func(name []byte) key
	scratch []byte
	tls     tlsCache
	seen    uint8 // of the required keys
	start   int64 // when the request began, unix milliseconds, where seenStart
	version []byte
	cipher  []byte
	keys    [maxKeys]learnt
}

// A log's lines have their keys in one order. So where the n-th key of the line
// before stood like this, this one is likely to stand too.
type learnt struct {
	text [48]byte // `"key":`, with the white space around the colon
	size int      // 0 for none
	key  key
}

// maxKeys is how many keys of a line are learnt.
const maxKeys = 64

// key is a known key of an object.
type key uint8

const (
	keyUnknown key = iota
	keyTime
	keyHost
	keyClient
	keyMethod
	keyURI
	keyProtocol
	keyStatus
	keyBytes
	keyDuration
	keyUpstreamDuration
	keyReferer
	keyUserAgent
	keyAcceptLanguage
	keyAcceptEncoding
	keyTLS
	keyCookie
	keyAction
	keyDecision
	keyRequestID

	keyStart // Traefik's
	keyNanoseconds
	keyUpstreamNanoseconds
	keyTLSVersion
	keyTLSCipher
	keyCookieHeader
)

func weirKey(name []byte) key {
	switch string(name) {
	case "time":
		return keyTime
	case "client":
		return keyClient
	case "host":
		return keyHost
	case "method":
		return keyMethod
	case "uri":
		return keyURI
	case "protocol":
		return keyProtocol
	case "status":
		return keyStatus
	case "bytes":
		return keyBytes
	case "duration":
		return keyDuration
	case "upstream_duration":
		return keyUpstreamDuration
	case "referer":
		return keyReferer
	case "user_agent":
		return keyUserAgent
	case "accept_language":
		return keyAcceptLanguage
	case "accept_encoding":
		return keyAcceptEncoding
	case "tls":
		return keyTLS
	case "cookie":
		return keyCookie
	case "action":
		return keyAction
	case "decision":
		return keyDecision
	case "request_id":
		return keyRequestID
	}
	return keyUnknown
}

const (
	seenTime = 1 << iota
	seenClient
	seenStart
)

// Parse implements Parser.
func (p *flatJSON) Parse(line []byte, r *schemas.Request) Reason {
	if len(line) > MaxLine {
		return TooLong
	}
	*r = schemas.Request{}
	p.scratch, p.seen = p.scratch[:0], 0
	p.version, p.cipher = nil, nil
	i := skipSpace(line, 0)
	if i == len(line) {
		return Empty
	}
	if line[i] != '{' {
		return Syntax
	}
	if i = skipSpace(line, i+1); i < len(line) && line[i] == '}' {
		return Time
	}
	for n := 0; ; n++ {
		next, reason := p.member(line, i, n, r)
		if reason != None {
			return reason
		}
		if i = next; i < len(line) && line[i] != ',' {
			i = skipSpace(line, i)
		}
		if i >= len(line) {
			return Syntax
		}
		if line[i] == '}' {
			break
		}
		if line[i] != ',' {
			return Syntax
		}
		if i++; i < len(line) && line[i] != '"' {
			i = skipSpace(line, i)
		}
	}
	if skipSpace(line, i+1) != len(line) {
		return Syntax
	}
	if p.seen&seenStart != 0 {
		if r.Time = p.start + r.Duration/1000; r.Time > maxTime {
			return Time
		}
	} else if p.seen&seenTime == 0 {
		return Time
	}
	if len(p.version) > 0 {
		p.scratch, r.TLS = appendTLS(p.scratch, p.version, p.cipher)
		r.Fields |= schemas.FieldTLS
	}
	if p.seen&seenClient == 0 {
		return Client
	}
	return None
}

// member reads `"key":value` at i, the line's n-th, and gives the index behind it.
func (p *flatJSON) member(line []byte, i, n int, r *schemas.Request) (next int, reason Reason) {
	var id key
	if l := &p.keys[min(n, maxKeys-1)]; l.size > 0 && i+l.size < len(line) && string(line[i:i+l.size]) == string(l.text[:l.size]) {
		if id, i = l.key, i+l.size; line[i] <= ' ' {
			i = skipSpace(line, i)
		}
	} else if id, i = p.key(line, i, n); i < 0 {
		return i, Syntax
	}
	if i < len(line) && line[i] == '"' {
		end, escaped := stringEnd(line, i+1)
		if end < 0 {
			return i, Syntax
		}
		value := line[i+1 : end : end]
		if escaped {
			var ok bool
			if value, ok = p.unescape(value); !ok {
				return i, Syntax
			}
		}
		return end + 1, p.set(id, value, kindString, r)
	}
	end, k := valueEnd(line, i, 0)
	if k == kindBad {
		return i, Syntax
	}
	return end, p.set(id, line[i:end:end], k, r)
}

// key reads `"key":` at i, learns it as the n-th, and gives the index of the
// value, or -1.
func (p *flatJSON) key(line []byte, i, n int) (id key, value int) {
	start := i
	if i >= len(line) || line[i] != '"' {
		return 0, -1
	}
	end, escaped := stringEnd(line, i+1)
	if end < 0 {
		return 0, -1
	}
	name := line[i+1 : end]
	if escaped {
		var ok bool
		if name, ok = p.unescape(name); !ok {
			return 0, -1
		}
	}
	if i = skipSpace(line, end+1); i >= len(line) || line[i] != ':' {
		return 0, -1
	}
	i = skipSpace(line, i+1)
	id = p.lookup(name)
	if l := &p.keys[min(n, maxKeys-1)]; i-start <= len(l.text) {
		l.size, l.key = copy(l.text[:], line[start:i]), id
	}
	return id, i
}

func (p *flatJSON) unescape(text []byte) ([]byte, bool) {
	start := len(p.scratch)
	var ok bool
	p.scratch, ok = appendJSON(p.scratch, text)
	return p.scratch[start:len(p.scratch):len(p.scratch)], ok
}

// set gives a value to the field of its key. An unknown key is ignored.
func (p *flatJSON) set(id key, value []byte, k kind, r *schemas.Request) Reason {
	if k == kindNull {
		return None
	}
	text, number := k == kindString, k == kindString || k == kindNumber
	fits, ok := text, true
	switch id {
	case keyTime:
		if fits = number; fits {
			if r.Time, ok = parseTime(value); !ok {
				return Time
			}
			p.seen |= seenTime
		}
	case keyClient:
		if fits {
			if r.Client, ok = parseAddress(value); !ok {
				return Client
			}
			p.seen |= seenClient
		}
	case keyHost:
		p.scratch, r.Site = appendHost(p.scratch, value)
		r.Fields |= schemas.FieldSite
	case keyMethod:
		r.Method = value
	case keyURI:
		r.Path, r.Query = nil, nil
		splitTarget(value, r)
	case keyProtocol:
		r.Protocol = value
	case keyStatus:
		fits = number
		r.Status, ok = parseStatus(value)
	case keyBytes:
		fits = number
		r.Bytes, ok = parseCount(value)
	case keyDuration:
		fits = number
		r.Duration, ok = parseSeconds(value)
		r.Fields |= schemas.FieldDuration
	case keyUpstreamDuration:
		fits = number
		r.UpstreamDuration, ok = sumSeconds(value)
		r.Fields |= schemas.FieldUpstreamDuration
	case keyReferer:
		r.Referer = value
		r.Fields |= schemas.FieldReferer
	case keyUserAgent:
		r.UserAgent = value
		r.Fields |= schemas.FieldUserAgent
	case keyAcceptLanguage:
		r.AcceptLanguage = value
		r.Fields |= schemas.FieldAcceptLanguage
	case keyAcceptEncoding:
		r.AcceptEncoding = value
		r.Fields |= schemas.FieldAcceptEncoding
	case keyTLS:
		r.TLS = p.tls.normalise(value)
		r.Fields |= schemas.FieldTLS
	case keyCookie:
		fits = number
		r.Cookie = parseCookie(value)
		r.Fields |= schemas.FieldCookie
	case keyAction:
		r.Action = dashless(value)
		r.Fields |= schemas.FieldAction
	case keyDecision:
		r.Decision = dashless(value)
	case keyRequestID:
		r.RequestID = dashless(value)
		r.Fields |= schemas.FieldRequestID
	case keyUnknown:
		return None
	default:
		return p.setTraefik(id, value, k, r)
	}
	return verdict(fits, ok)
}

// verdict is the reason for a value of the wrong kind, or one that is no number.
func verdict(fits, ok bool) Reason {
	if !fits {
		return Syntax
	}
	if !ok {
		return Number
	}
	return None
}

// parseCookie reads "$weir_cookie": "1" where the request carries a cookie.
func parseCookie(value []byte) schemas.Cookie {
	if len(value) == 0 || len(value) == 1 && (value[0] == '0' || value[0] == '-') {
		return schemas.CookieNone
	}
	return schemas.CookieSome
}
