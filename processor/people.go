package processor

import (
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// ofProbe stands for a decision where a client that is a probe of any did what none matches: of a signature of pages
// the assets, without which nobody would ever be seen to be a person.
const ofProbe = 0

// paneProbes bounds the probes of one pane: a hundredth of the clients of a second.
const paneProbes = 256

// People is what a pane says of those who are to come through whatever is decided: the
// site's regulars, and the probes that decisions let through.
type People struct {
	Regulars regularCounts
	Probes   []probed
}

// regularCounts are requests of a site's regulars.
type regularCounts struct {
	Requests, Served, Stopped uint32
}

// probed is what a probe of one decision did in a pane.
type probed struct {
	client, decision uint64 // keyed hashes; ofProbe is no decision's
	conduct
}

// conduct is what tells people from bots once they are let through. All count requests.
type conduct struct {
	Requests, Served uint16 // all; those that got something
	Pages, Assets    uint16 // of the served ones
	Follows          uint16 // that say they come from a page of this site
	Cookies          uint16 // that carry a cookie
}

// add counts no more than fits.
func (c *conduct) add(o *conduct) {
	for _, n := range [...]struct{ to, from *uint16 }{
		{&c.Requests, &o.Requests}, {&c.Served, &o.Served}, {&c.Pages, &o.Pages}, {&c.Assets, &o.Assets},
		{&c.Follows, &o.Follows}, {&c.Cookies, &o.Cookies},
	} {
		*n.to = uint16(min(uint32(*n.to)+uint32(*n.from), 1<<16-1))
	}
}

// person reports whether somebody behaves like a person: mostly gets what it asks for, and
// loads what a page brings with it as a browser does on that page, or comes from page to
// page with the cookie that the site gave it. A bot that does all that is a browser, and not
// to be told from people by what it does.
func (c *conduct) person() bool {
	if 2*c.Served < c.Requests || c.Pages == 0 {
		return false
	}
	return c.Assets > 0 && (c.Cookies > 0 || c.Follows > 0) || c.Pages > 1 && c.Cookies > 0 && c.Follows > 0
}

// count takes a request of a probe that was let through: although a decision matches it, or, for ofProbe, as none does.
func (p *People) count(client, decision uint64, r *schemas.Request, asset bool) {
	var c conduct
	c.Requests = 1
	if r.Status < 400 {
		if c.Served = 1; asset {
			c.Assets = 1
		} else {
			c.Pages = 1
		}
	}
	if r.Fields.Has(schemas.FieldReferer) && schemas.RefererKind(r.Referer, r.Site) == "same" {
		c.Follows = 1
	}
	if r.Cookie == schemas.CookieSome {
		c.Cookies = 1
	}
	p.join(&probed{client, decision, c})
}

func (p *People) join(o *probed) {
	for i := range p.Probes {
		if q := &p.Probes[i]; q.client == o.client && q.decision == o.decision {
			q.add(&o.conduct)
			return
		}
	}
	if len(p.Probes) < paneProbes {
		p.Probes = append(p.Probes, *o)
	}
}

// merge adds what another pane of the same second says.
func (p *People) merge(o *People) {
	p.Regulars.add(&o.Regulars)
	for i := range o.Probes {
		p.join(&o.Probes[i])
	}
}

// count takes a request of a regular.
func (c *regularCounts) count(r *schemas.Request, stopped bool) {
	n := r.Stands()
	c.Requests += n
	if stopped {
		c.Stopped += n
	} else if r.Status < 400 {
		c.Served += n
	}
}

func (c *regularCounts) add(o *regularCounts) {
	c.Requests, c.Served, c.Stopped = c.Requests+o.Requests, c.Served+o.Served, c.Stopped+o.Stopped
}

func (p *People) reset() { p.Regulars, p.Probes = regularCounts{}, p.Probes[:0] }

func (p *People) empty() bool { return p.Regulars == regularCounts{} && len(p.Probes) == 0 }

// write appends what there is; nothing is written as nothing where the caller leaves it out.
func (p *People) write(w *state.Writer) {
	w.Uint(uint64(p.Regulars.Requests))
	w.Uint(uint64(p.Regulars.Served))
	w.Uint(uint64(p.Regulars.Stopped))
	w.Uint(uint64(len(p.Probes)))
	for i := range p.Probes {
		q := &p.Probes[i]
		w.Uint(q.client)
		w.Uint(q.decision)
		for _, n := range [...]uint16{q.Requests, q.Served, q.Pages, q.Assets, q.Follows, q.Cookies} {
			w.Uint(uint64(n))
		}
	}
}

func (p *People) read(r *state.Reader) {
	const all = 1<<64 - 1
	p.Regulars = regularCounts{uint32(r.Uint(1<<32 - 1)), uint32(r.Uint(1<<32 - 1)), uint32(r.Uint(1<<32 - 1))}
	for range r.Count(paneProbes) {
		q := probed{client: r.Uint(all), decision: r.Uint(all)}
		for _, n := range [...]*uint16{&q.Requests, &q.Served, &q.Pages, &q.Assets, &q.Follows, &q.Cookies} {
			*n = uint16(r.Uint(1<<16 - 1))
		}
		p.Probes = append(p.Probes, q)
	}
}

// decisionHash is what a decision's id is told from others by in panes.
func decisionHash(seed uint64, id []byte) uint64 { return xxh3.HashSeed(id, seed+7) }
