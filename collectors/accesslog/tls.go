package accesslog

import (
	"bytes"
	"crypto/tls"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// tlsCache remembers normalised forms of the few TLS parameters that clients
// have; a client that invents ever new ones costs it time, not memory.
type tlsCache struct {
	raw, normal [64][]byte
	long        []byte
	wire        [16]wireTLS
}

// wireTLS is a version and a cipher suite by their numbers, and what they are called.
type wireTLS struct {
	version, cipher uint16
	normal          []byte
}

// ofWire is for logs that give the numbers of RFC 8446, section 4.1.2; there are no
// more of them than a server accepts.
func (c *tlsCache) ofWire(version, cipher uint16) []byte {
	w := &c.wire[(version*7+cipher)%uint16(len(c.wire))]
	if w.version != version || w.cipher != cipher || w.normal == nil {
		name := strings.Replace(tls.VersionName(version), "TLS ", "", 1)
		w.version, w.cipher = version, cipher
		_, w.normal = appendTLS(nil, []byte(name), []byte(tls.CipherSuiteName(cipher)))
	}
	return w.normal
}

func (c *tlsCache) normalise(raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) > schemas.MaxTrait {
		c.long = schemas.NormaliseTLS(c.long[:0], raw)
		return c.long
	}
	n := len(raw)
	slot := (n*31 + int(raw[n-1]) + int(raw[n/2])*7 + int(raw[n/3])*13) % len(c.raw)
	if !bytes.Equal(c.raw[slot], raw) {
		c.raw[slot] = append(c.raw[slot][:0], raw...)
		c.normal[slot] = schemas.NormaliseTLS(c.normal[slot][:0], raw)
	}
	return c.normal[slot]
}

// appendTLS writes version and cipher as nginx's variables show them, so that one
// client has one value at every edge. version is "1.3", cipher an IANA name (as Go
// writes both); what it does not know it keeps.
func appendTLS(scratch, version, cipher []byte) (_, tls []byte) {
	start := len(scratch)
	if len(version) > 0 && version[0]-'0' <= 9 {
		scratch = append(scratch, "TLSv"...)
		if len(version) == 3 && string(version) == "1.0" {
			version = version[:1]
		}
	}
	scratch = append(scratch, version...)
	if len(cipher) > 0 {
		scratch = append(scratch, ' ')
		scratch = appendCipher(scratch, cipher)
	}
	return scratch, scratch[start:len(scratch):len(scratch)]
}

// appendCipher writes OpenSSL's name of a cipher suite with an IANA name: those of
// TLS 1.3 are the same; before, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" is
// "ECDHE-RSA-AES128-GCM-SHA256".
func appendCipher(dst, name []byte) []byte {
	exchange, cipher, found := bytes.Cut(name, []byte("_WITH_"))
	if !found || !bytes.HasPrefix(exchange, []byte("TLS_")) {
		return append(dst, name...)
	}
	if exchange = exchange[len("TLS_"):]; string(exchange) != "RSA" { // plain RSA goes without saying
		dst = append(appendDashed(dst, exchange), '-')
	}
	if bytes.HasSuffix(cipher, []byte("_POLY1305_SHA256")) {
		return appendDashed(dst, cipher[:len(cipher)-len("_SHA256")])
	}
	if bytes.HasPrefix(cipher, []byte("3DES_EDE_CBC")) {
		return append(dst, "DES-CBC3-SHA"...)
	}
	if bytes.HasPrefix(cipher, []byte("AES_")) && len(cipher) > len("AES_128") {
		dst = append(append(dst, "AES"...), cipher[len("AES_"):len("AES_128")]...)
		cipher = cipher[len("AES_128"):]
		if bytes.HasPrefix(cipher, []byte("_CBC")) {
			cipher = cipher[len("_CBC"):]
		}
	}
	return appendDashed(dst, cipher)
}

func appendDashed(dst, text []byte) []byte {
	for _, c := range text {
		if c == '_' {
			c = '-'
		}
		dst = append(dst, c)
	}
	return dst
}
