package accesslog

import (
	"bytes"

	"github.com/weir-project/weir/schemas"
)

// combined reads nginx's and Apache's combined format and its relatives:
//
//	[host[:port] ]address ident user [time] "request" status bytes[ "referer" "agent"[ extra...]]
type combined struct {
	fields  schemas.Fields
	host    bool // a host stands in front
	agent   bool // referer and agent follow
	clock   clock
	scratch []byte // for what had escapes or upper case in it
}

// timeLength is the length of "[17/May/2015:10:05:03 +0000] ", brackets and the
// spaces around included.
const timeLength = 30

// Parse implements Parser.
func (p *combined) Parse(line []byte, r *schemas.Request) Reason {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > MaxLine {
		return TooLong
	}
	*r = schemas.Request{Fields: p.fields}
	escaped := bytes.IndexByte(line, '\\') >= 0
	p.scratch = p.scratch[:0]

	// The quote that opens the request is the first one that no backslash stands
	// before; in front of it is the time, of a fixed length. So whatever a user
	// calls himself, he cannot move the other fields.
	open := openingQuote(line, escaped)
	if open < timeLength || line[open-1] != ' ' {
		return blankOr(line, Syntax)
	}
	stamp := line[open-timeLength : open]
	if stamp[0] != ' ' || stamp[1] != '[' || stamp[28] != ']' {
		return Syntax
	}
	if reason := p.front(line[:open-timeLength], escaped, r); reason != None {
		return reason
	}
	var ok bool
	if r.Time, ok = p.clock.parse(stamp[2:28]); !ok {
		return Time
	}

	request, rest, ok := cutQuoted(line[open:], escaped)
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return Syntax
	}
	rest, ok = p.numbers(rest[1:], r)
	if !ok {
		return Number
	}
	if reason := p.tail(rest, escaped, r); reason != None {
		return reason
	}
	if escaped {
		request = p.plain(request)
		r.Referer, r.UserAgent = p.plain(r.Referer), p.plain(r.UserAgent)
	}
	splitRequest(request, r)
	return None
}

func blankOr(line []byte, other Reason) Reason {
	if len(bytes.TrimSpace(line)) == 0 {
		return Empty
	}
	return other
}

func openingQuote(line []byte, escaped bool) int {
	if !escaped {
		return bytes.IndexByte(line, '"')
	}
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// cutQuoted cuts text, which begins with a quote, behind the quote that closes
// it. A backslash hides the byte behind it: nginx writes \x22 for a quote and
// \x5C for a backslash, Apache \" and \\.
func cutQuoted(text []byte, escaped bool) (inside, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, nil, false
	}
	end := openingQuote(text[1:], escaped)
	if end < 0 {
		return nil, nil, false
	}
	return text[1 : 1+end], text[2+end:], true
}

// front reads what stands before the time: a host where the format has one, the
// address, and two words that are of no interest.
func (p *combined) front(front []byte, escaped bool, r *schemas.Request) Reason {
	if p.host {
		space := bytes.IndexByte(front, ' ')
		if space <= 0 {
			return Syntax
		}
		host := front[:space]
		if escaped {
			host = p.plain(host)
		}
		p.scratch, r.Site = appendHost(p.scratch, host)
		front = front[space+1:]
	}
	space := bytes.IndexByte(front, ' ')
	if space < 0 {
		return Syntax
	}
	var ok bool
	if r.Client, ok = parseAddress(front[:space]); !ok {
		return Client
	}
	// "ident user": a user may hold spaces, and may be empty.
	if bytes.IndexByte(front[space+1:], ' ') <= 0 {
		return Syntax
	}
	return None
}

// numbers reads "status bytes", each of which may be "-".
func (p *combined) numbers(text []byte, r *schemas.Request) (rest []byte, ok bool) {
	status, rest, ok := cutNumber(text)
	if !ok || status > 999 || len(rest) == 0 || rest[0] != ' ' {
		return nil, false
	}
	size, rest, ok := cutNumber(rest[1:])
	if !ok || len(rest) > 0 && rest[0] != ' ' {
		return nil, false
	}
	r.Status, r.Bytes = uint16(status), size
	return rest, true
}

// cutNumber cuts digits, or "-" for 0, off the front of text.
func cutNumber(text []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(text) && i < 19; i++ {
		d := text[i] - '0'
		if d > 9 {
			break
		}
		n = n*10 + int64(d)
	}
	if i == 0 && len(text) > 0 && text[0] == '-' {
		i = 1
	}
	return n, text[i:], i > 0 && n >= 0
}

// tail reads ` "referer" "agent"` and checks that what follows them is words and
// quoted texts: otherwise a quote that the server did not escape has shifted them.
func (p *combined) tail(rest []byte, escaped bool, r *schemas.Request) Reason {
	if !p.agent {
		if len(bytes.TrimRight(rest, " ")) > 0 {
			return Syntax
		}
		return None
	}
	if len(rest) == 0 {
		return Syntax
	}
	referer, rest, ok := cutQuoted(rest[1:], escaped)
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return Syntax
	}
	agent, rest, ok := cutQuoted(rest[1:], escaped)
	if !ok {
		return Syntax
	}
	r.Referer, r.UserAgent = dashless(referer), dashless(agent)
	for len(rest) > 0 {
		if rest[0] != ' ' {
			return Syntax
		}
		rest = rest[1:]
		if len(rest) > 0 && rest[0] == '"' {
			if _, rest, ok = cutQuoted(rest, escaped); !ok {
				return Syntax
			}
			continue
		}
		end := bytes.IndexByte(rest, ' ')
		if end < 0 {
			end = len(rest)
		}
		if bytes.IndexByte(rest[:end], '"') >= 0 {
			return Syntax
		}
		rest = rest[end:]
	}
	return None
}

// dashless is the value, or nothing where it is "-", which these formats write
// for nothing.
func dashless(value []byte) []byte {
	if len(value) == 1 && value[0] == '-' {
		return nil
	}
	return value
}

// plain undoes the log's escapes.
func (p *combined) plain(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	start := len(p.scratch)
	p.scratch = appendUnescaped(p.scratch, text)
	return p.scratch[start:len(p.scratch):len(p.scratch)]
}
