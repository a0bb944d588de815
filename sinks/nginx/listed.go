package nginx

import (
	"bytes"
	"cmp"
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

// KnownList is what is known of sites, of one kind, as nginx's lists.
type KnownList struct {
	of     schemas.Listed
	sites  []string // their numbers are their places, from 1 on
	pieces [pathPieces][]byte
}

// Lists are those of each kind; nil: nothing of that kind is known.
type Lists [schemas.NumListed]*KnownList

// NewLists makes the lists; a site whose name nginx cannot carry, or of which nothing is
// known, is left out.
func NewLists(lists ...*schemas.SiteList) (all Lists) {
	var byName [schemas.NumListed]map[string]*schemas.SiteList
	for _, l := range lists {
		if _, err := siteOf(l.Site); err == nil && len(l.Entries) > 0 {
			if byName[l.Of] == nil {
				byName[l.Of] = make(map[string]*schemas.SiteList)
			}
			byName[l.Of][l.Site] = l
		}
	}
	for of, named := range byName {
		if len(named) > 0 {
			all[of] = newKnownList(schemas.Listed(of), named)
		}
	}
	return all
}

func newKnownList(of schemas.Listed, byName map[string]*schemas.SiteList) *KnownList {
	k := &KnownList{of: of, sites: sortedKeys(byName)}
	next := len(k.sites)
	for n, site := range k.sites {
		next = k.add(0, n+1, next, byName[site].Entries)
	}
	return k
}

// add writes the pieces of ascending entries, of which everything before place is the same and
// has led to number; next is the last number given away.
func (k *KnownList) add(place, number, next int, entries []string) int {
	for len(entries) > 0 {
		piece := entries[0][place*pathPiece:]
		if len(piece) < pathPiece || place == pathPieces-1 {
			k.pieces[place] = appendPiece(k.pieces[place], number, piece, pathFound)
			entries = entries[1:]
			continue
		}
		piece = piece[:pathPiece]
		same := 1
		for same < len(entries) && strings.HasPrefix(entries[same][place*pathPiece:], piece) {
			same++
		}
		next++
		k.pieces[place] = appendPiece(k.pieces[place], number, piece, strconv.Itoa(next))
		next = k.add(place+1, next, next, entries[:same])
		entries = entries[same:]
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

func (k *KnownList) has(site string) bool {
	if k == nil {
		return false
	}
	_, found := slices.BinarySearch(k.sites, site)
	return found
}

// includes brings a list in, in place or as a file of its own.
type includes func(name string, content []byte) string

// write defines the variable of the list's trait: "yes" or "no" as the edges' contract has it (see
// schemas.Listed), "" where the site has no list or the request is neither.
func (k *KnownList) write(b *bytes.Buffer, prefix string, include includes) {
	switch k.of {
	case schemas.ListedAgents:
		k.writeAgents(b, prefix, include)
	case schemas.ListedQueries:
		k.writeQueries(b, prefix, include)
	default:
		k.writePaths(b, prefix, include)
	}
}

// writeSites defines $<name>_site, the number of the request's site.
func (k *KnownList) writeSites(b *bytes.Buffer, name string) {
	fmt.Fprintf(b, "map h$host $%s_site {\n    default \"\";\n", name)
	for i, site := range k.sites {
		fmt.Fprintf(b, "    %s %d;\n", hostKey(site), i+1)
	}
	b.WriteString("}\n")
}

// writePieces looks the text of a source up, of which class is what it consists of before its end, and says
// which variables together end in pathFound where it is in the site's list.
func (k *KnownList) writePieces(b *bytes.Buffer, name, source, class, file string, include includes) (all string) {
	before := fmt.Sprintf("${%s_site}", name)
	for place, list := range k.pieces {
		if len(list) == 0 {
			break
		}
		fmt.Fprintf(b, "map %s $%s_piece%d {\n    default \"\";\n    \"~^%s{%d}(%s{1,%d})\" $1;\n}\n", source, name, place+1, class, place*pathPiece, class, pathPiece)
		fmt.Fprintf(b, "map \"%s:${%s_piece%d}\" $%s%d {\n    default \"\";\n%s}\n", before, name, place+1, name, place+1,
			include(fmt.Sprintf("%s%d.list", file, place+1), list))
		before = fmt.Sprintf("${%s%d}", name, place+1)
		all += before
	}
	return all
}

func (k *KnownList) writePaths(b *bytes.Buffer, prefix string, include includes) {
	name := prefix + "_path"
	k.writeSites(b, name)
	fmt.Fprintf(b, "map $request_uri $%s_plain {\n    default \"\";\n    \"~^/[^\\x00-\\x20\\x7f?]{0,%d}(?:\\?|\\z)\" 1;\n}\n", name, schemas.MaxKnownPath-1)
	writeAsset(b, name)
	all := k.writePieces(b, name, "$request_uri", "[^?]", "paths", include)
	fmt.Fprintf(b, "map \"${%s_site};${%s_plain};${%s_asset}%s\" $%s_known {\n    default \"\";\n    \"~^[0-9]+;1;(?:a|[0-9]*y\\z)\" yes;\n    \"~^[0-9]+;1;\" no;\n}\n",
		name, name, name, all, name)
}

// writeAsset defines $<name>_asset: "a" where the path is an asset's.
func writeAsset(b *bytes.Buffer, name string) {
	fmt.Fprintf(b, "map $request_uri $%s_asset {\n    default \"\";\n    \"~^[^?]*\\.(?i:%s)(?:\\?|\\z)\" a;\n}\n", name, strings.Join(schemas.AssetEndings[:], "|"))
}

// version is what schemas.KnownAgent leaves out of an agent.
const version = `[0-9]++(?:[._][0-9]++)*+`

// writeAgents puts what stands between an agent's versions together, and looks that up.
func (k *KnownList) writeAgents(b *bytes.Buffer, prefix string, include includes) {
	name := prefix + "_agent"
	k.writeSites(b, name)
	fmt.Fprintf(b, "map $http_user_agent $%s_form {\n    default \"\";\n    \"~^(?=[\\x20-\\x7e]{1,%d}\\z)(?<%s_part0>[^0-9]*+)", name, schemas.MaxAgentText, name)
	form := fmt.Sprintf("${%s_part0}", name)
	for n := range schemas.MaxAgentVersions {
		fmt.Fprintf(b, "(?:%s(?<%s_part%d>[^0-9]*+))?+", version, name, n+1)
		form += fmt.Sprintf("${%s_part%d}", name, n+1)
	}
	fmt.Fprintf(b, "\\z\" \"%s\";\n}\n", form)
	fmt.Fprintf(b, "map $%s_form $%s_plain {\n    default \"\";\n    \"~^(?!-\\z)[\\s\\S]{1,%d}\\z\" 1;\n}\n", name, name, schemas.MaxKnownAgent)
	all := k.writePieces(b, name, fmt.Sprintf("$%s_form", name), `[\s\S]`, "agents", include)
	fmt.Fprintf(b, "map \"${%s_site};${%s_plain};%s\" $%s_known {\n    default \"\";\n    \"~^[0-9]+;1;[0-9]*y\\z\" yes;\n    \"~^[0-9]+;1;\" no;\n}\n",
		name, name, all, name)
}

// writeQueries looks each of a query's first keys up. What they say is put together of one word for each: e
// for an empty one, ky for a known one, k for one that is not, and x for what is neither.
func (k *KnownList) writeQueries(b *bytes.Buffer, prefix string, include includes) {
	name := prefix + "_query"
	k.writeSites(b, name)
	writeAsset(b, name)
	fmt.Fprintf(b, "map $request_uri $%s_plain {\n    default \"\";\n    \"~^[^?]{1,%d}(?:\\?[\\s\\S]{0,%d})?\\z\" 1;\n}\n", name, schemas.MaxQueryText, schemas.MaxQueryText)
	list, all := include("queries.list", k.pieces[0]), ""
	for n := range schemas.MaxQueryKeys {
		fmt.Fprintf(b, "map $request_uri $%s_key%d {\n    default \"\";\n    \"~^[^?]*\\?(?:[^&]*&){%d}([^&=]+)\" $1;\n}\n", name, n, n)
		fmt.Fprintf(b, "map $%s_key%d $%s_word%d {\n    default x;\n    \"\" e;\n    \"~^[A-Za-z0-9._\\-\\[\\]%%]{1,%d}\\z\" k;\n}\n", name, n, name, n, schemas.MaxKnownQuery)
		fmt.Fprintf(b, "map \"${%s_site}:${%s_key%d}\" $%s%d {\n    default \"\";\n%s}\n", name, name, n, name, n, list)
		all += fmt.Sprintf("${%s_word%d}${%s%d}", name, n, name, n)
	}
	fmt.Fprintf(b, "map \"${%s_site};${%s_plain};${%s_asset};%s\" $%s_known {\n    default \"\";\n    \"~^[0-9]+;1;a;\" yes;\n    \"~^[0-9]+;1;;[^;]*x\" \"\";\n    \"~^[0-9]+;1;;(?:e|ky)*\\z\" yes;\n    \"~^[0-9]+;1;;\" no;\n}\n",
		name, name, name, all, name)
}

// asksAnything reports whether a signature is about what a list tells.
func asksAnything(signature schemas.Signature) bool {
	for of := range schemas.NumListed {
		if signature.Asks(of) {
			return true
		}
	}
	return false
}

// maxListBytes bounds the text of all lists that an Enforcer holds: several times what a
// processor tells.
const maxListBytes = 32 << 20

// listKey is which list it is.
type listKey struct {
	of   schemas.Listed
	site string
}

// Known takes what is known of a site, in the place of that before. It reaches nginx where a
// measure asks for it.
func (e *Enforcer) Known(list *schemas.SiteList) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	size, name := 0, listKey{list.Of, list.Site}
	for _, entry := range list.Entries {
		size += len(entry) + 32
	}
	if e.listBytes+size-e.lists[name].size > maxListBytes {
		e.metrics.overflow.Inc()
		return
	}
	e.listBytes += size - e.lists[name].size
	e.lists[name] = heldList{list, size}
	e.listsFor = nil
	for _, m := range e.intended {
		if m.asks(name) {
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

// heldList is a site's list, and what it takes.
type heldList struct {
	*schemas.SiteList
	size int
}

// asks reports whether the measure needs a list.
func (m *Measure) asks(name listKey) bool {
	if m.Scope != schemas.ScopeSignature && m.Scope != schemas.ScopeScore || len(m.Sites) > 0 && !slices.Contains(m.Sites, name.site) {
		return false
	}
	if m.Scope == schemas.ScopeScore {
		score, err := schemas.ParseScore(m.Value)
		return err == nil && score.Asks(name.of)
	}
	signature, err := schemas.ParseSignature(m.Value)
	return err == nil && signature.Asks(name.of)
}

// wanted are the lists that the measures of a set need. The mutex is held.
func (e *Enforcer) wanted(measures []Measure) Lists {
	var lists []*schemas.SiteList
	for name, held := range e.lists {
		if len(held.Entries) > 0 && slices.ContainsFunc(measures, func(m Measure) bool { return m.asks(name) }) {
			lists = append(lists, held.SiteList)
		}
	}
	slices.SortFunc(lists, func(a, b *schemas.SiteList) int {
		return cmp.Or(int(a.Of)-int(b.Of), strings.Compare(a.Site, b.Site))
	})
	if e.listsFor == nil || !slices.Equal(e.listsFor, lists) {
		e.listsNow, e.listsFor = NewLists(lists...), lists
	}
	return e.listsNow
}
