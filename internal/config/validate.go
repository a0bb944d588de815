package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-project/weir/schemas/profile"
)

// validate complains about what is well formed and cannot work.
func (c *Config) validate(d *decoder) {
	if c.Data == "" {
		d.wrong("data", "want a directory")
	}
	if err := checkName(c.Edge.Name); err != nil {
		d.wrong("edge.name", "%v", err)
	}
	c.validateProxies(d)
	checkMode(d, "mode", c.Mode)
	c.validateSources(d)
	c.validateSites(d)
	c.validateAllow(d)
	for i, item := range c.Crawlers {
		if _, err := crawlerPrefixes(item); err != nil {
			d.wrong(fmt.Sprintf("crawlers[%d]", i), "%v", err)
		}
	}
	c.validateNATS(d)
	c.validateClickHouse(d)
	if err := checkListen(c.HTTP.Listen); err != nil {
		d.wrong("http.listen", "%v", err)
	}
	if c.HTTP.SQLTokenFile != "" && c.ClickHouse.DSN != "" {
		d.wrong("http.sql_token_file", "is for the embedded ClickHouse, and clickhouse.dsn names another: let Grafana ask that one")
	}
	between(d, "processor.lateness", c.Processor.Lateness, 0, time.Minute)
	between(d, "processor.max_sites", c.Processor.MaxSites, 1, 100_000)
	between(d, "processor.max_clients", c.Processor.MaxClients, 1000, 100_000_000)
	between(d, "processor.false_incidents", c.Processor.FalseIncidents, 1, 1000)
	between(d, "processor.min_baseline", c.Processor.MinBaseline, 0, 30*day)
	if where := c.CrawlerDNS; where != "" && where != "system" {
		if _, err := netip.ParseAddrPort(where); err != nil {
			d.wrong("crawler_dns", "%q: want system, or the address and port of a resolver such as 127.0.0.1:53", where)
		}
	}
	between(d, "decisions.ttl", c.Decisions.TTL, 10*time.Second, 30*day)
	between(d, "decisions.collateral", c.Decisions.Collateral, 0, 0.1)
	between(d, "decisions.propagation", c.Decisions.Propagation, 0, 10*time.Minute)
	between(d, "decisions.max", c.Decisions.Max, 1, 5_000_000)
	between(d, "decisions.armed_for", c.Decisions.ArmedFor, 0, 366*day)
	if c.Decisions.Probation != 0 {
		between(d, "decisions.probation", c.Decisions.Probation, time.Minute, day)
	}
	between(d, "decisions.longest", c.Decisions.Longest, c.Decisions.TTL, 366*day)
	c.validateNginx(d)
	c.validateOtherEdges(d)
	if v := c.Vitals.Every; v != 0 {
		between(d, "vitals.every", v, 100*time.Millisecond, time.Minute)
	}
	if s := c.Vitals.NginxStatus; s != "" && !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		d.wrong("vitals.nginx_status", "%q: want such as http://127.0.0.1/nginx_status", s)
	}
	oneOf(d, "privacy.addresses", c.Privacy.Addresses, "full", "truncated", "hashed")
	oneOf(d, "privacy.query_values", c.Privacy.QueryValues, "drop", "keep")
	if v := c.Privacy.FullFor; v != 0 {
		between(d, "privacy.full_for", v, time.Hour, 3650*day)
	}
	c.validateNotify(d)
	c.validateStatuspage(d)
	oneOf(d, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(d, "log.format", c.Log.Format, "text", "json")
}

// A shorter prefix of 'allow' is no network of somebody's, but a part of the Internet.
const (
	minAllow4 = 8
	minAllow6 = 16
)

func (c *Config) validateAllow(d *decoder) {
	for i, prefix := range c.Allow {
		path, least := fmt.Sprintf("allow[%d]", i), minAllow6
		if prefix.Addr().Is4() {
			least = minAllow4
		}
		switch {
		case prefix.Bits() == 0:
			d.wrong(path, "would allow everybody; to decide nothing, use mode: observe")
		case prefix.Bits() < least:
			d.wrong(path, "%v would allow a large part of the Internet: want /%d or longer; to decide nothing, use mode: observe", prefix, least)
		}
	}
}

// ProxyNames are the published ranges that 'edge.trusted_proxies' may name, as
// collectors/realip knows them.
func ProxyNames() []string {
	return []string{"cloudflare", "cloudfront", "fastly", "google", "imperva", "private", "sucuri"}
}

