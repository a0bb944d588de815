package schemas

import "bytes"

// Trait is a property of a request that an edge can see before answering it.
// Every trait can be computed by nginx's maps from its own variables, so that
// what the processor decides on is what the edge enforces.
type Trait uint8

// The traits. The order is part of no format: names are.
const (
	TraitUserAgent      Trait = iota // the agent as sent
	TraitAcceptLanguage              // as sent
	TraitAcceptEncoding              // as sent
	TraitTLS                         // see NormaliseTLS
	TraitProtocol                    // "HTTP/1.1"
	TraitMethod                      // "GET"
	TraitReferer                     // see RefererKind: "none", "same", "other"
	TraitCookie                      // "none", "some"
	TraitPathShape                   // see PathShape
	TraitQueryKeys                   // see QueryKeys
	TraitAgentFamily                 // see AgentFamily
	TraitPathKnown                   // "yes", "no": see KnownPath
	TraitAgentKnown                  // likewise: see KnownAgent
	TraitQueryKnown                  // likewise, of every key: see KnownQuery
	NumTraits                 = int(TraitQueryKnown) + 1

	// Of scores alone, see ScoreNetwork: what many have who are nobody's says little by itself, and a signature of it
	// would be a prefix.
	TraitWideNetwork   Trait = iota - 1 // the client's /8 of IPv4, /16 of IPv6
	TraitNarrowNetwork                  // its /12, /24
	NumScored          = int(TraitNarrowNetwork) + 1
)

var traitNames = [NumScored]string{
	"user_agent", "accept_language", "accept_encoding", "tls", "protocol",
	"method", "referer", "cookie", "path_shape", "query_keys", "agent_family", "path_known",
	"agent_known", "query_known", "wide_network", "narrow_network",
}

// String is the trait's name, as in SQL, JSON and signatures.
func (t Trait) String() string {
	if int(t) < NumScored {
		return traitNames[t]
	}
	return "unknown"
}

// ParseTrait is the inverse of String.
func ParseTrait(name string) (Trait, bool) {
	for i, n := range traitNames[:NumTraits] {
		if n == name {
			return Trait(i), true
		}
	}
	return 0, false
}

// Value appends the trait's value to dst. known is false where the request's log
// format does not carry it; then dst is returned as it was. What a site's list says
// (see ListedOf) is never known here.
func (t Trait) Value(dst []byte, r *Request) (value []byte, known bool) {
	switch t {
	case TraitUserAgent:
		return append(dst, r.UserAgent...), r.Fields.Has(FieldUserAgent)
	case TraitAcceptLanguage:
		return append(dst, r.AcceptLanguage...), r.Fields.Has(FieldAcceptLanguage)
	case TraitAcceptEncoding:
		return append(dst, r.AcceptEncoding...), r.Fields.Has(FieldAcceptEncoding)
	case TraitTLS:
		return append(dst, r.TLS...), r.Fields.Has(FieldTLS)
	case TraitProtocol:
		return append(dst, r.Protocol...), true
	case TraitMethod:
		return append(dst, r.Method...), true
	case TraitReferer:
		return append(dst, RefererKind(r.Referer, r.Site)...), r.Fields.Has(FieldReferer)
	case TraitCookie:
		if r.Cookie == CookieSome {
			return append(dst, "some"...), true
		}
		return append(dst, "none"...), r.Cookie == CookieNone
	case TraitPathShape:
		return PathShape(dst, r.Path), true
	case TraitQueryKeys:
		return QueryKeys(dst, r.Query), true
	case TraitAgentFamily:
		return append(dst, AgentFamily(r.UserAgent)...), r.Fields.Has(FieldUserAgent)
	case TraitWideNetwork, TraitNarrowNetwork:
		if network, ok := t.NetworkOf(r.Client); ok {
			return network.AppendTo(dst), true
		}
	}
	return dst, false
}

// RefererKind classifies a referer against the site that was asked: "none" where
// it is empty, "same" where it names the site itself by http or https, else
// "other". nginx: map "$host $http_referer" { "~^([^ ]+) https?://\1(?:[:/?#]|$)" same; ... }.
func RefererKind(referer, site []byte) string {
	if len(referer) == 0 || len(referer) == 1 && referer[0] == '-' {
		return "none"
	}
	rest, ok := bytes.CutPrefix(referer, []byte("https://"))
	if !ok {
		rest, ok = bytes.CutPrefix(referer, []byte("http://"))
	}
	if !ok || len(site) == 0 || !bytes.HasPrefix(rest, site) {
		return "other"
	}
	rest = rest[len(site):]
	if len(rest) == 0 || rest[0] == '/' || rest[0] == ':' || rest[0] == '?' || rest[0] == '#' {
		return "same"
	}
	return "other"
}

// shapeDepth is how many segments of a path PathShape describes.
const shapeDepth = 4

