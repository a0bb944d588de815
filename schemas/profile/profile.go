// Package profile knows the paths of common applications: which are fetched with a
// page, which are called by machines that cannot pass a challenge and whose loss is
// noticed elsewhere (a webhook, a feed, a package manager), and which cost the
// application much. It is in schemas because collectors recognise an application and
// the processor decides with it.
//
// The tables were written from each application's own routes and documentation; what
// a site has beside its application is an ordinary page.
package profile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Kind is what a path is to an application.
type Kind uint8

// The kinds.
const (
	Page     Kind = iota // what a visitor asks for, and everything that is not known
	Asset                // fetched with a page: styles, scripts, images, fonts, polls of a page's scripts
	Machine              // called by machines: webhooks, inboxes, feeds, health checks, clients of an API
	Dear                 // costs the application much more than a page: searches, logins, diffs
	NumKinds = int(iota)
)

// String is the kind's name.
func (k Kind) String() string {
	if int(k) < NumKinds {
		return [NumKinds]string{"page", "asset", "machine", "dear"}[k]
	}
	return "unknown"
}

// Profile is what is known of one application. It is never changed once made.
type Profile struct {
	name   string
	marker []byte        // what every pattern in marked needs in a path; nil for none
	rules  []rule        // in order: the first that matches counts
	first  [256][]uint16 // indices of rules that begin with '/' and this byte
	third  [256][]uint16 // of those that begin with "/*/*/" and this byte
	deep   bool          // there are some
	others []uint16      // those that may begin with anything
	over   string        // the profile that this one is an addition to
}

// rule is a pattern and what it means.
type rule struct {
	kind    Kind
	pattern pattern
	marked  bool
}

// Names lists the profiles that ByName takes.
func Names() (names []string) {
	for _, s := range sources() {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// ByName is the profile of an application. The error lists the names.
func ByName(name string) (*Profile, error) {
	for _, s := range sources() {
		if s.name == name {
			return s.compile(), nil
		}
	}
	return nil, fmt.Errorf("there is no profile %q; want one of %s", name, strings.Join(Names(), ", "))
}

// Name is the application's name, as in configuration.
func (p *Profile) Name() string { return p.name }

// Kind is what a path with its query is to the application; both are as sent, the
// query without '?'. It takes time linear in their length for every pattern that
// could match, and allocates nothing.
func (p *Profile) Kind(path, query []byte) Kind {
	best := len(p.rules)
	if len(path) > 1 {
		best = p.firstMatch(p.first[path[1]], path, query, best, false)
	}
	if p.deep {
		if c, ok := thirdSegment(path); ok {
			best = p.firstMatch(p.third[c], path, query, best, false)
		}
	}
	marked := p.marker != nil && bytes.Contains(path, p.marker)
	if best = p.firstMatch(p.others, path, query, best, marked); best < len(p.rules) {
		return p.rules[best].kind
	}
	if hasAssetName(path) {
		return Asset
	}
	return Page
}

// thirdSegment is the first byte of a path's third segment.
func thirdSegment(path []byte) (c byte, ok bool) {
	if len(path) == 0 || path[0] != '/' {
		return 0, false
	}
	rest := path[1:]
	for range 2 {
		slash := bytes.IndexByte(rest, '/')
		if slash < 0 {
			return 0, false
		}
		rest = rest[slash+1:]
	}
	if len(rest) == 0 {
		return 0, false
	}
	return rest[0], true
}

// firstMatch is the first of the rules before best that matches, or best.
func (p *Profile) firstMatch(candidates []uint16, path, query []byte, best int, marked bool) int {
	for _, i := range candidates {
		if int(i) >= best {
			break
		}
		r := &p.rules[i]
		if r.marked && !marked {
			continue
		}
		if r.pattern.match(path, query) {
			return int(i)
		}
	}
	return best
}

// hasAssetName reports whether a path ends like a style, a script, an image or a font.
func hasAssetName(path []byte) bool {
	dot := bytes.LastIndexByte(path, '.')
	if dot < 0 || len(path)-dot > 6 {
		return false
	}
	switch string(path[dot+1:]) {
	case "css", "js", "mjs", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "woff", "woff2", "ttf", "map":
		return true
	}
	return false
}

// source is a profile as it is written down.
type source struct {
	name   string
	over   string // the profile whose rules follow these
	marker string
	rules  string // a line each: a kind, and patterns
	signs  string // patterns, those that tell it best first
}

func (s *source) compile() *Profile {
	p := &Profile{name: s.name, over: s.over}
	if s.marker != "" {
		p.marker = []byte(s.marker)
	}
	text := s.rules
	if s.over != "" {
		for _, other := range sources() {
			if other.name == s.over {
				text += other.rules
			}
		}
	}
	for line := range strings.Lines(text + everywhere) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		kind := map[string]Kind{"asset": Asset, "machine": Machine, "dear": Dear, "page": Page}[words[0]]
		for _, word := range words[1:] {
			r := rule{kind: kind, pattern: compile(word)}
			index := uint16(len(p.rules))
			p.rules = append(p.rules, r)
			if c, ok := r.pattern.second(); ok {
				p.first[c] = append(p.first[c], index)
			} else if c, ok := r.pattern.thirdSegment(); ok {
				p.third[c] = append(p.third[c], index)
				p.deep = true
			} else {
				p.others = append(p.others, index)
				p.rules[index].marked = s.marker != "" && r.pattern.holds(s.marker)
			}
		}
	}
	return p
}
