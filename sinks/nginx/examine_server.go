package nginx

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// loggedTo reports whether a log of the format weir is written.
func loggedTo(block []directive) bool {
	return slices.ContainsFunc(block, func(d directive) bool {
		return d.is("access_log") && len(d.words) > 2 && d.words[2] == "weir"
	})
}

// fromHTTP is what a server has from http { }.
type fromHTTP struct {
	logged  bool // a log in the format weir
	proxies bool // proxies that are believed
}

// inServer looks at one server { }.
func (x *examination) inServer(d *directive, above fromHTTP) {
	name, early, included := nameOf(d.block), "", false
	for i := range d.block {
		one := &d.block[i]
		switch {
		case x.includes(one, x.server):
			included = true
		case !included && (one.is("return") || one.is("rewrite") || one.is("if")) && !strings.HasPrefix(one.where, x.server+":"):
			if early == "" {
				early = one.where
			}
		default:
			x.trusted(one)
		}
	}
	if redirects(d.block) {
		return // it answers with another address and has nothing to protect
	}
	switch {
	case !included:
		x.say(true, d.where, "include "+x.server+";", "server %s lacks weir's snippet: it is logged, and nothing is enforced there", name)
	case early != "":
		x.say(true, early, "move it behind the include", "server %s answers before weir's snippet is looked at", name)
	}
	if x.Proxied && !above.proxies && !trusts(d.block) {
		x.say(true, d.where, "set_real_ip_from 192.0.2.0/24; # the proxies' own networks", "server %s takes the proxies in front of it for its visitors: there is no set_real_ip_from", name)
	}
	own := slices.ContainsFunc(d.block, func(o directive) bool { return o.is("access_log") })
	logged := own && loggedTo(d.block) || !own && above.logged
	if logged {
		x.unlogged(name, d.block)
	} else {
		x.say(false, d.where, "access_log /var/log/nginx/weir.log weir;", "server %s is not logged in the format weir: traits that only it carries are unknown there", name)
	}
}

// redirects reports whether all that a server does is to name another address.
func redirects(block []directive) bool {
	found := false
	for i := range block {
		switch d := &block[i]; {
		case d.is("return") && len(d.words) > 1 && (strings.HasPrefix(d.words[1], "30") || strings.HasPrefix(d.words[1], "http") || d.words[1] == "444"):
			found = true
		case d.open:
			return false
		}
	}
	return found
}

// anyName looks for sites that answer to any name: for each address that nginx listens on, the server that takes what
// no other is for, which is the first where none says that it is. Requests under a name that nobody has are of a site
// of which nothing is known, so that whoever attacks under one is not noticed.
func (x *examination) anyName(http []directive) {
	takes := make(map[string]*directive)
	listens := make(map[string]directive)
	var order []string
	for i := range http {
		server := &http[i]
		if !server.is("server") {
			continue
		}
		for _, l := range listensOf(server.block) {
			at := l.words[1]
			_, taken := takes[at]
			if !taken {
				order = append(order, at)
			}
			if !taken || slices.Contains(l.words[2:], "default_server") || slices.Contains(l.words[2:], "default") {
				takes[at], listens[at] = server, l
			}
		}
	}
	var open []*directive
	first := ""
	for _, at := range order {
		if server := takes[at]; !refuses(server.block) && !slices.Contains(open, server) {
			if len(open) == 0 {
				first = at
			}
			open = append(open, server)
		}
	}
	if len(open) == 0 {
		return
	}
	mend := "server { listen " + first + " default_server; server_name _; return 444; }"
	if slices.Contains(listens[first].words, "ssl") {
		mend = "server { listen " + first + " ssl default_server; server_name _; ssl_reject_handshake on; }"
	}
	more := ""
	if n := len(open) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more, each on an address of its own)", n)
	}
	x.say(false, open[0].where, mend, "server %s%s answers to any name, also to those that are no site's: an attack under one of these is not noticed", nameOf(open[0].block), more)
}

