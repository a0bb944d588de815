package realip

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// Header is which of the two headers the proxies write. The other one is whatever a
// client sent, and is never read.
type Header uint8

// The headers.
const (
	ForwardedFor Header = iota // X-Forwarded-For
	Forwarded                  // RFC 7239
)

// client walks the header from right to left as long as the address that it has is
// trusted, starting with the peer. Where it meets something else than an address
// ("unknown", "_hidden", rubbish), it stays with the last one.
func (t *Trust) client(peer netip.Addr, value []byte, h Header) (client netip.Addr, hops int) {
	client = peer
	for len(value) > 0 {
		var hop []byte
		if h == Forwarded {
			hop, value = lastElement(value)
			hop = forParameter(hop)
		} else {
			comma := bytes.LastIndexByte(value, ',')
			hop, value = value[comma+1:], value[:max(comma, 0)]
		}
		hop = bytes.Trim(hop, " \t")
		if len(hop) == 0 && h == ForwardedFor {
			continue // an empty member of a list is no member (RFC 9110, section 5.6.1)
		}
		addr, ok := node(hop)
		if !ok {
			return client, hops
		}
		client = addr
		hops++
		if !t.look(addr).trusted {
			return client, hops
		}
	}
	return client, hops
}

// lastElement cuts the last element off a Forwarded header. It reads from the right,
// so that a quote which a client left open, further left, swallows nothing.
func lastElement(value []byte) (last, rest []byte) {
	quoted := false
	for i := len(value) - 1; i >= 0; i-- {
		switch value[i] {
		case '"':
			if !hidden(value, i) {
				quoted = !quoted
			}
		case ',':
			if !quoted {
				return value[i+1:], value[:i]
			}
		}
	}
	return value, nil
}

// hidden reports whether a backslash stands before i that is none itself.
func hidden(value []byte, i int) bool {
	n := 0
	for i > n && value[i-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// forParameter is the value of "for" in an element, quotes taken off, or nil. Where
// it stands twice, which RFC 7239 forbids, nothing can be told.
func forParameter(element []byte) (node []byte) {
	for rest := element; len(rest) > 0; {
		end, quoted := 0, false
		for ; end < len(rest) && (quoted || rest[end] != ';'); end++ {
			if rest[end] == '"' && !hidden(rest, end) {
				quoted = !quoted
			}
		}
		pair := bytes.Trim(rest[:end], " \t")
		rest = rest[min(end+1, len(rest)):]
		if len(pair) < 4 || pair[0]|0x20 != 'f' || pair[1]|0x20 != 'o' || pair[2]|0x20 != 'r' || pair[3] != '=' {
			continue
		}
		if node != nil {
			return nil
		}
		if node = pair[4:]; len(node) > 1 && node[0] == '"' && node[len(node)-1] == '"' {
			node = node[1 : len(node)-1]
		}
	}
	return node
}

// node reads an address, with or without a port: "192.0.2.7", "192.0.2.7:80",
// "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:80".
func node(text []byte) (addr netip.Addr, ok bool) {
	if len(text) > 0 && text[0] == '[' {
		end := bytes.IndexByte(text, ']')
		if end < 0 || end+1 < len(text) && !port(text[end+1:]) {
			return addr, false
		}
		text = text[1:end]
		if bytes.IndexByte(text, ':') < 0 {
			return addr, false
		}
	} else if colon := bytes.IndexByte(text, ':'); colon >= 0 && bytes.LastIndexByte(text, ':') == colon {
		if !port(text[colon:]) {
			return addr, false
		}
		text = text[:colon]
	}
	if zone := bytes.IndexByte(text, '%'); zone > 0 && zone < len(text)-1 {
		text = text[:zone]
	}
	if !couldBe(text) {
		return addr, false
	}
	// The string lives no longer than the call: ParseAddr keeps none but in the error,
	// which is dropped, and in a zone, which has been cut.
	addr, err := netip.ParseAddr(unsafe.String(&text[0], len(text)))
	return addr.Unmap(), err == nil
}

// port reads ":80"; RFC 7239 also has ":_hidden".
func port(text []byte) bool {
	if len(text) < 2 || len(text) > 40 || text[0] != ':' {
		return false
	}
	for _, c := range text[1:] {
		if c-'0' > 9 && text[1] != '_' {
			return false
		}
	}
	return true
}

// couldBe keeps from ParseAddr, whose errors allocate, what is clearly no address.
func couldBe(text []byte) bool {
	if len(text) < 2 || len(text) > 45 {
		return false
	}
	separators := 0
	for _, c := range text {
		switch {
		case c == '.' || c == ':':
			separators++
		case c-'0' > 9 && (c|0x20 < 'a' || c|0x20 > 'f'):
			return false
		}
	}
	return separators > 1
}