func (c *Config) validateProxies(d *decoder) {
	for i, entry := range c.Edge.TrustedProxies {
		path := fmt.Sprintf("edge.trusted_proxies[%d]", i)
		if _, err := netip.ParseAddr(entry); err == nil || slices.Contains(ProxyNames(), entry) {
			continue
		}
		prefix, err := netip.ParsePrefix(entry)
		switch {
		case err != nil && strings.ContainsAny(entry, ".:/"):
			d.wrong(path, "%q is no address and no prefix", entry)
		case err != nil:
			d.wrong(path, "there is no %q; %s", entry, suggestion(entry, ProxyNames()))
		case prefix.Bits() == 0:
			d.wrong(path, "would trust everybody: any client could then say who it is")
		case prefix.Addr().Is4In6():
			d.wrong(path, "%s: write the IPv4 prefix itself", entry)
		}
	}
	if c.Edge.SampleAfter != 0 {
		between(d, "edge.sample_after", c.Edge.SampleAfter, 5*time.Second, day)
	}
	oneOf(d, "edge.proxy_header", c.Edge.ProxyHeader, "x-forwarded-for", "forwarded")
}

func (c *Config) validateSites(d *decoder) {
	for _, site := range slices.Sorted(maps.Keys(c.Sites)) {
		path := "sites." + site
		if err := checkSite(site); err != nil {
			d.wrong(path, "%v", err)
		}
		if c.Sites[site].Mode != "" {
			checkMode(d, path+".mode", c.Sites[site].Mode)
		}
		if name := c.Sites[site].Profile; name != "" {
			oneOf(d, path+".profile", name, profile.Names()...)
		}
		if err := checkPaths(c.Sites[site].AllowPaths); err != nil {
			d.wrong(path+".allow_paths", "%v", err)
		}
	}
}

// maxAllowPaths bounds the paths of a site that no decision touches, maxAllowPath each of them in bytes:
// nginx looks at one after the other.
const maxAllowPaths, maxAllowPath = 32, 255

func checkPaths(paths []string) error {
	if len(paths) > maxAllowPaths {
		return fmt.Errorf("%d paths, at most %d", len(paths), maxAllowPaths)
	}
	for _, p := range paths {
		switch {
		case len(p) < 2 || p[0] != '/' || len(p) > maxAllowPath:
			return fmt.Errorf("%.80q is no path such as /healthz or /hooks/; and / would let everything through", p)
		case strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == '?' || r == '#' || r == '%' }):
			return fmt.Errorf("%.80q has what no path has as nginx sees it: no query, no escapes", p)
		case strings.Contains(p, "//") || strings.Contains(p, "/./") || strings.Contains(p, "/../"):
			return fmt.Errorf("%.80q is not as nginx sees it: it takes out such segments", p)
		}
	}
	return nil
}

func (c *Config) validateNATS(d *decoder) {
	n := c.NATS
	if n.URL != "" {
		for _, one := range strings.Split(n.URL, ",") {
			if u, err := url.Parse(strings.TrimSpace(one)); err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
				d.wrong("nats.url", "want nats://host:port or tls://host:port, several with commas between")
				break
			}
		}
		if n.Listen != "" {
			d.wrong("nats.listen", "is for the embedded server, and nats.url names another: leave out one of them")
		}
	}
	if n.Credentials != "" && n.URL == "" {
		d.wrong("nats.credentials", "are for a server elsewhere: give its nats.url too")
	}
	if n.Listen != "" {
		if err := checkListen(n.Listen); err != nil {
			d.wrong("nats.listen", "%v", err)
		} else if n.Listen == c.HTTP.Listen && !strings.HasSuffix(n.Listen, ":0") {
			d.wrong("nats.listen", "%s is that of http.listen: want another port", n.Listen)
		}
	}
	if (n.TLS.Cert == "") != (n.TLS.Key == "") {
		d.wrong("nats.tls", "want both cert and key, or neither")
	}
	between(d, "nats.disk", n.Disk, 64<<20, 1<<50)
}

func (c *Config) validateClickHouse(d *decoder) {
	if dsn := c.ClickHouse.DSN; dsn != "" {
		u, err := url.Parse(dsn)
		if err != nil || u.Host == "" || !slices.Contains([]string{"clickhouse", "tcp", "http", "https"}, u.Scheme) {
			// Not the DSN itself: it holds a password.
			d.wrong("clickhouse.dsn", "want clickhouse://user:password@host:9000/database")
		}
	}
	between(d, "clickhouse.memory", c.ClickHouse.Memory, 256<<20, 1<<50)
	between(d, "clickhouse.retention", c.ClickHouse.Retention, time.Hour, 3650*day)
	between(d, "clickhouse.rollups.10s", c.ClickHouse.Rollups.Tens, time.Hour, 3650*day)
	between(d, "clickhouse.rollups.1m", c.ClickHouse.Rollups.Minutes, time.Hour, 3650*day)
	between(d, "clickhouse.rollups.1h", c.ClickHouse.Rollups.Hours, time.Hour, 36500*day)
}