// listensOf are a server's listen directives, each with one address; nginx's own default where there is none.
func listensOf(block []directive) (all []directive) {
	for _, d := range block {
		if !d.is("listen") || len(d.words) < 2 {
			continue
		}
		d.words = slices.Clone(d.words)
		if _, err := strconv.Atoi(d.words[1]); err == nil {
			d.words[1] = "*:" + d.words[1]
		}
		all = append(all, d)
	}
	if all == nil {
		all = []directive{{words: []string{"listen", "*:80"}}}
	}
	return all
}

// refuses reports whether a server has nothing to show: it answers with another address or an error, or does not
// finish the handshake.
func refuses(block []directive) bool {
	return slices.ContainsFunc(block, func(d directive) bool {
		return len(d.words) > 1 && (d.is("return") && !strings.HasPrefix(d.words[1], "2") || d.is("ssl_reject_handshake") && d.words[1] == "on")
	})
}

// nameOf is what a server is called.
func nameOf(block []directive) string {
	for i := range block {
		if d := &block[i]; d.is("server_name") && len(d.words) > 1 {
			return strings.Join(d.words[1:], " ")
		}
	}
	return "(no name)"
}

// includes reports whether a directive includes a file, by its name or a pattern.
func (x *examination) includes(d *directive, path string) bool {
	if !d.is("include") || len(d.words) < 2 {
		return false
	}
	matched, err := filepath.Match(d.words[1], path)
	return d.words[1] == path || err == nil && matched
}

// unlogged looks for locations whose requests weir does not see, although it sees the others.
func (x *examination) unlogged(name string, block []directive) {
	for i := range block {
		d := &block[i]
		if !d.is("location") || x.weirs(d) {
			continue
		}
		if slices.ContainsFunc(d.block, func(o directive) bool { return o.is("access_log") }) && !loggedTo(d.block) {
			x.say(false, d.where, "no access_log of its own there, or one in the format weir", "server %s does not log %s for weir: who asks for that alone is not seen, and visitors seem to load less than they do",
				name, strings.Join(d.words, " "))
			continue
		}
		x.unlogged(name, d.block)
	}
}

// weirs reports whether a directive stands in weir's own snippet.
func (x *examination) weirs(d *directive) bool { return strings.HasPrefix(d.where, x.server+":") }

// trusts reports whether somebody is believed to say who the client is.
func trusts(block []directive) bool {
	return slices.ContainsFunc(block, func(d directive) bool { return d.is("set_real_ip_from") })
}

// trusted looks at who is believed to say who the client is.
func (x *examination) trusted(d *directive) {
	if !d.is("set_real_ip_from") || len(d.words) < 2 {
		return
	}
	if network, err := netip.ParsePrefix(d.words[1]); err == nil && (network.Addr().Is4() && network.Bits() < 8 || network.Bits() < 16 && !network.Addr().Is4()) {
		x.say(true, d.where, "name the proxies' own networks", "everybody may say who he is: set_real_ip_from %s", d.words[1])
	}
}

// keepsIdle is the first nginx with keepalive_min_timeout.
var keepsIdle = [3]int{1, 27, 4}

// kept looks whether a reload leaves kept connections open until their next request.
func (x *examination) kept(http *directive) {
	var v [3]int
	if n, err := fmt.Sscanf(x.Version, "%d.%d.%d", &v[0], &v[1], &v[2]); n < 3 || err != nil || slices.Compare(v[:], keepsIdle[:]) < 0 {
		return
	}
	if !slices.ContainsFunc(http.block, func(d directive) bool { return d.is("keepalive_min_timeout") }) {
		x.say(false, http.where, "keepalive_min_timeout 10s;", "keepalive_min_timeout is not set: every reload closes kept connections, some with a request on its way")
	}
}

// limits says what a limit_req of the site's own means for weir's.
func (x *examination) limits(http *directive) {
	if own := findLimit(http.block, x.http+":"); own != nil {
		x.say(false, own.where, "", "%s is the site's own: beside it weir sets no limit for unknown pages, and refuses all that a decision throttles", own.words[0])
	}
}
