package profile

import (
	"bytes"
	"strings"
)

// pattern is a path with '*' for any text within a segment, '**' for any text, and at
// its end perhaps "?key": a query with that key (or "?key=value"). A pattern without '*' is one path.
type pattern struct {
	parts []part
	key   string // of the query, "" for any query or none
	text  string
}

// part is a literal, and what may stand before it.
type part struct {
	gap  gap
	text string
}

type gap uint8

const (
	none   gap = iota // the literal follows at once
	within            // any text without '/'
	across            // any text
)

// compile reads a pattern. It has at most one "**" besides one at its end, so that
// matching is never more than a product of its stars and the path's length.
func compile(text string) (p pattern) {
	p.text = text
	text, p.key, _ = strings.Cut(text, "?")
	next := part{gap: none}
	for len(text) > 0 {
		star := strings.IndexByte(text, '*')
		if star < 0 {
			star = len(text)
		}
		if next.text = text[:star]; star > 0 || next.gap != none || star == len(text) {
			p.parts = append(p.parts, next)
		}
		if text = text[star:]; text == "" {
			return p
		}
		if next = (part{gap: within}); strings.HasPrefix(text, "**") {
			next.gap = across
			text = text[1:]
		}
		if text = text[1:]; text == "" {
			p.parts = append(p.parts, next)
		}
	}
	return p
}

// match reports whether a path and a query are of the pattern.
func (p *pattern) match(path, query []byte) bool {
	if p.key == "" {
		return matchParts(p.parts, path)
	}
	return len(query) > 0 && hasKey(query, p.key) && matchParts(p.parts, path)
}

func matchParts(parts []part, path []byte) bool {
	for i := range parts {
		q := &parts[i]
		last := i == len(parts)-1
		switch {
		case q.gap == none:
			if len(path) < len(q.text) || string(path[:len(q.text)]) != q.text || last && len(path) != len(q.text) {
				return false
			}
			path = path[len(q.text):]
		case last:
			n := len(path) - len(q.text)
			return n >= 0 && string(path[n:]) == q.text && (q.gap == across || bytes.IndexByte(path[:n], '/') < 0)
		default:
			return matchFloating(parts[i:], path)
		}
	}
	return true
}

// matchFloating tries every place of the first part's literal.
func matchFloating(parts []part, path []byte) bool {
	q := &parts[0]
	for from := 0; ; {
		at := indexString(path[from:], q.text)
		if at < 0 {
			return false
		}
		at += from
		if q.gap == within && bytes.IndexByte(path[:at], '/') >= 0 {
			return false
		}
		if matchParts(parts[1:], path[at+len(q.text):]) {
			return true
		}
		from = at + 1
	}
}

func indexString(path []byte, text string) int {
	if text == "" {
		return 0
	}
	for from := 0; ; {
		at := bytes.IndexByte(path[from:], text[0])
		if at < 0 || from+at+len(text) > len(path) {
			return -1
		}
		if from += at; string(path[from:from+len(text)]) == text {
			return from
		}
		from++
	}
}

// hasKey reports whether a query has a key, with or without a value; or "key=value".
func hasKey(query []byte, key string) bool {
	for len(query) > 0 {
		pair, rest, _ := bytes.Cut(query, []byte{'&'})
		if len(pair) >= len(key) && string(pair[:len(key)]) == key && (len(pair) == len(key) || pair[len(key)] == '=') {
			return true
		}
		query = rest
	}
	return false
}

// second is the byte behind the leading '/', where every path of the pattern has one.
func (p *pattern) second() (c byte, ok bool) {
	first := p.parts[0]
	if first.gap != none || len(first.text) < 2 {
		return 0, false
	}
	return first.text[1], true
}

// thirdSegment is the first byte of the third segment, where the pattern is one of
// "/*/*/" and a literal.
func (p *pattern) thirdSegment() (c byte, ok bool) {
	if len(p.parts) < 3 || p.parts[0].text != "/" || p.parts[1] != (part{within, "/"}) || p.parts[2].gap != within || len(p.parts[2].text) < 2 || p.parts[2].text[0] != '/' {
		return 0, false
	}
	return p.parts[2].text[1], true
}

// holds reports whether every path of the pattern has a text in it.
func (p *pattern) holds(text string) bool {
	for _, q := range p.parts {
		if strings.Contains(q.text, text) {
			return true
		}
	}
	return false
}
