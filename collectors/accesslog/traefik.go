package accesslog

import (
	"bytes"
	"strings"

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
	case "request_X-Forwarded-For":
		return keyForwardedFor
	case "request_Forwarded":
		return keyForwarded
	case "request_X-Request-Id":
		return keyRequestID
	case "RequestScheme":
		return keyScheme
	case "entryPointName":
		return keyEntryPoint
	case "RouterName":
		return keyRouter
	case "ServiceName":
		return keyService
	case "ServiceAddr":
		return keyServer
	case "OriginStatus":
		return keyUpstreamStatus
	case "RetryAttempts":
		return keyRetries
	case "TLSVersion":
		return keyTLSVersion
	case "TLSCipher":
		return keyTLSCipher
	}
	switch {
	case bytes.HasPrefix(name, []byte("request_")):
		return keyRequestHeader
	case bytes.HasPrefix(name, []byte("downstream_")) && cacheHeader(strings.ToLower(string(name[len("downstream_"):]))):
		return keyCacheStatus
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
	case keyUpstreamNanoseconds:
		fits = number
		r.UpstreamDuration, ok = parseNanoseconds(value)
	case keyTLSVersion:
		p.version = value
	case keyTLSCipher:
		p.cipher = value
	case keyCookieHeader:
		r.Cookie = schemas.CookieSome
		r.Fields |= schemas.FieldCookie
	case keyRequestHeader:
		return None // no text: no header field
	case keyScheme:
		if string(value) == "http" {
			p.seen |= seenPlain
		}
	case keyUpstreamStatus, keyRetries:
		if fits = number; string(value) != "0" {
			p.extra = appendExtra(p.extra, traefikExtras[id-keyEntryPoint], value)
		}
	case keyEntryPoint, keyRouter, keyService, keyServer:
		p.extra = appendExtra(p.extra, traefikExtras[id-keyEntryPoint], value)
	}
	return verdict(fits, ok)
}

// traefikExtras are the names in Extra of the keys from keyEntryPoint on.
var traefikExtras = [...]string{"entry_point", "router", "service", "upstream_addr", "upstream_status", "retries"}

// requestHeader takes a header field that has no place of its own. Its key stands
// before the value, in a form without escapes where it is a name at all.
func (p *flatJSON) requestHeader(line []byte, value int, text []byte) {
	before := bytes.TrimRight(line[:value-1], " \t\r\n:")
	if len(before) == 0 {
		return
	}
	before = before[:len(before)-1]
	name := before[bytes.LastIndexByte(before, '"')+1:]
	if name, ok := bytes.CutPrefix(name, []byte("request_")); ok {
		p.extra = appendHeader(p.extra, "http_", name, text)
	}
}

// finishTraefik sets what a line of Traefik's carries. Traefik leaves out the key of a
// header field that was not sent. Where it is told to keep all of them, others stand
// in the line than those that have a place; where it keeps a few by name, these are
// mostly the agent and the referer.
func (p *flatJSON) finishTraefik(r *schemas.Request) {
	const few = schemas.FieldReferer | schemas.FieldUserAgent
	if p.seen&seenHeaders != 0 {
		r.Fields |= few | schemas.FieldAcceptLanguage | schemas.FieldAcceptEncoding | schemas.FieldCookie | schemas.FieldRequestID
		if r.Cookie == schemas.CookieUnknown {
			r.Cookie = schemas.CookieNone
		}
	} else if r.Fields&few != 0 {
		r.Fields |= few
	}
	if len(p.version) > 0 {
		p.scratch, r.TLS = appendTLS(p.scratch, p.version, p.cipher)
	}
	if len(p.version) > 0 || p.seen&seenPlain != 0 {
		r.Fields |= schemas.FieldTLS
	}
	r.Fields |= schemas.FieldDuration | schemas.FieldUpstreamDuration | schemas.FieldExtra
	r.Extra = p.extra
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
