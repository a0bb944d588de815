package accesslog

import "github.com/weir-project/weir/schemas"

// header is a header field that a request has a place for.
type header uint8

const (
	headerOther header = iota
	headerReferer
	headerUserAgent
	headerAcceptLanguage
	headerAcceptEncoding
	headerCookie
)

// headerOf knows header fields in Go's canonical form.
func headerOf(name []byte) header {
	switch string(name) {
	case "Referer":
		return headerReferer
	case "User-Agent":
		return headerUserAgent
	case "Accept-Language":
		return headerAcceptLanguage
	case "Accept-Encoding":
		return headerAcceptEncoding
	case "Cookie":
		return headerCookie
	}
	return headerOther
}

// caddySet gives the value of a key to what it belongs to.
type caddySet = func(p *caddyJSON, value []byte, k kind, r *schemas.Request) Reason

func caddyLineKey(name []byte) caddySet {
	switch string(name) {
	case "ts":
		return setCaddyTime
	case "msg":
		return setCaddyMessage
	case "duration":
		return setCaddyDuration
	case "size":
		return setCaddySize
	case "status":
		return setCaddyStatus
	}
	return nil
}

func caddyRequestKey(name []byte) caddySet {
	switch string(name) {
	case "client_ip":
		return setCaddyClient
	case "remote_ip":
		return setCaddyPeer
	case "remote_addr":
		return setCaddyPeerPort
	case "proto":
		return setCaddyProtocol
	case "method":
		return setCaddyMethod
	case "host":
		return setCaddyHost
	case "uri":
		return setCaddyURI
	}
	return nil
}

func caddyTLSKey(name []byte) caddySet {
	switch string(name) {
	case "version":
		return setCaddyVersion
	case "cipher_suite":
		return setCaddyCipher
	}
	return nil
}

func setCaddyTime(p *caddyJSON, value []byte, k kind, r *schemas.Request) Reason {
	var ok bool
	if r.Time, ok = parseTime(value); !ok || k == kindOther {
		return Time
	}
	p.found.time = true
	return None
}

func setCaddyMessage(p *caddyJSON, value []byte, k kind, _ *schemas.Request) Reason {
	p.found.handled = k == kindString && string(value) == "handled request"
	return None
}

// setCaddyDuration takes seconds; a duration_format that writes another unit as
// text leaves it unknown.
func setCaddyDuration(_ *caddyJSON, value []byte, k kind, r *schemas.Request) Reason {
	if k != kindNumber {
		return None
	}
	var ok bool
	r.Duration, ok = parseSeconds(value)
	r.Fields |= schemas.FieldDuration
	return verdict(true, ok)
}

func setCaddySize(_ *caddyJSON, value []byte, k kind, r *schemas.Request) (reason Reason) {
	var ok bool
	r.Bytes, ok = parseCount(value)
	return verdict(k == kindNumber, ok)
}

func setCaddyStatus(_ *caddyJSON, value []byte, k kind, r *schemas.Request) Reason {
	var ok bool
	r.Status, ok = parseStatus(value)
	return verdict(k == kindNumber, ok)
}

func setCaddyClient(p *caddyJSON, value []byte, _ kind, r *schemas.Request) Reason {
	if r.Client, p.found.client = parseAddress(value); !p.found.client {
		return Client
	}
	return None
}

func setCaddyPeer(p *caddyJSON, value []byte, _ kind, _ *schemas.Request) Reason {
	p.found.peer = value
	return None
}

// setCaddyPeerPort is setCaddyPeer for what Caddy wrote before 2.5.
func setCaddyPeerPort(p *caddyJSON, value []byte, _ kind, r *schemas.Request) Reason {
	if r.Client, p.found.client = beforePort(value); !p.found.client {
		return Client
	}
	return None
}

func setCaddyProtocol(_ *caddyJSON, value []byte, k kind, r *schemas.Request) Reason {
	r.Protocol = value
	return verdict(k == kindString, true)
}

func setCaddyMethod(_ *caddyJSON, value []byte, k kind, r *schemas.Request) Reason {
	r.Method = value
	return verdict(k == kindString, true)
}

func setCaddyHost(p *caddyJSON, value []byte, k kind, r *schemas.Request) Reason {
	p.scratch, r.Site = appendHost(p.scratch, value)
	r.Fields |= schemas.FieldSite
	return verdict(k == kindString, true)
}

func setCaddyURI(_ *caddyJSON, value []byte, k kind, r *schemas.Request) Reason {
	r.Path, r.Query = nil, nil
	splitTarget(value, r)
	return verdict(k == kindString, true)
}

func setCaddyVersion(p *caddyJSON, value []byte, _ kind, _ *schemas.Request) Reason {
	var ok bool
	p.found.version, ok = parseCount(value)
	return verdict(true, ok)
}

func setCaddyCipher(p *caddyJSON, value []byte, _ kind, _ *schemas.Request) Reason {
	var ok bool
	p.found.cipher, ok = parseCount(value)
	return verdict(true, ok)
}
