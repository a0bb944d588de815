package accesslog

import (
	"bytes"

	"github.com/weir-project/weir/schemas"
)

// traefikKey knows the keys of Traefik's JSON access log that a request has a field
// for. Headers are there where Traefik was told to keep them.
func traefikKey(name []byte) key {
	switch string(name) {
	case "time":
		return keyTime
	case "StartUTC":
		return keyStart
	case "ClientHost":
		return keyClient
	case "RequestHost":
		return keyHost
	case "RequestMethod":
		return keyMethod
	case "RequestPath":
		return keyURI
	case "RequestProtocol":
		return keyProtocol
	case "DownstreamStatus":
		return keyStatus
	case "DownstreamContentSize":
		return keyBytes
	case "Duration":
		return keyNanoseconds
	case "OriginDuration":
		return keyUpstreamNanoseconds
	case "request_Referer":
		return keyReferer
	case "request_User-Agent":
		return keyUserAgent
	case "request_Accept-Language":
		return keyAcceptLanguage
	case "request_Accept-Encoding":
		return keyAcceptEncoding
	case "request_Cookie":
		return keyCookieHeader
	case "TLSVersion":
		return keyTLSVersion
	case "TLSCipher":
		return keyTLSCipher
	}
	return keyUnknown
}

// setTraefik is set for the keys that only Traefik has. Its clock at the start of
// the request is finer than that of the line, so a request's time is the start and
// how long it took.
func (p *flatJSON) setTraefik(id key, value []byte, k kind, r *schemas.Request) Reason {
	number := k == kindString || k == kindNumber
	fits, ok := k == kindString, true
	switch id {
	case keyStart:
		if fits {
			if p.start, ok = parseTime(value); !ok {
				return Time
			}
			p.seen |= seenStart
		}
	case keyNanoseconds:
		fits = number
		r.Duration, ok = parseNanoseconds(value)
		r.Fields |= schemas.FieldDuration
	case keyUpstreamNanoseconds:
		fits = number
		r.UpstreamDuration, ok = parseNanoseconds(value)
		r.Fields |= schemas.FieldUpstreamDuration
	case keyTLSVersion:
		p.version = value
	case keyTLSCipher:
		p.cipher = value
	case keyCookieHeader:
		r.Cookie = schemas.CookieSome
		r.Fields |= schemas.FieldCookie
	}
	return verdict(fits, ok)
}

// parseNanoseconds gives microseconds.
func parseNanoseconds(text []byte) (int64, bool) {
	n, ok := parseCount(text)
	return n / 1000, ok
}

// traefikTail reads what Traefik's common log format has behind the agent:
//
//	count "router" "server" 12ms
//
// Traefik writes a quote as \" and leaves backslashes alone, so a quote of a
// client's never has a space before it, and cannot begin one of these.
func traefikTail(line []byte, i int, r *schemas.Request) bool {
	if i >= len(line) || line[i] != ' ' {
		return false
	}
	count, i := number(line, i+1)
	if i < 0 || count < 0 {
		return false
	}
	for range 2 {
		if i+2 >= len(line) || line[i] != ' ' || line[i+1] != '"' {
			return false
		}
		end := bytes.IndexByte(line[i+2:], '"')
		if end < 0 {
			return false
		}
		i += 2 + end + 1
	}
	if i >= len(line) || line[i] != ' ' {
		return false
	}
	milliseconds, end := number(line, i+1)
	if end < 0 || string(line[end:]) != "ms" {
		return false
	}
	r.Duration = milliseconds * 1000
	return true
}
