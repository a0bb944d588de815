package simulate

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// joinAfter is how long an attack goes on before people come who speak as it does: what stops it has long been
// harmless by then.
const joinAfter = 7 * time.Minute

// joinedScenarios are attacks whose traits people begin to share midway, so that what was harmless begins to
// hurt. They are played closed: who is stopped loads no assets, and only those who are let through to see can
// show who they are.
func joinedScenarios() []Scenario {
	joined := func(name, says string, cast func(*stage, *plot) []source) Scenario {
		return Scenario{Name: name, Says: says, Attack: true, Joined: true, Closed: true, role: "shop", span: 22 * time.Minute, build: func(_ *Params, s *plot) {
			s.add(func(st *stage) []source { return cast(st, s) })
		}}
	}
	return []Scenario{
		joined("golive", "a flood by a program; midway the shop's new app goes live, which speaks as it does", func(st *stage, s *plot) []source {
			return []source{st.programFlood(appProfile), st.crowd("app", s.scaled(1500), st.begin+joinAfter, 5*time.Minute, st.joiner(appProfile, false))}
		}),
		joined("shift", "the same; midway a large customer's people begin to work, behind a proxy that speaks as it does", func(st *stage, s *plot) []source {
			p := libraryOf(st.c.Seed, st.c.Plain)
			p.agent = families[0].at(families[0].versions[5+int(st.c.Seed%5)]) // the customer's browser of some years ago
			return []source{st.programFlood(p), st.crowd("shift", s.scaled(900), st.begin+joinAfter, 4*time.Minute, st.joiner(p, true))}
		}),
	}
}

// appProfile is how applications for phones speak where nobody has told them otherwise; read only.
var appProfile = library("okhttp/4.12.0", "gzip", "HTTP/2.0", tlsJava)

// programFlood asks for pages that there are, so that only how it speaks sets it apart.
func (st *stage) programFlood(p profile) *assault {
	n := st.assault("b")
	n.requests, n.addresses = n.scaled(22000), n.scaled(8000)
	n.profile = func(*rand.Rand) profile { return p }
	n.ask = func(r *rand.Rand) (*Resource, string) { x := one(r, n.site.pages); return x, x.uri(r) }
	n.dress = nil
	return n.prepare()
}

// joiner is somebody who comes to use the site, and speaks as a profile does: from anywhere and without
// referers, as an app has it, or from a customer's own network and known to the site.
func (st *stage) joiner(p profile, customer bool) func(*rand.Rand, uint64) (Actor, script) {
	office := st.a.network.offices[7].As4()
	return func(r *rand.Rand, number uint64) (Actor, script) {
		actor, s := st.a.visitOf(st.site, r, mix(st.seed, label("joiner"), number)>>24, customer, nil)
		v := s.(*reading)
		v.who.profile, v.who.assets, v.who.cookies, v.who.referer = p, true, true, customer
		v.tls, v.referer, v.joined = p.tls.connection(r), "", true
		v.pages = 1 + geometric(r, 2.5, 12)
		if customer { // a machine each, of a few hundred in one network
			at := binary.BigEndian.Uint32(office[:])&^0x3ff | uint32(1+r.IntN(1022))
			v.client = addrOf(at)
			actor.ID = "k" + v.client.String()
		}
		return actor, v
	}
}
