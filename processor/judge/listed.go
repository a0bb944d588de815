package judge

import (
	"time"

	"github.com/weir-project/weir/schemas"
)

// siteList is what is known of a site from a time on, in unix milliseconds.
type siteList struct {
	from  int64
	known schemas.KnownSet
}

// keptLists bounds the lists of one site that are held for rows that come late.
const keptLists = 8

// Known takes what is known of a site, as of a time: it counts as long after it as a decision
// does, and in the place of that before. Without any, nothing of the site is known or unknown.
func (e *Edge) Known(at time.Time, list *schemas.SiteList) {
	lists := append(e.listed[list.Of][list.Site], siteList{at.UnixMilli() + e.propagation, list.Set()})
	for len(lists) > keptLists {
		lists = append(lists[:0], lists[1:]...)
	}
	if e.listed[list.Of] == nil {
		e.listed[list.Of] = make(map[string][]siteList)
	}
	e.listed[list.Of][list.Site] = lists
}

// computeListed finds whether what a list is of is known of the request.
func (e *Edge) computeListed(of schemas.Listed, r *schemas.Request) traitState {
	lists := e.listed[of][string(r.Site)]
	at := len(lists) - 1
	for at >= 0 && lists[at].from > r.Time {
		at--
	}
	if at < 0 {
		return unknown
	}
	t := of.Trait()
	value, scratch := of.Value(lists[at].known, r, e.scratch[t])
	e.scratch[t] = append(scratch[:0], value...)
	if value == "" {
		return unknown
	}
	return known
}
