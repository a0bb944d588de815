package accesslog

import (
	"bytes"
	"net/netip"
	"unsafe"

	"github.com/weir-project/weir/schemas"
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
		if bytes.ContainsAny(text[zone:], ", ") { // a list, whose last one a zone must not hide
			return netip.Addr{}, false
		}
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

// parseClient reads the address of a client, or several with commas between, as
// $proxy_add_x_forwarded_for and X-Forwarded-For have them. Of several the last one is
// who connected, or what the proxy that connected said; those before it are only what
// that one says, so they are kept beside it.
func parseClient(text []byte, r *schemas.Request) (netip.Addr, bool) {
	addr, ok := parseAddress(text)
	if ok {
		return addr, true
	}
	comma := bytes.LastIndexByte(text, ',')
	if comma < 0 {
		return addr, false
	}
	if addr, ok = parseAddress(bytes.TrimLeft(text[comma+1:], " ")); ok && len(r.ForwardedFor) == 0 {
		r.ForwardedFor = text[:comma:comma]
	}
	return addr, ok
}
