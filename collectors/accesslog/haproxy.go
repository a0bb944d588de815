package accesslog

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/weir-project/weir/schemas"
)

// haproxy reads HAProxy's httplog, with or without a syslog header in front:
//
//	addr:port [time] frontend backend/server TR/Tw/Tc/Tr/Ta status bytes CC CS tsc conns queues [{..} [{..}]] "request"
//
// (HAProxy's configuration manual, section 8.2.3). HAProxy writes #XX for a quote, a
// brace, '#' and what cannot be printed, in the request and in what it captures. Bytes
// are the answer's with its header.
type haproxy struct {
	clock    localClock
	captures *captures // nil where nothing is known of them
	fields   schemas.Fields
	hosts    hostCache
	scratch  []byte
	extra    []byte
}

func newHAProxy(c *captures) *haproxy {
	p := &haproxy{clock: localClock{zone: time.Local}, captures: c, fields: schemas.FieldDuration | schemas.FieldUpstreamDuration | schemas.FieldExtra}
	if c != nil {
		p.fields |= c.fields()
	}
	return p
}

// Parse implements Parser.
func (p *haproxy) Parse(line []byte, r *schemas.Request) Reason {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > MaxLine {
		return TooLong
	}
	*r = schemas.Request{Fields: p.fields}
	p.scratch, p.extra = p.scratch[:0], p.extra[:0]
	open := stampOpen(line)
	if open < 0 {
		if bytes.Contains(line, []byte(" haproxy[")) {
			return Message // "Proxy web started."
		}
		return blankOr(line, Syntax)
	}
	end := open + 2 + localLength // behind " [" and the time
	var ok bool
	if r.Client, ok = beforePort(line[bytes.LastIndexByte(line[:open], ' ')+1 : open]); !ok {
		return Client
	}
	if r.Time, ok = p.clock.parse(line[open+2 : end]); !ok {
		return Time
	}
	rest := line[end+2:]
	request, before, ok := quotedRequest(rest)
	if !ok {
		if bytes.IndexByte(rest, '"') < 0 {
			return Message // a connection on which nothing was asked, or not HTTP
		}
		return Syntax
	}
	if reason := p.timersAndStatus(rest[:len(before)+1], r); reason != None { // no name holds the quote
		return reason
	}
	p.captured(before, r)
	r.Extra = p.extra
	if r.Time += r.Duration / 1000; r.Time > maxTime {
		return Time
	}
	if string(request) != "<BADREQ>" {
		splitRequest(p.plain(request), r)
	}
	return None
}

// stampOpen is the index of the space in front of "[25/Feb/2019:16:19:48.143] ", or
// -1. What stands before the time is the syslog header and the address: a client
// has no say in it.
func stampOpen(line []byte) int {
	for i := 0; ; {
		open := bytes.IndexByte(line[i:], '[')
		if open < 0 {
			return -1
		}
		i += open + 1
		if end := i + localLength; i > 1 && line[i-2] == ' ' && end+1 < len(line) &&
			line[end] == ']' && line[end+1] == ' ' && line[i+2] == '/' && line[i+6] == '/' {
			return i - 2
		}
	}
}

// beforePort reads the address of "192.0.2.7:53332" or "2001:db8::7:53332".
func beforePort(text []byte) (addr netip.Addr, ok bool) {
	colon := bytes.LastIndexByte(text, ':')
	if colon <= 0 || colon == len(text)-1 || !digits(text[colon+1:]) {
		return addr, false
	}
	return parseAddress(text[:colon])
}

// quotedRequest is the request at the end of the line. There is no raw quote in it,
// whatever a cookie in front of it may hold; and it is the last field, so it may
// have been cut where HAProxy's lines end (1,024 bytes unless told otherwise).
func quotedRequest(rest []byte) (request, before []byte, ok bool) {
	end := len(rest)
	if end > 0 && rest[end-1] == '"' {
		end--
	}
	open := bytes.LastIndexByte(rest[:end], '"')
	if open < 2 || rest[open-1] != ' ' || rest[open-2] != '}' && rest[open-2]-'0' > 9 {
		return nil, nil, false
	}
	return rest[open+1 : end : end], rest[:open-1], true
}

// timersAndStatus reads "frontend backend/server TR/Tw/Tc/Tr/Ta status bytes ".
func (p *haproxy) timersAndStatus(rest []byte, r *schemas.Request) Reason {
	for _, name := range [2]string{"frontend", "backend"} {
		space := bytes.IndexByte(rest, ' ')
		if space <= 0 {
			return Syntax
		}
		p.extra = appendExtra(p.extra, name, rest[:space])
		rest = rest[space+1:]
	}
	var timers [5]int64
	i := 0
	for n := range timers {
		if n > 0 {
			if i >= len(rest) || rest[i] != '/' {
				return Syntax
			}
			i++
		}
		if timers[n], i = signed(rest, i); i < 0 {
			return Number
		}
	}
	if i >= len(rest) || rest[i] != ' ' {
		return Syntax
	}
	status, i := signed(rest, i+1)
	if i < 0 || status > 999 || i >= len(rest) || rest[i] != ' ' {
		return Number
	}
	size, i := signed(rest, i+1)
	if i < 0 || i >= len(rest) || rest[i] != ' ' {
		return Number
	}
	r.Status, r.Bytes = uint16(status), size
	r.Duration, r.UpstreamDuration = timers[4]*1000, timers[3]*1000
	return None
}

// signed reads a number of at most 12 digits at i and gives the index behind it,
// or -1: "-1" is 0, what did not come to pass; "+5" is a 5 that is still growing.
func signed(text []byte, i int) (n int64, next int) {
	if i+1 < len(text) && text[i] == '-' && text[i+1] == '1' {
		return 0, i + 2
	}
	if i < len(text) && text[i] == '+' {
		i++
	}
	start := i
	for ; i < len(text) && i < start+13 && text[i]-'0' <= 9; i++ {
		n = n*10 + int64(text[i]-'0')
	}
	if i == start || i == start+13 {
		return 0, -1
	}
	return n, i
}

// plain undoes #XX.
func (p *haproxy) plain(text []byte) []byte {
	mark := bytes.IndexByte(text, '#')
	if mark < 0 {
		return text
	}
	start := len(p.scratch)
	p.scratch = append(p.scratch, text[:mark]...)
	for i := mark; i < len(text); i++ {
		if text[i] == '#' && i+2 < len(text) {
			if high, low := unhex(text[i+1]), unhex(text[i+2]); high < 16 && low < 16 {
				p.scratch = append(p.scratch, high<<4|low)
				i += 2
				continue
			}
		}
		p.scratch = append(p.scratch, text[i])
	}
	return p.scratch[start:len(p.scratch):len(p.scratch)]
}
