package profile

import (
	"bytes"
	"regexp"
	"strings"
)

// Rule is a regular expression, as nginx takes them, of a target: a path, '?', and the
// query. Of is whether the targets that match are of the kind that was asked for.
type Rule struct {
	Expression string
	Of         bool
}

// Rules say of a target whether it is of a kind, as Kind does, for a map of nginx's: the
// first rule that matches counts, and where none does it is not. A '?' within the path is
// taken for the one before the query.
func (p *Profile) Rules(k Kind) (all []Rule) {
	for i := range p.rules {
		r := &p.rules[i]
		if r.kind != k && !p.foreruns(i, k) {
			continue
		}
		all = append(all, Rule{r.pattern.target(), r.kind == k})
	}
	return all
}

// foreruns reports whether a rule could take a path from a later one of a kind.
func (p *Profile) foreruns(i int, k Kind) bool {
	for j := i + 1; j < len(p.rules); j++ {
		if p.rules[j].kind == k && p.rules[i].pattern.meets(&p.rules[j].pattern) {
			return true
		}
	}
	return false
}

// meets reports whether a path could be of both patterns, by how they begin.
func (p *pattern) meets(o *pattern) bool {
	a, b := p.parts[0], o.parts[0]
	if a.gap != none || b.gap != none {
		return true
	}
	n := min(len(a.text), len(b.text))
	return a.text[:n] == b.text[:n]
}

// target is the pattern as a regular expression of a target.
func (p *pattern) target() string {
	var b strings.Builder
	b.WriteByte('^')
	for _, q := range p.parts {
		switch q.gap {
		case within:
			b.WriteString("[^/?]*")
		case across:
			b.WriteString("[^?]*")
		}
		b.WriteString(regexp.QuoteMeta(q.text))
	}
	b.WriteString(`\?`)
	if p.key != "" {
		b.WriteString("(.*&)?" + regexp.QuoteMeta(p.key) + "([=&]|$)")
	}
	return b.String()
}

// Normal appends a path as servers compare it with what they have: escapes undone, empty
// and dot segments gone (RFC 3986, 5.2.4 and 6.2.2; nginx's $uri). A path that climbs out
// of the root, or has an escape that is none, is appended as it is: no server serves it.
func Normal(dst, path []byte) []byte {
	if !bytes.ContainsAny(path, "%.") && !bytes.Contains(path, []byte("//")) {
		return append(dst, path...)
	}
	plain, ok := unescaped(path)
	if !ok || len(plain) == 0 || plain[0] != '/' {
		return append(dst, path...)
	}
	start := len(dst)
	for rest := plain; len(rest) > 0; {
		segment := rest[1:] // rest begins with '/'
		end := bytes.IndexByte(segment, '/')
		last := end < 0
		if last {
			end = len(segment)
		}
		rest, segment = segment[end:], segment[:end]
		switch {
		case string(segment) == "..":
			if len(dst) == start {
				return append(dst[:start], path...)
			}
			dst = dst[:start+bytes.LastIndexByte(dst[start:], '/')]
		case string(segment) == "." || len(segment) == 0:
		default:
			dst = append(append(dst, '/'), segment...)
			continue
		}
		if last {
			dst = append(dst, '/')
		}
	}
	return dst
}

// unescaped undoes the escapes of a path; false where one is none.
func unescaped(path []byte) ([]byte, bool) {
	if bytes.IndexByte(path, '%') < 0 {
		return path, true
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) {
				return nil, false
			}
			high, low := digit(path[i+1]), digit(path[i+2])
			if high < 0 || low < 0 {
				return nil, false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		out = append(out, c)
	}
	return out, true
}

func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
