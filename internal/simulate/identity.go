package simulate

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
)

// identity is what stays the same about a person from visit to visit. It is drawn
// anew from the person's number whenever needed, so that people cost no memory.
type identity struct {
	profile
	id       string
	phone    bool
	cookies  bool // accepts them
	assets   bool // loads them: not text browsers, and not those whose network keeps them
	referer  bool // sends it
	address  func(r *rand.Rand) netip.Addr
	patience float64 // median seconds they wait for an answer
}

// audience draws people and programs, the same ones on every site of an estate.
type audience struct {
	seed     uint64
	plain    bool
	network  *network
	browsers browsers
	updated  float64 // share of those with the newest Chromium who have the next
}

// person is who has a number.
func (a *audience) person(number uint64) identity {
	r := stream(a.seed, label("person"), number)
	p := identity{id: "p" + strconv.FormatUint(number, 36), cookies: true, assets: true, referer: true}
	p.profile, p.phone = a.browsers.draw(r)
	p.patience = 6 + 10*r.Float64()
	p.address = a.home(r, p.phone)
	switch odd := r.Float64(); {
	case odd < .03: // no cookies
		p.cookies = false
	case odd < .06: // a browser or an extension that keeps the referer to itself
		p.referer = false
	case odd < .07: // both, in a browser that looks like everybody's of its kind
		p.cookies, p.referer = false, false
		p.language = "en-US,en;q=0.5"
	case odd < .10: // a company's proxy reads along: its TLS, its protocol, their browser
		p.protocol, p.tls, p.encoding = "HTTP/1.1", tlsOpenSSL, "gzip, deflate"
	case odd < .103: // an old one that strips what it does not know
		p.protocol, p.tls, p.encoding, p.language = "HTTP/1.1", tlsOld, "gzip", ""
		p.referer = false
	case odd < .106:
		p.assets, p.cookies = false, false
		p.profile = profile{agent: "Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.8.9", language: "en", encoding: "gzip, compress, bzip2, br", protocol: "HTTP/1.0", tls: tlsGnu}
	case odd < .108:
		p.profile = profile{agent: "w3m/0.5.3+git20230121", language: "en;q=1.0", encoding: "gzip, compress, bzip, bzip2, deflate", protocol: "HTTP/1.0", tls: tlsOpenSSL}
		p.assets = false
	case odd < .13: // a network that keeps the assets
		p.assets = false
	}
	return p
}

// home is where a person's requests come from.
func (a *audience) home(r *rand.Rand, phone bool) func(*rand.Rand) netip.Addr {
	mobile := .06
	if phone {
		mobile = .3
	}
	carrier, fixed := r.IntN(5), r.Float64()
	switch {
	case chance(r, mobile): // another of the carrier's shared addresses on every visit
		return func(r *rand.Rand) netip.Addr { return a.network.carrierV4(r, carrier) }
	case fixed < .05:
		office := one(r, a.network.offices)
		return func(*rand.Rand) netip.Addr { return office }
	case fixed < .33:
		prefix := v6(r)
		return func(r *rand.Rand) netip.Addr { return withInterface(r, prefix) }
	case fixed < .45:
		far := a.network.worldV4(r)
		return func(*rand.Rand) netip.Addr { return far }
	}
	near := a.network.homeV4(r)
	return func(*rand.Rand) netip.Addr { return near }
}

// program is a program's number: its place on the net stays the same.
func (a *audience) program(kind string, number uint64) (id string, address netip.Addr, r *rand.Rand) {
	r = stream(a.seed, label(kind), number)
	address = a.network.hostingV4(r)
	switch fixed := r.Float64(); {
	case fixed < .2:
		address = withInterface(r, v6(r))
	case fixed < .4:
		address = a.network.homeV4(r)
	}
	return kind + strconv.FormatUint(number, 36), address, r
}

// request fills in what a profile says of itself; tls is the connection's.
func (a *audience) request(p *profile, site *Site, client netip.Addr, tls string, x *Resource, uri string) Request {
	q := Request{
		Patience: 60e9, Site: site.Name, Client: client, Method: x.Method, URI: uri,
		Protocol: p.protocol, UserAgent: p.agent, AcceptLanguage: p.language,
		AcceptEncoding: p.encoding, TLS: tls, resource: x,
	}
	if a.plain { // no HTTP/2 without TLS, and browsers offer brotli only with it
		q.TLS = "  "
		if q.Protocol == "HTTP/2.0" {
			q.Protocol = "HTTP/1.1"
		}
		if p.browser {
			q.AcceptEncoding = "gzip, deflate"
		}
	}
	return q
}

func (a *audience) scheme() string {
	if a.plain {
		return "http://"
	}
	return "https://"
}
