package accesslog

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/weir-project/weir/schemas"
)

// extraValue bounds one value of Request.Extra, in bytes; schemas.MaxTrait bounds all.
const extraValue = 160

// appendExtra adds "name=value" to what a request carries beyond its fields. A value
// that is nothing or "-" is left out, and so is a pair for which no room is left. What
// could look like the border of a pair becomes a space.
func appendExtra(dst []byte, name string, value []byte) []byte {
	if nothing(value) {
		return dst
	}
	value = value[:min(len(value), extraValue)]
	if len(dst)+1+len(name)+1+len(value) > schemas.MaxTrait {
		return dst
	}
	if len(dst) > 0 {
		dst = append(dst, '\t')
	}
	return appendValue(append(append(dst, name...), '='), value)
}

// appendPair is appendExtra for a name that has "\t" in front and "=" behind.
func appendPair(dst []byte, name string, value []byte) []byte {
	if nothing(value) {
		return dst
	}
	value = value[:min(len(value), extraValue)]
	if len(dst)+len(name)+len(value) > schemas.MaxTrait {
		return dst
	}
	if len(dst) == 0 {
		name = name[1:]
	}
	return appendValue(append(dst, name...), value)
}

// appendValue appends a value with spaces for its control characters.
func appendValue(dst, value []byte) []byte {
	start := len(dst)
	dst = append(dst, value...)
	if !printable(dst[start:]) {
		for i := start; i < len(dst); i++ {
			if dst[i] < ' ' {
				dst[i] = ' '
			}
		}
	}
	return dst
}

// printable reports whether there is no control character in text, eight bytes at a
// time (Hacker's Delight, 6-1).
func printable(text []byte) bool {
	var found uint64
	for len(text) >= 8 {
		word := binary.LittleEndian.Uint64(text)
		found |= (word - lows*0x20) &^ word
		text = text[8:]
	}
	for _, c := range text {
		if c < 0x20 {
			return false
		}
	}
	return found&highs == 0
}

// nameInExtra is how a request's header field is called in Extra: as nginx's variable,
// whatever server wrote the log, so that one query reads them all.
func nameInExtra(header string) string {
	return "http_" + strings.ReplaceAll(strings.ToLower(header), "-", "_")
}

// answerInExtra is the same for a header field of an answer.
func answerInExtra(header string) string { return "sent_" + nameInExtra(header) }

// secretHeader reports whether what a header field of a request or an answer holds is
// never kept. name is in lower case, with dashes.
func secretHeader(name string) bool {
	switch name {
	case "cookie", "cookie2", "set-cookie", "set-cookie2", "authorization", "proxy-authorization",
		"x-api-key", "x-auth-token", "x-csrf-token", "x-xsrf-token", "authentication-info", "private-token", "sec-websocket-key":
		return true
	}
	return false
}

// cacheHeader reports whether a header field of an answer tells what a cache did
// (RFC 9211, and what came before it).
func cacheHeader(name string) bool {
	switch name {
	case "cache-status", "x-cache", "x-cache-status", "cf-cache-status", "x-proxy-cache", "x-varnish-cache":
		return true
	}
	return false
}

// headerField is what a header field of a request is for in a custom format.
// name is in lower case, with dashes.
func headerField(name string) field {
	switch name {
	case "host":
		return fieldSite
	case "referer":
		return fieldReferer
	case "user-agent":
		return fieldUserAgent
	case "accept-language":
		return fieldAcceptLanguage
	case "accept-encoding":
		return fieldAcceptEncoding
	case "cookie":
		return fieldCookieHeader
	case "x-request-id":
		return fieldRequestID
	case "x-forwarded-for":
		return fieldForwardedFor
	case "forwarded":
		return fieldForwarded
	}
	if secretHeader(name) {
		return fieldNone
	}
	return fieldExtra
}

// answerField is what a header field of an answer is for in a custom format.
func answerField(name string) field {
	if cacheHeader(name) {
		return fieldCacheStatus
	}
	if secretHeader(name) {
		return fieldNone
	}
	return fieldExtra
}

// maxHeaderName bounds the name of a header field that is kept in Extra, in bytes.
const maxHeaderName = 64

// headerName is a name as the log has it in nginx's form, behind prefix: lower case,
// underscores for dashes. ok is false for what is no name, is too long, or is never
// kept.
func headerName(dst []byte, prefix string, name []byte) (_ []byte, ok bool) {
	if len(name) == 0 || len(name) > maxHeaderName {
		return dst, false
	}
	var lower [maxHeaderName]byte
	for i, c := range name {
		if !tokenByte[c] {
			return dst, false
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	if secretHeader(string(lower[:len(name)])) {
		return dst, false
	}
	dst = append(dst, prefix...)
	for _, c := range lower[:len(name)] {
		if c == '-' {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst, true
}

// appendHeader is appendExtra for a header field under its name in the log.
func appendHeader(dst []byte, prefix string, name, value []byte) []byte {
	var room [maxHeaderName + 16]byte
	full, ok := headerName(room[:0], prefix, name)
	if !ok {
		return dst
	}
	return appendExtra(dst, unsafe.String(&full[0], len(full)), value)
}
