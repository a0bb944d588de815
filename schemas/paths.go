package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
)

// Values of TraitPathKnown: whether the site is known to have the path.
const (
	PathKnown   = "yes"
	PathUnknown = "no"
)

// Bounds of a site's list of known paths.
const (
	MaxKnownPath     = 228       // bytes of one
	MaxSitePaths     = 50_000    // of one site
	MaxSitePathBytes = 1_500_000 // of one site, with two more for each path
	maxPathParts     = 16        // messages of one list
	pathPart         = 300 << 10 // bytes from which on another message is begun
)

// KnownPath appends what a path (without its query, as sent) is known by: itself with A
// to Z in lower case, because nginx's maps tell no case. ok is false where a path is
// neither known nor unknown: not from the root, longer than MaxKnownPath, or with a space
// or a control character. dst may be path[:0].
func KnownPath(dst, path []byte) (key []byte, ok bool) {
	if len(path) == 0 || len(path) > MaxKnownPath || path[0] != '/' {
		return dst, false
	}
	start := len(dst)
	for _, c := range path {
		switch {
		case c <= ' ' || c == 0x7F || c == '?':
			return dst[:start], false
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst, true
}

// AssetEndings are the extensions of what a page brings with it, in lower case. A path that
// ends in one counts as known wherever there is a list: a page that nobody has seen
// brings some.
var AssetEndings = [...]string{
	"css", "js", "mjs", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "woff", "woff2", "ttf", "map",
}

// AssetPath reports whether a path ends in one of AssetEndings, in upper or lower case.
func AssetPath(path []byte) bool {
	dot := len(path) - 1
	for dot >= 0 && path[dot] != '.' {
		if dot--; len(path)-dot > 6 {
			return false
		}
	}
	if dot < 0 {
		return false
	}
	var lower [5]byte
	ending := lower[:copy(lower[:], path[dot+1:])]
	for i, c := range ending {
		if c >= 'A' && c <= 'Z' {
			ending[i] = c | 0x20
		}
	}
	switch string(ending) { // AssetEndings
	case "css", "js", "mjs", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "woff", "woff2", "ttf", "map":
		return true
	}
	return false
}

// SitePaths is a site's list of known paths: by KnownPath, ascending, each once.
type SitePaths struct {
	Site  string
	Paths []string
}

// PathsPart is one message of a list. A list is whole where all its parts, 1 to Parts, of
// one Version have come: until then the one before counts.
type PathsPart struct {
	Token   uint64 // the detector's lease: an older one's list is not taken
	Version uint64 // grows with every list of a token
	Time    time.Time
	Part    int
	Parts   int
	SitePaths
}

// SubjectPathsAll are the lists of known paths of all sites.
const SubjectPathsAll = "weir.edges.paths.>"

// SubjectPaths is where one part of a site's list is: the newest counts, and is all that
// is kept.
func SubjectPaths(site string, part int) string {
	h := fnv.New64a()
	h.Write([]byte(site))
	return fmt.Sprintf("weir.edges.paths.%016x.%d", h.Sum64(), part)
}

// errPaths is wrapped by every error about a message of known paths.
var errPaths = errors.New("malformed list of known paths")

const pathsVersion = 1

// EncodePaths makes the messages of a list. Those that say how many there are share token,
// version and time of head.
func EncodePaths(head PathsPart) (messages [][]byte, err error) {
	if err := head.check(); err != nil {
		return nil, err
	}
	var parts [][]string
	size, from := 0, 0
	for i, path := range head.Paths {
		if size += len(path) + 4; size > pathPart {
			parts, from, size = append(parts, head.Paths[from:i]), i, len(path)+4
		}
	}
	parts = append(parts, head.Paths[from:])
	for n, paths := range parts {
		raw := []byte{pathsVersion}
		for _, v := range []uint64{head.Token, head.Version, uint64(head.Time.UnixMilli()), uint64(n + 1), uint64(len(parts)), uint64(len(head.Site))} {
			raw = binary.AppendUvarint(raw, v)
		}
		raw = append(raw, head.Site...)
		last := ""
		for _, path := range paths {
			same := sharedPrefix(last, path)
			raw = binary.AppendUvarint(raw, uint64(same))
			raw = binary.AppendUvarint(raw, uint64(len(path)-same))
			raw, last = append(raw, path[same:]...), path
		}
		messages = append(messages, s2.Encode(nil, raw))
	}
	return messages, nil
}

func sharedPrefix(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// DecodePaths reads a message, whatever it holds.
func DecodePaths(message []byte) (*PathsPart, error) {
	raw, err := decompress(message, MaxPanesDecoded)
	if err != nil || len(message) > MaxMessage || len(raw) == 0 || raw[0] != pathsVersion {
		return nil, fmt.Errorf("%w: %d bytes, or another version", errPaths, len(message))
	}
	in := regularsReader{rest: raw[1:]}
	p := &PathsPart{Token: in.number(1<<64 - 1), Version: in.number(1<<64 - 1), Time: time.UnixMilli(int64(in.number(1 << 50))).UTC(),
		Part: int(in.number(maxPathParts)), Parts: int(in.number(maxPathParts))}
	p.Site = string(in.bytes(in.number(MaxSite)))
	last := ""
	for len(in.rest) > 0 && !in.failed && len(p.Paths) < MaxSitePaths {
		same, rest := in.number(uint64(len(last))), in.bytes(in.number(MaxKnownPath))
		if !in.failed {
			last = last[:same] + string(rest)
			p.Paths = append(p.Paths, last)
		}
	}
	if in.failed || len(in.rest) > 0 || p.Part < 1 || p.Part > p.Parts {
		return nil, fmt.Errorf("%w: it does not hold together", errPaths)
	}
	return p, p.check()
}

// check says what no list of paths is.
func (s *SitePaths) check() error {
	if s.Site == "" || len(s.Site) > MaxSite {
		return fmt.Errorf("%w: a site's name of %d bytes", errPaths, len(s.Site))
	}
	if len(s.Paths) > MaxSitePaths {
		return fmt.Errorf("%w: %d paths of %q, at most %d", errPaths, len(s.Paths), s.Site, MaxSitePaths)
	}
	size := 0
	var key []byte
	for i, path := range s.Paths {
		size += len(path) + 2
		var ok bool
		if key, ok = KnownPath(key[:0], []byte(path)); !ok || string(key) != path {
			return fmt.Errorf("%w: %.80q of %q is no known path's form", errPaths, path, s.Site)
		}
		if i > 0 && strings.Compare(s.Paths[i-1], path) >= 0 {
			return fmt.Errorf("%w: paths of %q out of order", errPaths, s.Site)
		}
	}
	if size > MaxSitePathBytes {
		return fmt.Errorf("%w: %d bytes of %q, at most %d", errPaths, size, s.Site, MaxSitePathBytes)
	}
	return nil
}

// PathsBook gathers the parts of sites' lists. The zero value is empty. Not for concurrent
// use.
type PathsBook struct {
	token uint64
	lists map[string]*gatheredPaths
}

type gatheredPaths struct {
	token, version uint64
	parts          [][]string
	missing        int
}

// maxPathSites bounds the sites of which parts are held.
const maxPathSites = 4_096

// Take adds a part, and returns the list that it makes whole, nil where it makes none. What
// is older than what is known is passed over.
func (b *PathsBook) Take(p *PathsPart) *SitePaths {
	if b.lists == nil {
		b.lists = make(map[string]*gatheredPaths)
	}
	g := b.lists[p.Site]
	switch {
	case p.Token < b.token:
		return nil
	case g == nil && len(b.lists) >= maxPathSites:
		return nil
	case g != nil && (p.Token < g.token || p.Token == g.token && p.Version < g.version):
		return nil
	case g == nil || p.Token != g.token || p.Version != g.version || p.Parts != len(g.parts):
		g = &gatheredPaths{token: p.Token, version: p.Version, parts: make([][]string, p.Parts), missing: p.Parts}
		b.lists[p.Site] = g
	}
	b.token = p.Token
	if g.missing == 0 {
		return nil // told again
	}
	if g.parts[p.Part-1] == nil {
		g.missing--
	}
	if g.parts[p.Part-1] = p.Paths; p.Paths == nil {
		g.parts[p.Part-1] = []string{}
	}
	if g.missing > 0 {
		return nil
	}
	whole := &SitePaths{Site: p.Site, Paths: slices.Concat(g.parts...)}
	for i := range g.parts {
		g.parts[i] = nil // the list has them
	}
	if whole.check() != nil {
		return nil
	}
	return whole
}
