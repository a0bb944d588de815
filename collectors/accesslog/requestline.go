package accesslog

import (
	"bytes"

	"github.com/weir-project/weir/schemas"
)

// splitRequest sets method, path, query and protocol from a request line (RFC
// 9112, section 3), escapes undone. Clients send anything: a request without a
// protocol is HTTP/0.9; a line that is no request line (the bytes of a TLS
// handshake, say) is the path as it stands, without method and protocol; "" and
// "-" are a connection on which nothing was asked.
func splitRequest(line []byte, r *schemas.Request) {
	if len(line) == 0 || len(line) == 1 && line[0] == '-' {
		return
	}
	space := 0
	for space < len(line) && tokenByte[line[space]] {
		space++
	}
	if space == 0 || space == len(line) || line[space] != ' ' {
		r.Path = line
		return
	}
	target := line[space+1:]
	if last := protocolStart(target); last > 0 {
		r.Protocol, target = target[last+1:], target[:last]
	} else if last == 0 || !beginsTarget(target) {
		r.Path = line
		return
	}
	r.Method = line[:space]
	splitTarget(target, r)
}

// protocolStart is the index of the space before "HTTP/1.1" or the like at the
// end of text, or -1.
func protocolStart(text []byte) int {
	space := len(text) - len(" HTTP/1.1")
	if space < 0 || text[space] != ' ' {
		if space = bytes.LastIndexByte(text, ' '); space < 0 {
			return -1
		}
	}
	protocol := text[space+1:]
	if len(protocol) < 6 || len(protocol) > 8 || string(protocol[:5]) != "HTTP/" {
		return -1
	}
	for i, c := range protocol[5:] {
		if (i == 1) != (c == '.') || i != 1 && (c < '0' || c > '9') {
			return -1
		}
	}
	if len(protocol) == 7 { // "HTTP/1."
		return -1
	}
	return space
}

func beginsTarget(target []byte) bool {
	return len(target) > 0 && target[0] == '/' || afterScheme(target) > 0
}

// afterScheme is the length of "http://" or "https://" at the front, else 0.
func afterScheme(target []byte) int {
	if len(target) < 7 || target[0]|0x20 != 'h' {
		return 0
	}
	for _, scheme := range [2]string{"http://", "https://"} {
		if len(target) >= len(scheme) && bytes.EqualFold(target[:len(scheme)], []byte(scheme)) {
			return len(scheme)
		}
	}
	return 0
}

// splitTarget sets path and query from a request target. Of an absolute URI the
// scheme and the authority are dropped, as nginx's $request_uri does; CONNECT's
// authority and OPTIONS' asterisk are the path as they stand.
func splitTarget(target []byte, r *schemas.Request) {
	if len(target) > 0 && target[0] != '/' {
		if n := afterScheme(target); n > 0 {
			target = target[n:]
			slash := bytes.IndexAny(target, "/?")
			if slash < 0 {
				r.Path = rootPath
				return
			}
			if target = target[slash:]; target[0] == '?' {
				r.Path, r.Query = rootPath, target[1:]
				return
			}
		}
	}
	if mark := bytes.IndexByte(target, '?'); mark >= 0 {
		r.Query = target[mark+1:]
		target = target[:mark:mark]
	}
	r.Path = target
}

// rootPath is never written to: slices of a request are for reading.
var rootPath = []byte("/")

// appendHost gives a host in lower case, without its port and without the dot at
// its end. It aliases host where that changes nothing but its length; otherwise
// it is appended to scratch.
func appendHost(scratch, host []byte) (_, site []byte) {
	if len(host) == 1 && host[0] == '-' {
		return scratch, nil
	}
	if colon := bytes.LastIndexByte(host, ':'); colon >= 0 && digits(host[colon+1:]) &&
		(bytes.IndexByte(host, ':') == colon || colon > 0 && host[colon-1] == ']') {
		host = host[:colon]
	}
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	for i := range host {
		if c := host[i]; c >= 'A' && c <= 'Z' {
			return lowerHost(scratch, host)
		}
	}
	return scratch, host
}

func lowerHost(scratch, host []byte) (_, site []byte) {
	start := len(scratch)
	for _, c := range host {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		scratch = append(scratch, c)
	}
	return scratch, scratch[start:len(scratch):len(scratch)]
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// tokenByte are the bytes of a method (RFC 9110, section 5.6.2).
var tokenByte = [256]bool{
	'!': true, '#': true, '$': true, '%': true, '&': true, '\'': true, '*': true, '+': true,
	'-': true, '.': true, '^': true, '_': true, '`': true, '|': true, '~': true,
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true,
	'J': true, 'K': true, 'L': true, 'M': true, 'N': true, 'O': true, 'P': true, 'Q': true, 'R': true,
	'S': true, 'T': true, 'U': true, 'V': true, 'W': true, 'X': true, 'Y': true, 'Z': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true,
	'j': true, 'k': true, 'l': true, 'm': true, 'n': true, 'o': true, 'p': true, 'q': true, 'r': true,
	's': true, 't': true, 'u': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true,
}