func (c *Config) validateOtherEdges(d *decoder) {
	n := c.Nftables
	if len(n.Ports) > 0 && len(c.Edge.TrustedProxies) > 0 {
		d.wrong("nftables.ports", "edge.trusted_proxies says that proxies stand in front of this machine: the firewall sees them, not the clients, and to drop one would refuse everybody behind it; leave out one of the two")
	}
	for i, port := range n.Ports {
		between(d, fmt.Sprintf("nftables.ports[%d]", i), port, 1, 65535)
	}
	between(d, "nftables.lease", n.Lease, 30*time.Second, day)
	between(d, "nftables.sample", n.Sample, 1, 10_000)
	h := c.HAProxy
	for path, value := range map[string]string{"haproxy.socket": h.Socket, "haproxy.map": h.Map} {
		if value != "" && (!filepath.IsAbs(value) || strings.ContainsAny(value, " \t\n;#\"'\\")) {
			d.wrong(path, "%q: want an absolute path without spaces and quotes", value)
		}
	}
	if h.Socket != "" && h.Map == "" {
		d.wrong("haproxy.map", "want the map that HAProxy's configuration names")
	}
	between(d, "haproxy.lease", h.Lease, 30*time.Second, day)
}

func (c *Config) validateNginx(d *decoder) {
	n := c.Nginx
	if n.Directory != "" && !filepath.IsAbs(n.Directory) {
		d.wrong("nginx.directory", "%q is not absolute: nginx would look for it elsewhere", n.Directory)
	}
	if len(n.Test) == 0 {
		d.wrong("nginx.test", "want a command: [nginx, -t]")
	}
	if len(n.Reload) == 0 {
		d.wrong("nginx.reload", "want a command: [nginx, -s, reload]")
	}
	oneOf(d, "nginx.block", n.Block, "page", "silence")
	if !strings.HasPrefix(n.Challenge, "@") {
		oneOf(d, "nginx.challenge", n.Challenge, "throttle", "script", "@NAME of a location")
	} else if checkName(n.Challenge[1:]) != nil {
		d.wrong("nginx.challenge", "%q: want a named location such as @anubis", n.Challenge)
	}
	between(d, "nginx.lease", n.Lease, 30*time.Second, 7*day)
	between(d, "nginx.min_reload_interval", n.MinReloadInterval, 0, 10*time.Minute)
	between(d, "nginx.unknown_rate", n.UnknownRate, 0, 60_000)
	if n.Lease < 2*n.MinReloadInterval {
		d.wrong("nginx.lease", "is not twice nginx.min_reload_interval: it would end between two reloads")
	}
}

// between complains where x is outside of its bounds, which are allowed.
func between[T cmp.Ordered](d *decoder, path string, x, least, most T) {
	if !(x >= least && x <= most) {
		d.wrong(path, "is %s, want %s to %s", show(x), show(least), show(most))
	}
}

func show(x any) string {
	if d, ok := x.(time.Duration); ok {
		return formatDuration(d)
	}
	return fmt.Sprint(x)
}

func oneOf(d *decoder, path, word string, known ...string) {
	if !slices.Contains(known, word) {
		d.wrong(path, "there is no %q; %s", word, suggestion(word, known))
	}
}

func checkMode(d *decoder, path string, m Mode) {
	oneOf(d, path, string(m), string(Observe), string(Propose), string(Enforce))
}

// checkName keeps names out that would break file names, subjects or ids.
func checkName(name string) error {
	if name == "" || len(name) > 255 {
		return errors.New("want a name of 1 to 255 bytes")
	}
	for _, c := range name {
		if c >= utf8.RuneSelf || !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return fmt.Errorf("%q has a %q: want letters, digits, '.', '_' and '-'", name, c)
		}
	}
	return nil
}

// checkSite wants a host name as requests carry it: lower case, no port, no dot at its end,
// other scripts than Latin as xn--.
func checkSite(site string) error {
	if strings.HasPrefix(site, "[") && strings.HasSuffix(site, "]") && net.ParseIP(site[1:len(site)-1]) != nil {
		return nil
	}
	if err := checkName(site); err != nil {
		if strings.ContainsFunc(site, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return fmt.Errorf("%q stands in no request so: write the name as browsers send it (xn--)", site)
		}
		return fmt.Errorf("no site is called that: %w", err)
	}
	if strings.HasSuffix(site, ".") {
		return fmt.Errorf("sites are written without a dot at the end: %s", strings.TrimRight(site, "."))
	}
	if site != strings.ToLower(site) {
		return fmt.Errorf("sites are written in lower case: %s", strings.ToLower(site))
	}
	return nil
}

func checkListen(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%q: want host:port, such as 127.0.0.1:8480", listen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: %q is no port of 0 to 65535", listen, port)
	} else if n == 0 && host == "" {
		return fmt.Errorf("%q: want a host or a port", listen)
	}
	return nil
}
