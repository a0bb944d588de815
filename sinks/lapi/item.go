package lapi

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// item is a decision as the protocol has it.
type item struct {
	Duration string `json:"duration"` // "1h2m3s": whole seconds, some bouncers read no fractions
	ID       int64  `json:"id"`
	Origin   string `json:"origin"`
	Scenario string `json:"scenario"` // "weir/" and the decision's id: what weir why explains
	Scope    string `json:"scope"`    // "Ip" or "Range"
	Type     string `json:"type"`     // "ban", "captcha", "throttle"
	Value    string `json:"value"`

	expires time.Time
}

// typeOf is what the protocol calls an action.
func typeOf(a schemas.Action) string {
	switch a {
	case schemas.Block:
		return "ban"
	case schemas.Challenge:
		return "captcha"
	}
	return string(a)
}

// actionOf is the inverse of typeOf; "" for what is none.
func actionOf(kind string) schemas.Action {
	switch kind {
	case "ban":
		return schemas.Block
	case "captcha":
		return schemas.Challenge
	case "throttle":
		return schemas.Throttle
	}
	return ""
}

func itemOf(h held, id int64) item {
	origin := "weir"
	if h.byHand {
		origin = "weir-by-hand"
	}
	return item{ID: id, Origin: origin, Scenario: "weir/" + h.id, Type: typeOf(h.action)}
}

// filter is what one bouncer wants and can hold.
type filter struct {
	ip, ranges bool
	types      []schemas.Action
	sites      []string // empty is all
	origins    []string // empty is all
	with       []string // of these one is in the scenario; empty is all
	without    []string
	// hosts is a bouncer that takes a network for its first address: it is given
	// addresses one by one.
	hosts bool
}

// maxHosts is how many addresses a network may have to be given one by one: an IPv4 /22.
const maxHosts = 1024

// key tells filters apart.
func (f *filter) key() string {
	text, _ := json.Marshal([]any{f.ip, f.ranges, f.types, f.sites, f.origins, f.with, f.without, f.hosts})
	return string(text)
}

func (f *filter) takes(h *held) bool {
	if !slices.Contains(f.types, h.action) {
		return false
	}
	if len(f.sites) > 0 && len(h.sites) > 0 && !slices.ContainsFunc(h.sites, func(s string) bool { return slices.Contains(f.sites, s) }) {
		return false
	}
	if len(f.origins)+len(f.with)+len(f.without) == 0 {
		return true
	}
	i := itemOf(*h, 0)
	in := func(word string) bool { return strings.Contains(i.Scenario, word) }
	return (len(f.origins) == 0 || slices.Contains(f.origins, i.Origin)) &&
		(len(f.with) == 0 || slices.ContainsFunc(f.with, in)) && !slices.ContainsFunc(f.without, in)
}

// unwanted reports whether the bouncer did not ask for such values.
func (f *filter) unwanted(value netip.Prefix) bool {
	if value.IsSingleIP() {
		return !f.ip
	}
	return !f.ranges
}

// spell appends an item for a value: one, or none, or one for each of its addresses.
func (f *filter) spell(to []item, value netip.Prefix, i item) []item {
	if f.unwanted(value) {
		return to
	}
	if value.IsSingleIP() {
		i.Scope, i.Value = "Ip", value.Addr().String()
		return append(to, i)
	}
	if !f.hosts {
		i.Scope, i.Value = "Range", value.String()
		return append(to, i)
	}
	hosts := value.Addr().BitLen() - value.Bits()
	if hosts > 10 || 1<<hosts > maxHosts {
		return to
	}
	for addr := value.Addr(); value.Contains(addr); addr = addr.Next() {
		i.Scope, i.Value = "Ip", addr.String()
		to = append(to, i)
	}
	return to
}

// encode writes an answer, its durations counted from now.
func (a *answer) encode(now time.Time) ([]byte, error) {
	for i := range a.fresh {
		a.fresh[i].Duration = a.fresh[i].expires.Sub(now).Truncate(time.Second).String()
	}
	if a.fresh == nil {
		a.fresh = []item{}
	}
	if a.deleted == nil {
		a.deleted = []item{}
	}
	return json.Marshal(struct {
		Deleted []item `json:"deleted"`
		New     []item `json:"new"`
	}{a.deleted, a.fresh})
}
