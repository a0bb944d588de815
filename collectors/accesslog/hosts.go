package accesslog

import "bytes"

// hostCache remembers the sites that hosts are, because a log has few of them; a
// client that invents ever new ones costs it time, not memory.
type hostCache struct {
	entries [32]struct{ raw, site []byte }
	scratch []byte
}

// maxHost is how long a host may be to be remembered.
const maxHost = 64

// site is the host in lower case, without its port and without the dot at its end. It
// is valid until the next call.
func (c *hostCache) site(host []byte) []byte {
	n := len(host)
	if n == 0 || n > maxHost {
		var site []byte
		c.scratch, site = appendHost(c.scratch[:0], host)
		return site
	}
	e := &c.entries[(n*7+int(host[0])*3+int(host[n/2])+int(host[n-1])*5)%len(c.entries)]
	if !bytes.Equal(e.raw, host) {
		e.raw = append(e.raw[:0], host...)
		var site []byte
		c.scratch, site = appendHost(c.scratch[:0], host)
		e.site = append(e.site[:0], site...)
	}
	return e.site
}
