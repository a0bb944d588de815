package processor

import (
	"net/netip"
	"slices"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Forget drops what is remembered of a client (of IPv6, of its /64), and reports whether
// a second that is still open has it: that one is to be closed first, and Forget called
// again.
func (c *Counter) Forget(client netip.Addr) (open bool) {
	client = schemas.ClientOf(client)
	c.clients.Forget(client)
	for _, s := range c.sites {
		open = open || slices.ContainsFunc(s.panes, func(p *Pane) bool { return p.names(client, c.extract) })
	}
	return open
}

// names reports whether the pane tells of a client by its address.
func (p *Pane) names(client netip.Addr, x *attribute.Extractor) bool {
	address := schemas.ClientOf(client).As16()
	return p.Sample.Has(client) || string(p.Tallies[window.ByClient].Name(uint32(x.ClientHash(address)))) == string(address[:])
}

// Names reports whether a message of panes tells of a client by its address. One that
// cannot be read may.
func (d *Detector) Names(m *schemas.Panes, client netip.Addr) bool {
	panes, err := d.Unpack(m)
	if err != nil {
		return true
	}
	defer d.Release(panes)
	return slices.ContainsFunc(panes, func(p *Pane) bool { return p.names(client, d.extract) })
}

// Forget drops a client (of IPv6, its /64) from all samples, and removes the decisions about it
// alone. What windows say of it passes with them, within ten minutes; it is not saved.
func (d *Detector) Forget(client netip.Addr, emit func(schemas.Event)) {
	client = schemas.ClientOf(client)
	for _, s := range d.sites {
		s.forget(client, emit)
	}
}

func (s *site) forget(client netip.Addr, emit func(schemas.Event)) {
	s.filling.Forget(client)
	for i := range s.buckets {
		if b := &s.buckets[i]; b.sample != nil && b.sample.Forget(client) {
			s.d.held.quarantined--
		}
	}
	before := s.knows()
	for _, n := range s.normal {
		n.Forget(client)
	}
	s.joined = nil
	s.d.held.normal += s.knows() - before
	aside := []*attribute.Sample{s.remembered.people}
	if i := s.incident; i != nil {
		aside = append(aside, i.earlier, i.hurt.People)
	}
	for _, sample := range aside {
		if sample != nil {
			sample.Forget(client)
		}
	}
	address := client.Unmap().String()
	s.remembered.harms = slices.DeleteFunc(s.remembered.harms, func(h harm) bool { return h.Scope == schemas.ScopeClient && h.Value == address })
	s.keepDecisions(func(d *decision) bool {
		if d.Scope != schemas.ScopeClient || d.Value != address {
			return true
		}
		d.Reason = "lifted: the client is to be forgotten"
		s.tell(schemas.DecisionRemoved, d, s.d.knownAt(s.d.closed), emit)
		return false
	})
}
