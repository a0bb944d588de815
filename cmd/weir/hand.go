package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

// handRules are what a decision by hand may not touch: a slip of it, at three in the morning,
// must not lock out everybody, or whoever makes it.
type handRules struct {
	allow []netip.Prefix // nothing is enforced on it: said, not refused
	edges []netip.Prefix // where proxies are, and many visitors behind each
	own   []ownAddress
}

// ownAddress is one that must not be refused, and what it is.
type ownAddress struct {
	address netip.Addr
	what    string
}

// handRules are those of the configuration.
func (p *program) handRules(own bool) (*handRules, config.Config, error) {
	c, err := p.configuration()
	if err != nil {
		return nil, c, err
	}
	rules, err := newHandRules(c, own)
	return rules, c, err
}

// newHandRules looks at the configuration and at this machine; own says that even its own
// addresses may be decided against.
func newHandRules(c config.Config, own bool) (*handRules, error) {
	trust, err := newTrust(c, nil)
	if err != nil {
		return nil, err
	}
	r := &handRules{allow: c.Allowed(), edges: trust.Edges()}
	if own {
		return r, nil
	}
	if from, _, ok := strings.Cut(os.Getenv("SSH_CONNECTION"), " "); ok { // sshd(8)
		if addr, err := netip.ParseAddr(from); err == nil {
			r.own = append(r.own, ownAddress{schemas.ClientOf(addr), "where you are connected from"})
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return r, nil // that this machine's are not known is no reason not to stop an attack
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			r.own = append(r.own, ownAddress{schemas.ClientOf(prefix.Addr()), "this machine's own address"})
		}
	}
	return r, nil
}

// check says why a decision must not be taken, or by which entry of the allowlist nothing comes
// of it, which is invalid where there is none.
func (r *handRules) check(e *schemas.Event) (allowed netip.Prefix, err error) {
	if e.Action == schemas.Allow {
		return allowed, nil
	}
	value, err := e.Network()
	if err != nil { // a signature, a site
		return allowed, nil
	}
	for _, edges := range r.edges {
		if edges.Overlaps(value) {
			return allowed, fmt.Errorf("%s is where proxies are (%s): all visitors behind them would be hit; decide against the clients that they name, or on a signature", e.Value, edges)
		}
	}
	for _, a := range r.allow {
		if a.Overlaps(value) {
			allowed = a
			if a.Bits() <= value.Bits() { // all of it: whoever's it is, nothing comes of it
				return allowed, nil
			}
		}
	}
	for _, own := range r.own {
		if value.Contains(own.address) {
			return allowed, fmt.Errorf("%s would refuse %s, %s; --own where that is meant", e.Value, own.address, own.what)
		}
	}
	return allowed, nil
}

// sitesByHand are sites as nginx's $host names them, or what is wrong with one.
func sitesByHand(names []string) ([]string, error) {
	sites := make([]string, 0, len(names))
	for _, name := range names {
		site := strings.ToLower(name)
		if site == "" || len(site) > schemas.MaxSite || strings.ContainsFunc(site, notInSite) {
			return nil, fmt.Errorf("site %s is not a name that a request can be for: give a host such as shop.example.org, or xn--bcher-kva.example for an international one", printable(strconv.Quote(name), 80))
		}
		sites = append(sites, site)
	}
	if len(sites) == 0 {
		return nil, nil
	}
	return sites, nil
}

// notInSite reports whether a character is in no host, a literal IPv6 address (in brackets) included.
func notInSite(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_[]:", r)
}

// enforceable says why no edge can hold what a person decided: nginx carries all that any can.
func enforceable(e schemas.Event) error {
	var err error
	if e.Scope == schemas.ScopeClient || e.Scope == schemas.ScopePrefix { // of these a list may have a million
		_, err = e.Network()
	} else if m, ok := nginx.MeasureOf(e); ok {
		err = nginx.Check(m)
	}
	if err != nil {
		return fmt.Errorf("no edge can enforce that: %w", err)
	}
	return nil
}

// ordinary are the values of traits that visitors have, too; an empty list: every value.
var ordinary = map[schemas.Trait][]string{
	schemas.TraitMethod:      {"GET", "HEAD", "POST"},
	schemas.TraitProtocol:    {"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"},
	schemas.TraitReferer:     {},
	schemas.TraitCookie:      {},
	schemas.TraitPathKnown:   {schemas.PathKnown},
	schemas.TraitAgentKnown:  {schemas.PathKnown},
	schemas.TraitQueryKnown:  {schemas.PathKnown},
	schemas.TraitAgentFamily: {"edge", "opera", "samsung", "firefox", "chrome", "safari", "browser"},
}

// isBroad reports whether a decision is on all visitors of a site, or on a signature of nothing but
// what ordinary ones send.
func isBroad(e *schemas.Event) bool {
	if e.Scope == schemas.ScopeSite || e.Scope == schemas.ScopeScore { // of a score nobody sees whom it refuses
		return true
	}
	signature, err := schemas.ParseSignature(e.Value)
	if e.Scope != schemas.ScopeSignature || err != nil {
		return false
	}
	return !slices.ContainsFunc(signature, func(t schemas.TraitValue) bool {
		values, known := ordinary[t.Trait]
		return !known || len(values) > 0 && !slices.Contains(values, t.Value)
	})
}