// PathShape appends the shape of a path: for each of the first four segments its
// class and length class, then "/+" where there are more, then the extension of
// the last segment described. The classes are d (digits only), a (letters only),
// m (letters and digits), s (also '-' or '_', at least one) and x (anything
// else); the lengths 1 (1 to 4 bytes), 2 (5 to 12) and 3 (more). An extension is
// 1 to 5 letters or digits after the last dot of the path's last segment. So
// "/" is "/", "/blog/2024/hello-world" is "/a1/d1/s2", "/x9k2.php" is "/m1.php" with
// the length that of the part before the dot.
func PathShape(dst, path []byte) []byte {
	if len(path) == 0 || path[0] != '/' {
		return append(dst, '?')
	}
	path = path[1:]
	for depth := 0; ; depth++ {
		if len(path) == 0 {
			return append(dst, '/')
		}
		if depth == shapeDepth {
			return append(dst, "/+"...)
		}
		segment, rest, more := bytes.Cut(path, []byte{'/'})
		if !more {
			stem, extension := cutExtension(segment)
			dst = appendSegment(dst, stem)
			return append(dst, extension...)
		}
		dst = appendSegment(dst, segment)
		path = rest
	}
}

// cutExtension splits "name.ext" before the last dot where ext is 1 to 5 letters
// or digits and name is not empty; the extension keeps its dot.
func cutExtension(segment []byte) (stem, extension []byte) {
	dot := bytes.LastIndexByte(segment, '.')
	if dot <= 0 || len(segment)-dot-1 < 1 || len(segment)-dot-1 > 5 {
		return segment, nil
	}
	for _, c := range segment[dot+1:] {
		if !isLetter(c) && !isDigit(c) {
			return segment, nil
		}
	}
	return segment[:dot], segment[dot:]
}

func appendSegment(dst, segment []byte) []byte {
	if len(segment) == 0 {
		return append(dst, '/')
	}
	var letters, digits, joins, others bool
	for _, c := range segment {
		switch {
		case isLetter(c):
			letters = true
		case isDigit(c):
			digits = true
		case c == '-' || c == '_':
			joins = true
		default:
			others = true
		}
	}
	class := byte('x')
	switch {
	case others:
	case joins:
		class = 's'
	case letters && digits:
		class = 'm'
	case letters:
		class = 'a'
	case digits:
		class = 'd'
	}
	length := byte('3')
	if len(segment) <= 4 {
		length = '1'
	} else if len(segment) <= 12 {
		length = '2'
	}
	return append(dst, '/', class, length)
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// MaxQueryKeys bounds the value of TraitQueryKeys, and how many keys of a query are known or unknown.
const MaxQueryKeys = 6

// QueryKeys appends the keys of a query in the order sent, joined by '&', as
// they stand (not decoded), at most six and then "&+": "q=1&page=2" is "q&page".
// A key longer than 64 bytes, or with a byte outside letters, digits and "._-[]%",
// stands as '*'. An empty query is "".
func QueryKeys(dst, query []byte) []byte {
	for n := 0; len(query) > 0; n++ {
		if n > 0 {
			dst = append(dst, '&')
		}
		if n == MaxQueryKeys {
			return append(dst, '+')
		}
		pair, rest, more := bytes.Cut(query, []byte{'&'})
		key, _, _ := bytes.Cut(pair, []byte{'='})
		if plainKey(key) {
			dst = append(dst, key...)
		} else {
			dst = append(dst, '*')
		}
		if !more {
			break
		}
		if len(rest) == 0 {
			return append(dst, '&')
		}
		query = rest
	}
	return dst
}

func plainKey(key []byte) bool {
	if len(key) > 64 {
		return false
	}
	for _, c := range key {
		if !isLetter(c) && !isDigit(c) && bytes.IndexByte([]byte("._-[]%"), c) < 0 {
			return false
		}
	}
	return true
}

// MaxNamed bounds a value that weir names in a decision of its own, in bytes.
const MaxNamed = 512

// Nameable reports whether weir may name a value of the trait in a decision: one that every edge can carry, and tell
// from all others. A longer one is none, nor is one with control characters, nor a TLS text as long as a log's
// is cut at, whose last curve may be half of one.
func (t Trait) Nameable(value []byte) bool {
	if len(value) > MaxNamed || t == TraitTLS && len(value) >= MaxTrait {
		return false
	}
	for _, c := range value {
		if c < ' ' || c == 0x7F {
			return false
		}
	}
	return true
}

// NormaliseTLS puts "$ssl_protocol $ssl_cipher $ssl_curves" into the one form
// that the processor and nginx's maps compare: GREASE values (RFC 8701) dropped
// from the curves, the curves left out where the session was resumed (nginx
// logs them empty), and "" where the connection was not TLS. dst may be raw[:0].
func NormaliseTLS(dst, raw []byte) []byte {
	start := len(dst)
	for i, field := range bytes.Fields(raw) {
		if i == 2 {
			dst = appendCurves(dst, field)
			break
		}
		if bytes.Equal(field, []byte("-")) {
			break
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, field...)
	}
	return dst
}

func appendCurves(dst, curves []byte) []byte {
	first := true
	for len(curves) > 0 {
		var curve []byte
		curve, curves, _ = bytes.Cut(curves, []byte{':'})
		if len(curve) == 0 || isGrease(curve) {
			continue
		}
		if first {
			dst = append(dst, ' ')
		} else {
			dst = append(dst, ':')
		}
		first = false
		dst = append(dst, curve...)
	}
	return dst
}

// isGrease recognises 0x?A?A with equal bytes (RFC 8701), as OpenSSL prints
// groups that it has no name for.
func isGrease(curve []byte) bool {
	return len(curve) == 6 && curve[0] == '0' && curve[1]|0x20 == 'x' &&
		curve[3]|0x20 == 'a' && curve[5]|0x20 == 'a' && curve[2]|0x20 == curve[4]|0x20
}
