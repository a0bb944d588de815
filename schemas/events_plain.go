package schemas

import (
	"bytes"
	"strconv"
	"time"
)

// plainLines reads the lines of decisions that AppendEvent writes, where these have no
// evidence and no text that is escaped: what snapshots are made of. An edge that starts
// reads hundreds of thousands, for which encoding/json takes six times as long. What it
// does not know it leaves to that. The zero value is ready. Not for concurrent use.
type plainLines struct {
	rest []byte
	// What lines have in common is kept once: most are of one incident, site and time.
	last  map[string]string
	times [2]struct {
		text []byte
		time time.Time
	}
	sitesText []byte
	sites     []string
}

// maxShared bounds the texts that lines have in common.
const maxShared = 64

// read reports whether it could read a line, and then e is what encoding/json makes of it.
func (p *plainLines) read(line []byte, e *Event) bool {
	p.rest = line
	if !p.skip('{') {
		return false
	}
	var d Decision
	seen := uint32(0)
	for first := true; !p.skip('}'); first = false {
		if !first && !p.skip(',') {
			return false
		}
		key, ok := p.text()
		if !ok || !p.skip(':') {
			return false
		}
		field, ok := p.field(key, e, &d)
		if !ok || seen&(1<<field) != 0 { // twice: the last would count, where it can be read
			return false
		}
		seen |= 1 << field
	}
	if seen&decisionFields != 0 {
		e.Decision = &d
	}
	return len(p.rest) == 0
}

// The fields by number; decisionFields are those of Decision.
const (
	fieldType = iota
	fieldTime
	fieldSites
	fieldIncident
	fieldID
	fieldAction
	fieldScope
	fieldValue
	fieldExpires
	fieldCollateral
	fieldPerHour
	fieldClients
	fieldReason
	fieldOrigin
	fieldProbes

	decisionFields = ^uint32(1<<fieldID - 1)
)

// field reads the value of a key.
func (p *plainLines) field(key []byte, e *Event, d *Decision) (field int, ok bool) {
	shared := func(field int, to *string) (int, bool) {
		text, ok := p.text()
		*to = p.share(text)
		return field, ok
	}
	var text string
	switch string(key) {
	case "type":
		field, ok = shared(fieldType, &text)
		e.Type = EventType(text)
	case "time":
		e.Time, ok = p.time(0)
		field = fieldTime
	case "sites":
		e.Sites, ok = p.list()
		field = fieldSites
	case "incident":
		return shared(fieldIncident, &e.Incident)
	case "decision":
		var id []byte
		id, ok = p.text()
		d.ID, field = string(id), fieldID
	case "action":
		field, ok = shared(fieldAction, &text)
		d.Action = Action(text)
	case "scope":
		field, ok = shared(fieldScope, &text)
		d.Scope = Scope(text)
	case "value":
		var value []byte
		value, ok = p.text()
		d.Value, field = string(value), fieldValue
	case "expires":
		d.Expires, ok = p.time(1)
		field = fieldExpires
	case "collateral":
		d.Collateral, ok = p.number()
		field = fieldCollateral
	case "collateral_per_hour":
		d.CollateralPerHour, ok = p.number()
		field = fieldPerHour
	case "collateral_clients":
		var n []byte
		n, ok = p.digits()
		d.CollateralClients, field = 0, fieldClients
		for _, c := range n {
			d.CollateralClients = 10*d.CollateralClients + int(c-'0')
		}
		ok = ok && len(n) < 10
	case "reason":
		return shared(fieldReason, &d.Reason)
	case "origin":
		return shared(fieldOrigin, &d.Origin)
	case "probes":
		return shared(fieldProbes, &d.Probes)
	}
	return field, ok
}

func (p *plainLines) skip(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// text is a string of printable ASCII with nothing escaped in it.
func (p *plainLines) text() ([]byte, bool) {
	if !p.skip('"') {
		return nil, false
	}
	end := bytes.IndexByte(p.rest, '"')
	if end < 0 {
		return nil, false
	}
	text := p.rest[:end]
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return nil, false
		}
	}
	p.rest = p.rest[end+1:]
	return text, true
}

func (p *plainLines) share(text []byte) string {
	if known, ok := p.last[string(text)]; ok {
		return known
	}
	if p.last == nil || len(p.last) >= maxShared {
		p.last = make(map[string]string)
	}
	made := string(text)
	p.last[made] = made
	return made
}

// time is one of RFC 3339; which of the two that a line has.
func (p *plainLines) time(which int) (time.Time, bool) {
	text, ok := p.text()
	last := &p.times[which]
	if !ok || bytes.Equal(text, last.text) && len(text) > 0 {
		return last.time, ok
	}
	if last.time.UnmarshalText(text) != nil {
		last.text = nil
		return time.Time{}, false
	}
	last.text = text
	return last.time, true
}

// list is one of texts. Lines that have the same share it: it must not be changed.
func (p *plainLines) list() ([]string, bool) {
	from := p.rest
	if len(p.sitesText) > 0 && bytes.HasPrefix(from, p.sitesText) {
		p.rest = from[len(p.sitesText):]
		return p.sites, true
	}
	if !p.skip('[') {
		return nil, false
	}
	sites := []string{}
	for first := true; !p.skip(']'); first = false {
		if !first && !p.skip(',') {
			return nil, false
		}
		text, ok := p.text()
		if !ok {
			return nil, false
		}
		sites = append(sites, string(text))
	}
	p.sitesText, p.sites = from[:len(from)-len(p.rest)], sites[:len(sites):len(sites)]
	return p.sites, true
}

// digits are those of a whole number as JSON has it.
func (p *plainLines) digits() ([]byte, bool) {
	n := 0
	for n < len(p.rest) && '0' <= p.rest[n] && p.rest[n] <= '9' {
		n++
	}
	digits := p.rest[:n]
	p.rest = p.rest[n:]
	return digits, n == 1 || n > 1 && digits[0] != '0'
}

// number is one of 0 or more, as JSON has it, with no exponent.
func (p *plainLines) number() (float64, bool) {
	from := p.rest
	if _, ok := p.digits(); !ok {
		return 0, false
	}
	if p.skip('.') {
		fraction := p.rest
		for len(p.rest) > 0 && '0' <= p.rest[0] && p.rest[0] <= '9' {
			p.rest = p.rest[1:]
		}
		if len(p.rest) == len(fraction) {
			return 0, false
		}
	}
	value, err := strconv.ParseFloat(string(from[:len(from)-len(p.rest)]), 64)
	return value, err == nil
}
