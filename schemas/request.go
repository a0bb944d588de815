// Package schemas is what the parts of weir say to each other: requests and
// batches of them, panes, incidents, decisions, the traits that signatures are
// made of, and the NATS subjects on which all of it travels. It imports nothing
// of the project and holds no behaviour beyond encoding and naming.
package schemas

import "net/netip"

// Bounds on what one request may carry. A collector cuts longer values; a
// reader of batches refuses them. They keep a hostile request from costing more
// memory than an ordinary one.
const (
	MaxSite   = 255  // bytes of a host name (RFC 1035, section 2.3.4)
	MaxMethod = 32   // bytes
	MaxText   = 2048 // bytes of a path, a query, a referer, an agent
	MaxTrait  = 512  // bytes of a language, an encoding, TLS parameters; of all extra fields together
	MaxWeight = 1024 // requests that one stands for
)

// Request is one HTTP request as an edge logged it.
//
// The byte slices alias the memory that the request was read from (a log line, a
// batch) and are valid until that is reused. Time is when the edge logged it,
// which for nginx is when it had answered.
type Request struct {
	Time             int64 // unix milliseconds
	Duration         int64 // microseconds from the first byte read to the last sent; 0 if unknown
	UpstreamDuration int64 // microseconds; 0 if unknown
	Bytes            int64 // of the answer's body
	Client           netip.Addr
	Status           uint16 // 0 if unknown
	Cookie           Cookie
	Fields           Fields // what the log format carries
	// Weight is how many requests it stands for where the collector sampled whole clients,
	// a power of two: of so many clients one was kept, with all of its requests. 0 is 1.
	Weight uint32

	Site           []byte // host, lower case, no port
	Method         []byte
	Path           []byte // as sent, not decoded, without the query
	Query          []byte // as sent, without '?'
	Protocol       []byte // "HTTP/1.1"
	Referer        []byte
	UserAgent      []byte
	AcceptLanguage []byte
	AcceptEncoding []byte
	TLS            []byte // protocol, cipher and curves, normalised (see NormaliseTLS)
	Action         []byte // what the edge did: "allow", "throttle", "challenge", "block"; empty if not logged
	Decision       []byte // the decision that it did it for
	RequestID      []byte
	CacheStatus    []byte // what the edge's cache did, as logged: "HIT", "MISS", ...
	Extra          []byte // other named fields of the format, "name=value" each, tab-separated

	// What proxies in front of the edge say of whom they ask for, as logged: from them
	// a collector tells Client (collectors/realip). In no batch.
	ForwardedFor []byte // X-Forwarded-For, several header fields joined by commas
	Forwarded    []byte // RFC 7239
}

// Cookie says whether a request carried any cookie; never which.
type Cookie uint8

// The values of Cookie, as they stand in a batch.
const (
	CookieUnknown Cookie = iota
	CookieNone
	CookieSome
)

// Fields is the set of Request's optional fields that a log format carries.
// A field that is not carried is unknown: it is neither absent nor rare, and no
// trait is derived from it.
type Fields uint32

// The optional fields. Time, client, method, path, protocol and status are in
// every format.
const (
	FieldSite Fields = 1 << iota
	FieldReferer
	FieldUserAgent
	FieldAcceptLanguage
	FieldAcceptEncoding
	FieldTLS
	FieldCookie
	FieldDuration
	FieldUpstreamDuration
	FieldAction
	FieldRequestID
	FieldCacheStatus
	FieldExtra
)

// Stands is how many requests it stands for, 1 at least.
func (r *Request) Stands() uint32 { return max(r.Weight, 1) }

// Has reports whether all of want are carried.
func (f Fields) Has(want Fields) bool { return f&want == want }

// ClientOf is the client that an address belongs to: the address itself for
// IPv4 (also IPv4-mapped), the first address of its /64 for IPv6, no zone.
func ClientOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is4() || !addr.IsValid() {
		return addr
	}
	prefix, _ := addr.WithZone("").Prefix(64) // 64 is in range for every IPv6 address
	return prefix.Addr()
}
