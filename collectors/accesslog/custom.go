package accesslog

import (
	"bytes"

	"github.com/weir-project/weir/schemas"
)

// custom reads the lines of a format that was given as text, by its program.
//
// Where a client could move a border between two values (a space in an unquoted
// agent, say), the program takes the values before from the left and those behind
// from the right; what lies between is refused where it does not hold exactly as
// many separators as the format has.
type custom struct {
	program *program
	clock   clock
	tls     tlsCache
	scratch []byte
	extra   []byte
	line    customLine
}

// customLine is what one line has told so far.
type customLine struct {
	escaped                  bool
	protocol, cipher, curves []byte
	moment                   moment
}

// Parse implements Parser.
func (p *custom) Parse(line []byte, r *schemas.Request) Reason {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > MaxLine {
		return TooLong
	}
	program := p.program
	*r = schemas.Request{Fields: program.fields}
	p.scratch, p.extra, p.line = p.scratch[:0], p.extra[:0], customLine{}
	p.line.escaped = program.escape != escapeNone && bytes.IndexByte(line, '\\') >= 0
	if !startsWith(line, program.lead) {
		return blankOr(line, Syntax)
	}
	rest := line[len(program.lead):]
	for i := range program.groups {
		g := &program.groups[i]
		end := len(rest)
		if g.stop != "" {
			if end = openingQuote(rest, p.line.escaped); end < 0 || !startsWith(rest[end:], g.stop) {
				return Syntax
			}
		}
		text := rest[:end:end]
		if !endsWith(text, g.tail) {
			return Syntax
		}
		if reason := p.group(g, text[:len(text)-len(g.tail)], r); reason != None {
			return reason
		}
		rest = rest[end+len(g.stop):]
	}
	if len(rest) > 0 {
		return Syntax
	}
	return p.finish(r)
}

func startsWith(text []byte, prefix string) bool {
	return len(text) >= len(prefix) && string(text[:len(prefix)]) == prefix
}

func endsWith(text []byte, suffix string) bool {
	return len(text) >= len(suffix) && string(text[len(text)-len(suffix):]) == suffix
}

// group reads the values of a group, which text holds from end to end.
func (p *custom) group(g *group, text []byte, r *schemas.Request) Reason {
	i, last := 0, len(g.ops)-1
	for ; i < g.from; i++ {
		end := g.ops[i].end(text, g.seps[i])
		if end < 0 {
			return Syntax
		}
		if reason := p.set(&g.ops[i], text[:end:end], r); reason != None {
			return reason
		}
		text = text[end+len(g.seps[i]):]
	}
	for ; last > g.to; last-- {
		start := g.ops[last].start(text, g.seps[last-1])
		if start < 0 {
			return Syntax
		}
		if reason := p.set(&g.ops[last], text[start:], r); reason != None {
			return reason
		}
		text = text[: start-len(g.seps[last-1]) : start-len(g.seps[last-1])]
	}
	for ; i < last; i++ {
		end := g.ops[i].end(text, g.seps[i])
		if end < 0 || g.strict && g.shifted(i, text[:end]) {
			return Syntax
		}
		if reason := p.set(&g.ops[i], text[:end:end], r); reason != None {
			return reason
		}
		text = text[end+len(g.seps[i]):]
	}
	if g.strict && g.shifted(last, text) {
		return Syntax
	}
	return p.set(&g.ops[last], text, r)
}

// shifted reports whether a value in the part that clients can shift holds one of
// the separators there.
func (g *group) shifted(i int, value []byte) bool {
	if !g.ops[i].chosen {
		return false
	}
	for _, sep := range g.seps[g.from:g.to] {
		if sep == "" {
			continue
		}
		if bytes.IndexByte(value, sep[0]) >= 0 && bytes.Contains(value, []byte(sep)) {
			return true
		}
	}
	return false
}

// end is the index in text behind the value that a separator follows, or -1.
func (o *op) end(text []byte, sep string) int {
	switch {
	case o.length > 0:
		if len(text) < o.length || !startsWith(text[o.length:], sep) {
			return -1
		}
		return o.length
	case sep == "": // a path comes next
		return bytes.IndexByte(text, '/')
	case o.several && sep[0] == ' ':
		if end := severalEnd(text); end >= 0 && startsWith(text[end:], sep) {
			return end
		}
		return -1
	}
	for i := 0; ; i++ {
		next := bytes.IndexByte(text[i:], sep[0])
		if next < 0 {
			return -1
		}
		if i += next; startsWith(text[i:], sep) {
			return i
		}
	}
}

// start is end from the other side: the index of the value that stands behind a
// separator at the end of text, or -1.
func (o *op) start(text []byte, sep string) int {
	n := len(text)
	if o.length > 0 {
		if n < o.length || !endsWith(text[:n-o.length], sep) {
			return -1
		}
		return n - o.length
	}
	if o.several && sep[len(sep)-1] == ' ' {
		n = severalStart(text)
		if n < 0 || !endsWith(text[:n], sep) {
			return -1
		}
		return n
	}
	for {
		last := bytes.LastIndexByte(text[:n], sep[len(sep)-1])
		if last < 0 {
			return -1
		}
		if endsWith(text[:last+1], sep) {
			return last + 1
		}
		n = last
	}
}

// severalEnd is the index behind what nginx writes of several upstreams:
// "0.1, 0.2 : 0.3".
func severalEnd(text []byte) int {
	for i := 0; ; {
		space := bytes.IndexByte(text[i:], ' ')
		if space < 0 {
			return -1
		}
		i += space
		if i > 0 && text[i-1] == ',' {
			i++
		} else if i+2 < len(text) && text[i+1] == ':' && text[i+2] == ' ' {
			i += 3
		} else {
			return i
		}
	}
}

// severalStart is the index of such a list at the end of text, or -1.
func severalStart(text []byte) int {
	for n := len(text); ; {
		space := bytes.LastIndexByte(text[:n], ' ')
		if space <= 0 {
			return -1
		}
		n = space
		if text[n-1] == ',' {
			continue
		}
		if text[n-1] == ':' && n > 1 && text[n-2] == ' ' {
			n -= 2
			continue
		}
		return n + 1
	}
}

// plain undoes the format's escapes.
func (p *custom) plain(text []byte) (_ []byte, ok bool) {
	if !p.line.escaped || bytes.IndexByte(text, '\\') < 0 {
		return text, true
	}
	start := len(p.scratch)
	ok = true
	if p.program.escape == escapeJSON {
		p.scratch, ok = appendJSON(p.scratch, text)
	} else {
		p.scratch = appendUnescaped(p.scratch, text)
	}
	return p.scratch[start:len(p.scratch):len(p.scratch)], ok
}
