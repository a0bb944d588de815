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
	traefik bool // and then what only Traefik has
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

	end := quotedEnd(line, open, escaped)
	if end < 0 || end+1 >= len(line) || line[end+1] != ' ' {
		return Syntax
	}
	request := line[open+1 : end : end]
	next := p.numbers(line, end+2, r)
	if next < 0 {
		return Number
	}
	if p.agent {
		if !p.headers(line, next, escaped, r) {
			return Syntax
		}
	} else if len(bytes.TrimRight(line[next:], " ")) > 0 {
		return Syntax
	}
	if escaped {
		request = p.plain(request)
		r.Referer, r.UserAgent, r.ForwardedFor = p.plain(r.Referer), p.plain(r.UserAgent), p.plain(r.ForwardedFor)
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

// quotedEnd is the index of the quote that closes the one at i, or -1. A
// backslash hides the byte behind it: nginx writes \x22 for a quote and \x5C for
// a backslash, Apache \" and \\.
func quotedEnd(line []byte, i int, escaped bool) int {
	if i >= len(line) || line[i] != '"' {
		return -1
	}
	end := 0
	if escaped {
		end = openingQuote(line[i+1:], true)
	} else {
		end = bytes.IndexByte(line[i+1:], '"')
	}
	if end < 0 {
		return -1
	}
	return i + 1 + end
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
	for space > 0 && front[space-1] == ',' { // several addresses
		next := bytes.IndexByte(front[space+1:], ' ')
		if next < 0 {
			return Syntax
		}
		space += 1 + next
	}
	var ok bool
	if r.Client, ok = parseClient(front[:space], r); !ok {
		return Client
	}
	// "ident user": a user may hold spaces, and may be empty or left out.
	if space+1 == len(front) || front[space+1] == ' ' {
		return Syntax
	}
	return None
}

// numbers reads "status bytes" at i, each of which may be "-", and gives the index
// behind them, or -1.
func (p *combined) numbers(line []byte, i int, r *schemas.Request) (next int) {
	start := i
	status, i := number(line, i)
	if i < 0 || i-start > 3 || i >= len(line) || line[i] != ' ' {
		return -1
	}
	size, i := number(line, i+1)
	if i < 0 || i < len(line) && line[i] != ' ' {
		return -1
	}
	r.Status, r.Bytes = uint16(status), size
	return i
}

// number reads at most 18 digits, or "-" for 0, at i, and gives the index behind
// them, or -1.
func number(line []byte, i int) (n int64, next int) {
	start := i
	for ; i < len(line) && i < start+19; i++ {
		d := line[i] - '0'
		if d > 9 {
			break
		}
		n = n*10 + int64(d)
	}
	switch i - start {
	case 0:
		if i < len(line) && line[i] == '-' {
			return 0, i + 1
		}
		return 0, -1
	case 19:
		return 0, -1
	}
	return n, i
}

// headers reads ` "referer" "agent"` at i; some write a bare ` - -` for none.
func (p *combined) headers(line []byte, i int, escaped bool, r *schemas.Request) bool {
	if string(line[i:]) == " - -" {
		return !p.traefik
	}
	end := quotedEnd(line, i+1, escaped)
	if end < 0 || end+1 >= len(line) || line[end+1] != ' ' {
		return false
	}
	r.Referer = dashless(line[i+2 : end : end])
	i = end + 2
	if end = quotedEnd(line, i, escaped); end < 0 {
		return false
	}
	r.UserAgent = dashless(line[i+1 : end : end])
	if p.traefik {
		return traefikTail(line, end+1, r)
	}
	return end+1 == len(line) || extrasHold(line, end+1, escaped)
}

// extrasHold reports whether what follows the agent is words and quoted texts, perhaps with
// a name before (urt="0.1"): otherwise a quote that the server did not escape has shifted
// the fields.
func extrasHold(line []byte, i int, escaped bool) bool {
	for i < len(line) {
		if line[i] != ' ' {
			return false
		}
		i++
		word := i
		for i < len(line) && line[i] != ' ' && line[i] != '"' {
			i++
		}
		if i == len(line) || line[i] == ' ' {
			continue
		}
		if i > word && !isName(line[word:i-1], line[i-1]) {
			return false
		}
		if i = quotedEnd(line, i, escaped); i < 0 {
			return false
		}
		i++
	}
	return true
}

// isName reports whether a text is a name, and what follows it an equals sign.
func isName(text []byte, next byte) bool {
	if next != '=' || len(text) == 0 {
		return false
	}
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
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
	if p.traefik {
		p.scratch = appendUnquoted(p.scratch, text)
	} else {
		p.scratch = appendUnescaped(p.scratch, text)
	}
	return p.scratch[start:len(p.scratch):len(p.scratch)]
}
