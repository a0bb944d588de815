package accesslog

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// parseAddress reads an IPv4 or IPv6 address; brackets and a zone are dropped,
// and an IPv4-mapped address is the IPv4 one. Names, ports, lists and sockets
// are refused.
func parseAddress(text []byte) (netip.Addr, bool) {
	var quad [4]byte
	part, value, width := 0, 0, 0
	for _, c := range text {
		if d := c - '0'; d <= 9 && width < 3 && (width == 0 || value > 0) {
			value = value*10 + int(d)
			width++
			continue
		}
		if c != '.' || width == 0 || value > 255 || part == 3 {
			return parseIPv6(text)
		}
		quad[part] = byte(value)
		part, value, width = part+1, 0, 0
	}
	if part != 3 || width == 0 || value > 255 {
		return parseIPv6(text)
	}
	quad[3] = byte(value)
	return netip.AddrFrom4(quad), true
}

func parseIPv6(text []byte) (netip.Addr, bool) {
	if n := len(text); n > 2 && text[0] == '[' && text[n-1] == ']' {
		text = text[1 : n-1]
	}
	if zone := bytes.IndexByte(text, '%'); zone > 0 && zone < len(text)-1 {
		text = text[:zone]
	}
	// "::" to eight groups with a dotted quad; ParseAddr's errors allocate.
	if len(text) < 2 || len(text) > 45 || bytes.IndexByte(text, ':') < 0 {
		return netip.Addr{}, false
	}
	// The string lives no longer than the call: ParseAddr keeps none but in the
	// error, which is dropped, and in a zone, which has been cut.
	addr, err := netip.ParseAddr(unsafe.String(&text[0], len(text)))
	return addr.Unmap(), err == nil
}
