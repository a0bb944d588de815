package accesslog

import (
	"bytes"

	"github.com/weir-project/weir/schemas"
)

// weirJSON reads weir's own nginx format: one JSON object a line. Of a key that
// stands twice the last one counts. A field is carried where its key is there
// and not null, even where the value is empty.
type weirJSON struct {
	scratch []byte
	tls     tlsCache
	seen    uint8 // of the required keys
}

const (
	seenTime = 1 << iota
	seenClient
)

// Parse implements Parser.
func (p *weirJSON) Parse(line []byte, r *schemas.Request) Reason {
	if len(line) > MaxLine {
		return TooLong
	}
	*r = schemas.Request{}
	p.scratch, p.seen = p.scratch[:0], 0
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
	for {
		next, reason := p.member(line, i, r)
		if reason != None {
			return reason
		}
		if i = skipSpace(line, next); i >= len(line) {
			return Syntax
		}
		if line[i] == '}' {
			break
		}
		if line[i] != ',' {
			return Syntax
		}
		i = skipSpace(line, i+1)
	}
	if skipSpace(line, i+1) != len(line) {
		return Syntax
	}
	if p.seen&seenTime == 0 {
		return Time
	}
	if p.seen&seenClient == 0 {
		return Client
	}
	return None
}

// member reads `"key":value` at i and gives the index behind it.
func (p *weirJSON) member(line []byte, i int, r *schemas.Request) (next int, reason Reason) {
	if i >= len(line) || line[i] != '"' {
		return i, Syntax
	}
	end, escaped := stringEnd(line, i+1)
	if end < 0 {
		return i, Syntax
	}
	key := line[i+1 : end]
	if escaped {
		var ok bool
		if key, ok = p.unescape(key); !ok {
			return i, Syntax
		}
	}
	if i = skipSpace(line, end+1); i >= len(line) || line[i] != ':' {
		return i, Syntax
	}
	i = skipSpace(line, i+1)
	if i < len(line) && line[i] == '"' {
		if end, escaped = stringEnd(line, i+1); end < 0 {
			return i, Syntax
		}
		value := line[i+1 : end]
		if escaped {
			var ok bool
			if value, ok = p.unescape(value); !ok {
				return i, Syntax
			}
		}
		return end + 1, p.set(key, value, kindString, r)
	}
	end, k := valueEnd(line, i, 0)
	if k == kindBad {
		return i, Syntax
	}
	return end, p.set(key, line[i:end], k, r)
}

func (p *weirJSON) unescape(text []byte) ([]byte, bool) {
	start := len(p.scratch)
	var ok bool
	p.scratch, ok = appendJSON(p.scratch, text)
	return p.scratch[start:len(p.scratch):len(p.scratch)], ok
}

// set gives a value to the field of its key. An unknown key is ignored.
func (p *weirJSON) set(key, value []byte, k kind, r *schemas.Request) Reason {
	if k == kindNull {
		return None
	}
	text, number := k == kindString, k == kindString || k == kindNumber
	fits, ok := text, true
	switch string(key) {
	case "time":
		if fits = number; fits {
			if r.Time, ok = parseTime(value); !ok {
				return Time
			}
			p.seen |= seenTime
		}
	case "client":
		if fits {
			if r.Client, ok = parseAddress(value); !ok {
				return Client
			}
			p.seen |= seenClient
		}
	case "host":
		p.scratch, r.Site = appendHost(p.scratch, value)
		r.Fields |= schemas.FieldSite
	case "method":
		r.Method = value
	case "uri":
		r.Path, r.Query = nil, nil
		splitTarget(value, r)
	case "protocol":
		r.Protocol = value
	case "status":
		fits = number
		r.Status, ok = parseStatus(value)
	case "bytes":
		fits = number
		r.Bytes, ok = parseCount(value)
	case "duration":
		fits = number
		r.Duration, ok = parseSeconds(value)
		r.Fields |= schemas.FieldDuration
	case "upstream_duration":
		fits = number
		r.UpstreamDuration, ok = sumSeconds(value)
		r.Fields |= schemas.FieldUpstreamDuration
	case "referer":
		r.Referer = value
		r.Fields |= schemas.FieldReferer
	case "user_agent":
		r.UserAgent = value
		r.Fields |= schemas.FieldUserAgent
	case "accept_language":
		r.AcceptLanguage = value
		r.Fields |= schemas.FieldAcceptLanguage
	case "accept_encoding":
		r.AcceptEncoding = value
		r.Fields |= schemas.FieldAcceptEncoding
	case "tls":
		r.TLS = p.tls.normalise(value)
		r.Fields |= schemas.FieldTLS
	case "cookie":
		fits = number
		r.Cookie = parseCookie(value)
		r.Fields |= schemas.FieldCookie
	case "action":
		r.Action = dashless(value)
		r.Fields |= schemas.FieldAction
	case "decision":
		r.Decision = dashless(value)
	case "request_id":
		r.RequestID = dashless(value)
		r.Fields |= schemas.FieldRequestID
	default:
		return None
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

// tlsCache remembers normalised forms of the few TLS parameters that clients
// have; a client that invents ever new ones costs it time, not memory.
type tlsCache struct {
	raw, normal [64][]byte
	long        []byte
}

func (c *tlsCache) normalise(raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) > schemas.MaxTrait {
		c.long = schemas.NormaliseTLS(c.long[:0], raw)
		return c.long
	}
	n := len(raw)
	slot := (n*31 + int(raw[n-1]) + int(raw[n/2])*7 + int(raw[n/3])*13) % len(c.raw)
	if !bytes.Equal(c.raw[slot], raw) {
		c.raw[slot] = append(c.raw[slot][:0], raw...)
		c.normal[slot] = schemas.NormaliseTLS(c.normal[slot][:0], raw)
	}
	return c.normal[slot]
}
