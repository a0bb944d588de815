package accesslog

import (
	"github.com/weir-project/weir/schemas"
)

// flatJSON reads one JSON object a line: weir's own nginx format, or Traefik's.
// Of a key that stands twice the last one counts. A field is carried where its key
// is there and not null, even where the value is empty.
type flatJSON struct {
	lookup  func(name []byte) key
	traefik bool
	keys    keys
	stops   stops
	scratch []byte
	extra   []byte
	tls     tlsCache
	hosts   hostCache
	seen    uint8 // of the required keys, and of what says which are carried
	start   int64 // when the request began, unix milliseconds, where seenStart
	version []byte
	cipher  []byte
}

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
	keyCacheStatus
	keyForwardedFor
	keyForwarded

	keyStart // Traefik's
	keyNanoseconds
	keyUpstreamNanoseconds
	keyTLSVersion
	keyTLSCipher
	keyCookieHeader
	keyRequestHeader
	keyScheme
	keyEntryPoint // from here on as in traefikExtras
	keyRouter
	keyService
	keyServer
	keyUpstreamStatus
	keyRetries
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
	case "cache_status":
		return keyCacheStatus
	case "forwarded_for":
		return keyForwardedFor
	case "forwarded":
		return keyForwarded
	}
	return keyUnknown
}

const (
	seenTime = 1 << iota
	seenClient
	seenStart
	seenHeaders // of Traefik's: header fields that it would not keep if it were told to keep a few
	seenPlain   // of Traefik's: the request was not encrypted
)

// Parse implements Parser.
func (p *flatJSON) Parse(line []byte, r *schemas.Request) Reason {
	if len(line) > MaxLine {
		return TooLong
	}
	*r = schemas.Request{}
	p.scratch, p.extra, p.seen = p.scratch[:0], p.extra[:0], 0
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
	p.stops.scan(line)
	for n := 0; ; n++ {
		id, value, text := p.keys.next(line, i, n, p.lookup, &p.stops, &p.scratch)
		if value < 0 {
			return Syntax
		}
		next, reason := p.value(line, value, id, text, r)
		if reason != None {
			return reason
		}
		var more bool
		if i, more = another(line, next); i < 0 {
			return Syntax
		}
		if !more {
			break
		}
	}
	if skipSpace(line, i+1) != len(line) {
		return Syntax
	}
	return p.finish(r)
}

// finish checks that all is there, and sets what depends on several keys.
func (p *flatJSON) finish(r *schemas.Request) Reason {
	if p.seen&seenStart != 0 {
		if r.Time = p.start + r.Duration/1000; r.Time > maxTime {
			return Time
		}
	} else if p.seen&seenTime == 0 {
		return Time
	}
	if p.seen&seenClient == 0 {
		return Client
	}
	if p.traefik {
		p.finishTraefik(r)
	}
	return None
}

// value reads the value at i of a key, which is a text behind its quote or anything
// else, and gives the index behind it.
func (p *flatJSON) value(line []byte, i int, id key, text bool, r *schemas.Request) (next int, reason Reason) {
	if text {
		end, escaped := p.stops.stringEnd(line, i)
		if end < 0 {
			return i, Syntax
		}
		value := line[i:end:end]
		if escaped {
			var ok bool
			if value, ok = unescapeJSON(&p.scratch, value); !ok {
				return i, Syntax
			}
		}
		if id == keyRequestHeader {
			p.seen |= seenHeaders
			p.requestHeader(line, i, value)
			return end + 1, None
		}
		return end + 1, p.set(id, value, kindString, r)
	}
	end, k := p.stops.valueEnd(line, i, 0)
	if k == kindBad {
		return i, Syntax
	}
	return end, p.set(id, line[i:end:end], k, r)
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
			if r.Client, ok = parseClient(value, r); !ok {
				return Client
			}
			p.seen |= seenClient
		}
	case keyHost:
		r.Site = p.hosts.site(value)
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
	case keyCacheStatus:
		r.CacheStatus = dashless(value)
		r.Fields |= schemas.FieldCacheStatus
	case keyForwardedFor:
		r.ForwardedFor = dashless(value)
	case keyForwarded:
		r.Forwarded = dashless(value)
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
