package attribute

import "github.com/weir-project/weir/schemas"

// Live is what a signature or a score does now.
type Live struct {
	Clients  int     // suspect clients that it matches
	Requests float64 // their requests that it matches, in the sample
	// Regulars are the suspect clients that the normal sample knows, or that the site
	// knows from an earlier day; Touched those of them that the signature matches, with an agent
	// that they had before: others come from behind a shared address.
	Regulars, Touched int
	// Shown are those of the clients that the site does not know who were seen to do something and never stopped, and
	// People those of them who behaved as people do.
	Shown, People int
}

// Look tells what a rule matches among the suspects; normal is the normal sample. paths says
// which paths are known, nil of none.
func Look(normal, suspect *Sample, rule Rule, paths *Resolver) (live Live) {
	guests, agents := normal.Guests(), normal.agentsOfGuests()
	match := suspect.x.matcher(rule)
	var traits Traits
	for i := range suspect.clients {
		c, matched, known := &suspect.clients[i], false, false
		from := networksOf(c.addr)
		for at := c.head; at >= 0; at = suspect.rows[at].next {
			traits = suspect.rows[at].traits
			if suspect.x.resolve(&traits, paths, 0); match(&traits, &from) {
				matched = true
				known = known || agents[agentOf(c.id, &traits)] || c.regular && suspect.oneAgent(c)
				live.Requests += float64(suspect.rows[at].count)
			}
		}
		if c.regular || guests[c.id] {
			live.Regulars++
		}
		if matched {
			live.Clients++
			if known {
				live.Touched++
			}
			if c.seen != 0 && !c.stopped && !c.regular && !guests[c.id] {
				live.Shown++
				if suspect.seenOf(c).Person() {
					live.People++
				}
			}
		}
	}
	return live
}

// agentOf is a client with an agent, as agentsOfGuests knows it.
func agentOf(client uint64, t *Traits) uint64 { return mix(client ^ uint64(t[schemas.TraitUserAgent])) }

// agentsOfGuests are the Guests with the agents that each had, kept as long as they are.
func (s *Sample) agentsOfGuests() map[uint64]bool {
	if s.agents != nil {
		return s.agents
	}
	guests := s.Guests()
	s.agents = make(map[uint64]bool, len(guests))
	for i := range s.clients {
		c := &s.clients[i]
		if !guests[c.id] {
			continue
		}
		for at := c.head; at >= 0; at = s.rows[at].next {
			s.agents[agentOf(c.id, &s.rows[at].traits)] = true
		}
	}
	return s.agents
}

// oneAgent reports whether all requests of a client have the same agent: several are of people who share
// an address, of whom one may be known.
func (s *Sample) oneAgent(c *client) bool {
	agent := s.rows[c.head].traits[schemas.TraitUserAgent]
	for at := c.head; at >= 0; at = s.rows[at].next {
		if s.rows[at].traits[schemas.TraitUserAgent] != agent {
			return false
		}
	}
	return true
}
