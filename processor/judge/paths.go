package judge

import (
	"time"

	"github.com/weir-project/weir/schemas"
)

// pathList is what paths a site is known to have from a time on, in unix milliseconds.
type pathList struct {
	from  int64
	known map[string]struct{}
}

// keptLists bounds the lists of one site that are held for rows that come late.
const keptLists = 8

// Known takes the paths that a site is known to have, as of a time: they count as long
// after it as a decision does, and in the place of those before. Without any, no path of
// the site is known or unknown.
func (e *Edge) Known(at time.Time, list *schemas.SitePaths) {
	known := make(map[string]struct{}, len(list.Paths))
	for _, path := range list.Paths {
		known[path] = struct{}{}
	}
	lists := append(e.paths[list.Site], pathList{at.UnixMilli() + e.propagation, known})
	for len(lists) > keptLists {
		lists = append(lists[:0], lists[1:]...)
	}
	e.paths[list.Site] = lists
}

// computePath finds whether the request's path is known.
func (e *Edge) computePath(r *schemas.Request) traitState {
	lists := e.paths[string(r.Site)]
	at := len(lists) - 1
	for at >= 0 && lists[at].from > r.Time {
		at--
	}
	if at < 0 || len(lists[at].known) == 0 {
		return unknown
	}
	key, ok := schemas.KnownPath(e.scratch[schemas.TraitPathKnown][:0], r.Path)
	if !ok {
		return unknown
	}
	value := schemas.PathUnknown
	if _, found := lists[at].known[string(key)]; found || schemas.AssetPath(key) {
		value = schemas.PathKnown
	}
	e.scratch[schemas.TraitPathKnown] = append(key[:0], value...)
	return known
}
