package accesslog

import "github.com/weir-project/weir/schemas"

// The keys that Caddy's objects have.
const (
	keyCaddyRequest key = iota + 128
	keyCaddyHeaders
	keyCaddyTLS
	keyCaddyAnswer
	keyCaddyTime
	keyCaddyMessage
	keyCaddyDuration
	keyCaddySize
	keyCaddyStatus
	keyCaddyClient
	keyCaddyPeer
	keyCaddyPeerPort
	keyCaddyProtocol
	keyCaddyMethod
	keyCaddyHost
	keyCaddyURI
	keyCaddyVersion
	keyCaddyCipher
)

func caddyLineKey(name []byte) key {
	switch string(name) {
	case "ts":
		return keyCaddyTime
	case "msg":
		return keyCaddyMessage
	case "duration":
		return keyCaddyDuration
	case "size":
		return keyCaddySize
	case "status":
		return keyCaddyStatus
	case "request":
		return keyCaddyRequest
	case "resp_headers":
		return keyCaddyAnswer
	}
	return keyUnknown
}

func caddyRequestKey(name []byte) key {
	switch string(name) {
	case "client_ip":
		return keyCaddyClient
	case "remote_ip":
		return keyCaddyPeer
	case "remote_addr":
		return keyCaddyPeerPort
	case "proto":
		return keyCaddyProtocol
	case "method":
		return keyCaddyMethod
	case "host":
		return keyCaddyHost
	case "uri":
		return keyCaddyURI
	case "headers":
		return keyCaddyHeaders
	case "tls":
		return keyCaddyTLS
	}
	return keyUnknown
}

func caddyTLSKey(name []byte) key {
	switch string(name) {
	case "version":
		return keyCaddyVersion
	case "cipher_suite":
		return keyCaddyCipher
	}
	return keyUnknown
}

// set gives the value of a key to what it belongs to.
func (p *caddyJSON) set(id key, value []byte, k kind, r *schemas.Request) Reason {
	fits, ok := k == kindString, true
	switch id {
	case keyCaddyTime:
		if r.Time, ok = parseTime(value); !ok || k == kindOther {
			return Time
		}
		p.found.time = true
		return None
	case keyCaddyMessage:
		p.found.handled = fits && string(value) == "handled request"
		return None
	case keyCaddyDuration: // another unit than seconds is a text, and leaves it unknown
		if k != kindNumber {
			return None
		}
		fits = true
		r.Duration, ok = parseSeconds(value)
		r.Fields |= schemas.FieldDuration
	case keyCaddySize:
		fits = k == kindNumber
		r.Bytes, ok = parseCount(value)
	case keyCaddyStatus:
		fits = k == kindNumber
		r.Status, ok = parseStatus(value)
	case keyCaddyClient:
		if r.Client, ok = parseAddress(value); !ok {
			return Client
		}
		p.found.client = true
		return None
	case keyCaddyPeer:
		p.found.peer, p.found.peerPort = value, false
		return None
	case keyCaddyPeerPort: // what Caddy wrote before 2.5
		p.found.peer, p.found.peerPort = value, true
		return None
	case keyCaddyProtocol:
		r.Protocol = value
	case keyCaddyMethod:
		r.Method = value
	case keyCaddyHost:
		r.Site = p.hosts.site(value)
		r.Fields |= schemas.FieldSite
	case keyCaddyURI:
		r.Path, r.Query = nil, nil
		splitTarget(value, r)
	case keyCaddyVersion:
		fits = true
		p.found.version, ok = parseCount(value)
	case keyCaddyCipher:
		fits = true
		p.found.cipher, ok = parseCount(value)
	default: // an object that is none
		return None
	}
	return verdict(fits, ok)
}
