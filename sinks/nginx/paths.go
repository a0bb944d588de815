package nginx

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// nginx finds a key of a map by its hash, but keys of at most 46 bytes: with more, the
// default map_hash_bucket_size (64) is too small, and it can stand only once in a
// configuration. So a path is looked up in pieces, each in the map of its place: a piece
// that others may follow leads to a number that the next piece is looked up with.
const (
	pathPiece  = 38
	pathPieces = (schemas.MaxKnownPath + pathPiece - 1) / pathPiece
	pathFound  = "y"
)

// PathList is which paths sites are known to have, as nginx's lists.
type PathList struct {
	sites  []string // their numbers are their places, from 1 on
	pieces [pathPieces][]byte
}

// NewPathList makes the lists; a site whose name nginx cannot carry, or of which nothing is
// known, is left out.
func NewPathList(lists []*schemas.SitePaths) *PathList {
	byName := make(map[string]*schemas.SitePaths)
	for _, l := range lists {
		if _, err := siteOf(l.Site); err == nil && len(l.Paths) > 0 {
			byName[l.Site] = l
		}
	}
	p := &PathList{sites: sortedKeys(byName)}
	next := len(p.sites)
	for n, site := range p.sites {
		next = p.add(0, n+1, next, byName[site].Paths)
	}
	return p
}

// add writes the pieces of ascending paths, of which everything before place is the same and
// has led to number; next is the last number given away.
func (p *PathList) add(place, number, next int, paths []string) int {
	for len(paths) > 0 {
		piece := paths[0][place*pathPiece:]
		if len(piece) < pathPiece || place == pathPieces-1 {
			p.pieces[place] = appendPiece(p.pieces[place], number, piece, pathFound)
			paths = paths[1:]
			continue
		}
		piece = piece[:pathPiece]
		same := 1
		for same < len(paths) && strings.HasPrefix(paths[same][place*pathPiece:], piece) {
			same++
		}
		next++
		p.pieces[place] = appendPiece(p.pieces[place], number, piece, strconv.Itoa(next))
		next = p.add(place+1, next, next, paths[:same])
		paths = paths[same:]
	}
	return next
}

// appendPiece appends a key in quotes: there a backslash and a quote alone mean anything to
// nginx, and behind a number no key is a pattern.
func appendPiece(dst []byte, number int, piece, value string) []byte {
	dst = append(strconv.AppendInt(append(dst, '"'), int64(number), 10), ':')
	for _, c := range []byte(piece) {
		if c == '\\' || c == '"' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(append(append(dst, '"', ' '), value...), ';', '\n')
}

func (p *PathList) has(site string) bool {
	if p == nil {
		return false
	}
	_, found := slices.BinarySearch(p.sites, site)
	return found
}

// write defines $<prefix>_path_known: "yes" or "no" as schemas.KnownPath has it, "" where the
// site has no list or the path is neither.
func (p *PathList) write(b *bytes.Buffer, prefix string, include func(name string, content []byte) string) {
	fmt.Fprintf(b, "map h$host $%s_path_site {\n    default \"\";\n", prefix)
	for i, site := range p.sites {
		fmt.Fprintf(b, "    %s %d;\n", hostKey(site), i+1)
	}
	fmt.Fprintf(b, "}\nmap $request_uri $%s_path_plain {\n    default \"\";\n    \"~^/[^\\x00-\\x20\\x7f?]{0,%d}(?:\\?|\\z)\" 1;\n}\n", prefix, schemas.MaxKnownPath-1)
	fmt.Fprintf(b, "map $request_uri $%s_path_asset {\n    default \"\";\n    \"~^[^?]*\\.(?i:%s)(?:\\?|\\z)\" a;\n}\n", prefix, strings.Join(schemas.AssetEndings[:], "|"))
	before, all := fmt.Sprintf("${%s_path_site}", prefix), ""
	for place, list := range p.pieces {
		if len(list) == 0 {
			break
		}
		fmt.Fprintf(b, "map $request_uri $%s_path_piece%d {\n    default \"\";\n    \"~^[^?]{%d}([^?]{1,%d})\" $1;\n}\n", prefix, place+1, place*pathPiece, pathPiece)
		fmt.Fprintf(b, "map \"%s:${%s_path_piece%d}\" $%s_path%d {\n    default \"\";\n%s}\n", before, prefix, place+1, prefix, place+1,
			include(fmt.Sprintf("paths%d.list", place+1), list))
		before = fmt.Sprintf("${%s_path%d}", prefix, place+1)
		all += before
	}
	fmt.Fprintf(b, "map \"${%s_path_site};${%s_path_plain};${%s_path_asset}%s\" $%s_path_known {\n    default \"\";\n    \"~^[0-9]+;1;(?:a|[0-9]*y\\z)\" yes;\n    \"~^[0-9]+;1;\" no;\n}\n",
		prefix, prefix, prefix, all, prefix)
}

// asksPaths reports whether a signature is about whether a path is known.
func asksPaths(signature schemas.Signature) bool {
	return slices.ContainsFunc(signature, func(t schemas.TraitValue) bool { return t.Trait == schemas.TraitPathKnown })
}

// maxPathBytes bounds the text of all lists that an Enforcer holds: several times what a
// processor tells.
const maxPathBytes = 32 << 20

// Paths takes the paths that a site is known to have, in the place of those before. They
// reach nginx where a measure asks for them.
func (e *Enforcer) Paths(list *schemas.SitePaths) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	size := 0
	for _, path := range list.Paths {
		size += len(path) + 32
	}
	if e.pathBytes+size-e.paths[list.Site].size > maxPathBytes {
		e.metrics.overflow.Inc()
		return
	}
	e.pathBytes += size - e.paths[list.Site].size
	e.paths[list.Site] = heldPaths{list, size}
	e.pathsNow = nil
	for _, m := range e.intended {
		if m.asksPathsOf(list.Site) {
			e.dirty = true
			e.released++ // a page may have come that nginx calls unknown
			break
		}
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// heldPaths is a site's list, and what it takes.
type heldPaths struct {
	*schemas.SitePaths
	size int
}

// asksPathsOf reports whether the measure needs a site's known paths.
func (m *Measure) asksPathsOf(site string) bool {
	if m.Scope != schemas.ScopeSignature || len(m.Sites) > 0 && !slices.Contains(m.Sites, site) {
		return false
	}
	signature, err := schemas.ParseSignature(m.Value)
	return err == nil && asksPaths(signature)
}

// pathList is what the measures of a set need. The mutex is held.
func (e *Enforcer) pathList(measures []Measure) *PathList {
	var lists []*schemas.SitePaths
	for _, site := range sortedKeys(e.paths) {
		if len(e.paths[site].Paths) > 0 && slices.ContainsFunc(measures, func(m Measure) bool { return m.asksPathsOf(site) }) {
			lists = append(lists, e.paths[site].SitePaths)
		}
	}
	if len(lists) == 0 {
		return nil
	}
	if e.pathsNow == nil || !slices.Equal(e.pathsFor, lists) {
		e.pathsNow, e.pathsFor = NewPathList(lists), lists
	}
	return e.pathsNow
}
