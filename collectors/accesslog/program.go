package accesslog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// program is a custom format, compiled: a literal, then groups of values. It is
// never changed once made.
type program struct {
	escape  escape
	dashes  bool // nothing is written as "-"
	moments bool // the time is in pieces
	lead    string
	groups  []group
	fields  schemas.Fields
}

// escape is how a format writes what could be taken for its own characters.
type escape uint8

const (
	escapeDefault escape = iota // \xHH and Apache's \" \n and so on
	escapeJSON
	escapeNone
)

// group is values up to a literal with a raw quote in it, which no escaped value
// can hold, or up to the end of the line.
type group struct {
	ops      []op
	seps     []string // seps[i] stands behind ops[i]
	tail     string   // what stands behind the last value, before the quote
	stop     string   // the quote and what follows it; empty at the end of the line
	from, to int      // the ops whose borders a client could move, all read between those around
	strict   bool     // a value of the server's stands among them
}

// op is one value.
type op struct {
	name    string // as in the format, for messages
	field   field
	chosen  bool // the client chooses it, or may
	word    bool // it never holds a space
	several bool // "a, b : c", of several upstreams
	length  int  // bytes, where it is always as many
	pattern string
	extra   string // its name in Request.Extra
}

// piece is a value and the literal behind it.
type piece struct {
	op      op
	literal string
}

// maxFormat bounds the text of a format, in bytes.
const maxFormat = 8192

// compile makes a program of a format's text. Errors say what is missing.
func compile(text string) (*program, error) {
	if len(text) > maxFormat {
		return nil, fmt.Errorf("log format: has %d bytes, at most %d", len(text), maxFormat)
	}
	p := &program{dashes: true}
	var pieces []piece
	var err error
	if isNginx(text) {
		p.lead, pieces, p.escape, err = readNginx(text)
		p.dashes = p.escape == escapeDefault
	} else {
		p.lead, pieces, err = readApache(text)
	}
	if err == nil {
		err = p.assemble(pieces)
	}
	if err != nil {
		return nil, fmt.Errorf("log format %.200q: %w", text, err)
	}
	return p, nil
}

// oneLine is a format's text with line breaks and what surrounds them as one space.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' })
	kept := lines[:0]
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, " ")
}

func (p *program) assemble(pieces []piece) error {
	if err := choose(pieces); err != nil {
		return err
	}
	for i := range pieces {
		p.fields |= pieces[i].op.field.carried()
		p.moments = p.moments || pieces[i].op.field == fieldMoment
	}
	g := group{}
	for i := range pieces {
		literal := pieces[i].literal
		g.ops = append(g.ops, pieces[i].op)
		quote := -1
		if p.escape != escapeNone {
			quote = strings.IndexByte(literal, '"')
		}
		switch {
		case quote >= 0:
			g.tail, g.stop = literal[:quote], literal[quote:]
		case i == len(pieces)-1:
			g.tail = literal
		default:
			if literal == "" && (pieces[i+1].op.field != fieldTarget || pieces[i].op.length > 0) {
				return fmt.Errorf("nothing stands between %s and %s: where one ends cannot be known", pieces[i].op.name, pieces[i+1].op.name)
			}
			g.seps = append(g.seps, literal)
			continue
		}
		p.groups = append(p.groups, p.bounded(g))
		g = group{}
	}
	return nil
}

// bounded finds the part of a group whose borders a client could move.
func (p *program) bounded(g group) group {
	last := len(g.ops) - 1
	for g.from = 0; g.from < last && p.holds(&g.ops[g.from], g.seps[g.from], ' '); g.from++ {
	}
	for g.to = last; g.to > g.from && g.seps[g.to-1] != "" && p.holds(&g.ops[g.to], g.seps[g.to-1], ' '); g.to-- {
	}
	for _, o := range g.ops[g.from : g.to+1] {
		g.strict = g.strict || !o.chosen && o.field != fieldNone
	}
	g.strict = g.strict && g.from < g.to
	return g
}

// holds reports whether a value cannot have the separator in it.
func (p *program) holds(o *op, sep string, space byte) bool {
	if !o.chosen || sep == "" && o.word || o.word && strings.IndexByte(sep, space) >= 0 {
		return true
	}
	if p.escape == escapeNone {
		return false
	}
	for i := range len(sep) {
		if sep[i] < ' ' || p.escape == escapeDefault && sep[i] > '~' {
			return true
		}
	}
	return false
}

