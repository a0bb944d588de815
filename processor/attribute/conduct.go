package attribute

import (
	"net/netip"

	"github.com/weir-project/weir/schemas"
)

// seen is what a client has been seen to do, of what no edge stopped.
type seen uint8

const (
	sawPage    seen = 1 << iota // it got a page
	sawAsset                    // it asked for what a page brings with it
	sawRefusal                  // the site itself refused it something, as that there is no such page

	seenBits = 3
)

// seenIn is what a request shows. One that failed shows nothing: whoever gets no page loads no
// assets.
func seenIn(r *schemas.Request, m Mark) seen {
	switch {
	case m.Stopped:
		return 0
	case m.Asset:
		return sawAsset
	case r.Status < 400:
		return sawPage
	case refusedBySite(r.Status):
		return sawRefusal
	}
	return 0
}

// conduct is what a client does, as far as it tells people from bots: one of few values, so
// that how often each is can be counted, together, and nothing must be taken for independent.
type conduct uint16

// The parts of a conduct, each in its bits.
const (
	loadsNothing  conduct = 1 << iota // it got a page, and nothing that the page brings with it
	getsNothing                       // it got no page
	bringsCookie                      // one of its requests carried a cookie
	saysOwnPage                       // one came from a page of this site
	saysElsewhere                     // else: one came from another site
	asksUnknown                       // one was for a path that the site is not known to have
	saysMachine                       // its agent does not claim to be a browser
	isNew                             // it had not been at the site before
	failed                            // the site failed it each time: nothing but its first request tells

	conducts = 2 * failed // more than any
)

// conductOf is what a client does.
func (a *analysis) conductOf(s *Sample, c *client, normal bool) (k conduct) {
	switch {
	case c.seen&sawAsset != 0:
	case c.seen&sawPage != 0:
		k |= loadsNothing
	case c.seen&sawRefusal != 0:
		k |= getsNothing
	default:
		return a.conductAt(s, c, normal, true) | failed
	}
	return k | a.conductAt(s, c, normal, false)
}

// conductAt is what a client shows by its requests, or by the first of them alone.
func (a *analysis) conductAt(s *Sample, c *client, normal, first bool) (k conduct) {
	if c.fresh {
		k |= isNew
	}
	but := uint64(0)
	if normal {
		but = c.id
	}
	x := a.x
	for at := c.head; at >= 0; at = s.rows[at].next {
		if first && at != c.head {
			break
		}
		t := s.rows[at].traits
		x.resolve(&t, a.budget.Paths, but)
		if t[schemas.TraitCookie] == x.some {
			k |= bringsCookie
		}
		switch t[schemas.TraitReferer] {
		case x.referers[1]:
			k |= saysOwnPage
		case x.referers[2]:
			k |= saysElsewhere
		}
		if t[schemas.TraitPathKnown] == x.listed[schemas.ListedPaths][isUnknown] {
			k |= asksUnknown
		}
		switch x.familyNames[t[schemas.TraitAgentFamily]] {
		case schemas.AgentRobot, schemas.AgentTool, schemas.AgentNone:
			k |= saysMachine
		}
	}
	if k&saysOwnPage != 0 {
		k &^= saysElsewhere
	}
	return k
}

// String says it for people.
func (k conduct) String() string {
	text := "loads what pages bring with them"
	switch {
	case k&loadsNothing != 0:
		text = "gets pages and loads nothing of what they bring with them"
	case k&getsNothing != 0:
		text = "asks for what there is not"
	case k&failed != 0:
		text = "has been failed by the site so far, and began"
	}
	for _, p := range [...]struct {
		part      conduct
		yes, none string
	}{
		{bringsCookie, "with a cookie", "no cookie"},
		{saysOwnPage, "from a page of this site", ""},
		{saysElsewhere, "from another site", ""},
		{asksUnknown, "paths unknown to this site", ""},
		{saysMachine, "an agent that is no browser's", ""},
		{isNew, "new here", "seen here before"},
	} {
		said := p.none
		if k&p.part != 0 {
			said = p.yes
		}
		if said != "" {
			text += ", " + said
		}
	}
	return text
}

// Guests are the hashes of the sample's clients, but for those that said they were browsers and
// never did what browsers do: who looks like that may be a bot that came before, and nobody is
// spared for it. They are kept as long as the sample stands still, as the normal one does in an
// incident, and must not be changed.
func (s *Sample) Guests() map[uint64]bool {
	if s.guests != nil {
		return s.guests
	}
	s.guests = make(map[uint64]bool, len(s.clients))
	for i := range s.clients {
		c := &s.clients[i]
		if !s.pretends(c) {
			s.guests[c.id] = true
		}
	}
	return s.guests
}

// leastWalked is how many of a client's requests must say that they come from a page of the site for it to be
// one that goes from page to page: a bot says so at random.
const leastWalked = 2

// pretends reports whether a client said that it was a browser, and neither loaded anything nor brought a cookie
// nor went from page to page. Whoever got no page, because the site was failing, has shown nothing either.
func (s *Sample) pretends(c *client) bool {
	if c.seen&sawAsset != 0 {
		return false
	}
	walked := uint32(0)
	for at := c.head; at >= 0; at = s.rows[at].next {
		t := &s.rows[at].traits
		switch s.x.familyNames[t[schemas.TraitAgentFamily]] {
		case schemas.AgentRobot, schemas.AgentTool, schemas.AgentNone, "":
			return false
		}
		if t[schemas.TraitCookie] == s.x.some {
			return false
		}
		if t[schemas.TraitReferer] == s.x.referers[1] {
			walked += s.rows[at].count
		}
	}
	return walked < leastWalked
}

// Seen is what a client has been seen to do.
type Seen struct {
	seen
	follows bool // it came from a page of this site, or with a cookie
}

// Person reports whether that is what people do: to load what a page brings with it, as a
// browser does on that page.
func (s Seen) Person() bool { return s.seen&sawAsset != 0 && s.follows }

// seenOf is what a client has been seen to do.
func (s *Sample) seenOf(c *client) Seen {
	now := Seen{seen: c.seen}
	for at := c.head; at >= 0; at = s.rows[at].next {
		t := &s.rows[at].traits
		now.follows = now.follows || t[schemas.TraitReferer] == s.x.referers[1] || t[schemas.TraitCookie] == s.x.some
	}
	return now
}

// EachSeen calls yield with every client and what it has been seen to do.
func (s *Sample) EachSeen(yield func(client netip.Addr, now Seen)) {
	for i := range s.clients {
		c := &s.clients[i]
		yield(netip.AddrFrom16(c.addr).Unmap(), s.seenOf(c))
	}
}