// choose leaves of several values for the same thing the best one, and checks that
// what every request needs is there.
func choose(pieces []piece) error {
	clientBehind(pieces)
	var best [256]int // rank by kind of thing, 0 for none
	for i := range pieces {
		o := &pieces[i].op
		if thing, rank := rankOf(o); rank > best[thing] {
			best[thing] = rank
		}
	}
	whole := best[thingTarget] == rankRequest
	var patterns []string
	taken := [256]bool{}
	for i := range pieces {
		o := &pieces[i].op
		thing, rank := rankOf(o)
		lost := rank > 0 && (rank < best[thing] || taken[thing] && o.field != fieldMoment)
		if lost && thing != thingTime && thing != thingTarget {
			if o.field = fieldExtra; o.name == "$proxy_add_x_forwarded_for" {
				o.field = fieldForwardedFor
			}
			continue
		}
		if lost || whole && (o.field == fieldMethod || o.field == fieldProtocol || o.field == fieldQuery) {
			o.field = fieldNone
			continue
		}
		taken[thing] = true
		if o.field == fieldMoment {
			patterns = append(patterns, o.pattern)
		}
	}
	switch {
	case best[thingTime] == 0 || best[thingTime] == rankMoment && !complete(patterns):
		return errors.New("has no whole time: it needs one of $msec, $time_iso8601, $time_local, or %t, or a date, a time and %z in %{...}t")
	case best[thingClient] == 0:
		return errors.New("has no client: it needs $remote_addr, or %a or %h")
	case best[thingTarget] == 0:
		return errors.New("has no path: it needs $request, $request_uri or $uri, or %r or %U")
	}
	return nil
}

// clientBehind takes X-Forwarded-For for the client where the format has no other: it
// is of a server that only a proxy can reach.
func clientBehind(pieces []piece) {
	forwarded := -1
	for i := range pieces {
		switch pieces[i].op.field {
		case fieldClient:
			return
		case fieldForwardedFor:
			forwarded = i
		}
	}
	if forwarded >= 0 {
		pieces[forwarded].op.field = fieldClient
	}
}

// thing is what several variables can tell.
type thing uint8

const (
	thingOther thing = iota
	thingTime
	thingClient
	thingSite
	thingTarget
	thingBytes
	thingDuration
	thingCache
)

const (
	rankMoment  = 1 // least of the times
	rankRequest = 9
)

// rankOf says what a value tells and how well, 0 where nothing competes.
func rankOf(o *op) (thing, int) {
	switch o.field {
	case fieldMsec, fieldEpochMicroseconds, fieldEpochMilliseconds:
		return thingTime, 4
	case fieldISO, fieldClock, fieldBracketed:
		return thingTime, 2
	case fieldMoment:
		return thingTime, rankMoment
	case fieldRequest:
		return thingTarget, rankRequest
	case fieldTarget:
		switch o.name {
		case "$uri", "$document_uri":
			return thingTarget, 1 // decoded, rewritten
		}
		return thingTarget, 2
	case fieldMicroseconds:
		return thingDuration, 3
	case fieldMilliseconds:
		return thingDuration, 2
	case fieldSeconds:
		return thingDuration, 1
	case fieldSite:
		switch o.name {
		case "$host", "%V":
			return thingSite, 4
		case "%v":
			return thingSite, 3
		case "$server_name":
			return thingSite, 1
		}
		return thingSite, 2
	case fieldClient:
		switch o.name {
		case "$remote_addr", "%a":
			return thingClient, 4
		case "$proxy_add_x_forwarded_for":
			return thingClient, 3
		case "%h":
			return thingClient, 2
		}
		return thingClient, 1
	case fieldBytes:
		switch o.name {
		case "$body_bytes_sent", "%b", "%B":
			return thingBytes, 2
		}
		return thingBytes, 1
	case fieldCacheStatus:
		if o.name == "$upstream_cache_status" {
			return thingCache, 2
		}
		return thingCache, 1
	}
	return thingOther, 0
}
