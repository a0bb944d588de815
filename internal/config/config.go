// Package config is what a person may set: one YAML file, strictly read, with
// defaults that work without one. Every error says where, what, and how to mend
// it, and nothing starts before all of the file holds.
package config

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"
)

// Mode is how far decisions on a site go.
type Mode string

// The modes.
const (
	Observe Mode = "observe" // decided, shown, counted, not enforced
	Propose Mode = "propose" // enforced once a person accepts
	Enforce Mode = "enforce"
)

// Size is a number of bytes: `512MiB`.
type Size int64

// Share is a part of a whole, 0 to 1: `0.5%`.
type Share float64

// Config is the whole file. The tags are the keys and their part of
// docs/configuration.md.
type Config struct {
	Data       string          `yaml:"data" doc:"Where everything that lasts is kept: the embedded NATS and ClickHouse, baselines, checkpoints."`
	Mode       Mode            `yaml:"mode" doc:"How far decisions go on a site that 'sites' says nothing about: 'observe' (decided, shown, counted, not enforced), 'propose' (a person accepts) or 'enforce'."`
	Sites      map[string]Site `yaml:"sites" doc:"By a site's name, what is different there; nothing need be. A site that stands here has windows of its own from its first request on, whatever hosts attackers make up, and keeps them."`
	Sources    []Source        `yaml:"sources" doc:"The access logs to follow, and where others push theirs: each item has one of 'file', 'syslog', 'lines', 'http', 'nats', 'journal' and 'pipe'."`
	Edge       Edge            `yaml:"edge" doc:"This machine, as an edge."`
	Allow      []netip.Prefix  `yaml:"allow" doc:"Addresses and prefixes that are never decided against: your own, monitors, partners."`
	Crawlers   []string        `yaml:"crawlers" doc:"Search engines that are never decided against, by the addresses that they publish: 'google', 'bing', or the path of a list, one prefix a line or as they publish it. Whoever only calls himself one is treated like everybody. '[]' is none."`
	CrawlerDNS string          `yaml:"crawler_dns" doc:"Where to ask whether who calls himself a search engine's crawler, and comes from no published range, is one: the name of his address, and the address of that name (Google, Bing, Yahoo, Yandex, Apple, Baidu, Seznam). 'system', or the host:port of a resolver, which then learns these addresses; empty asks nobody."`
	Processor  Processor       `yaml:"processor" doc:"What is going on, and what sets it apart."`
	Decisions  Decisions       `yaml:"decisions" doc:"What follows from it."`
	Vitals     Vitals          `yaml:"vitals" doc:"How this machine is, published beside its requests: seen also while an attack keeps the log silent."`
	Nginx      Nginx           `yaml:"nginx" doc:"The nginx that enforces decisions on this machine."`
	Nftables   Nftables        `yaml:"nftables" doc:"This machine's firewall, for floods that nginx should not even have to refuse."`
	HAProxy    HAProxy         `yaml:"haproxy" doc:"A HAProxy on this machine that enforces decisions on clients and prefixes."`
	HTTP       HTTP            `yaml:"http" doc:"The API, metrics and health of this process."`
	NATS       NATS            `yaml:"nats" doc:"The bus; without a 'url' it is embedded."`
	ClickHouse ClickHouse      `yaml:"clickhouse" doc:"The store; without a 'dsn' it is embedded."`
	Privacy    Privacy         `yaml:"privacy" doc:"What the store keeps of people. See [privacy](privacy.md)."`
	Notify     Notify          `yaml:"notify" doc:"Who is told what."`
	Statuspage Statuspage      `yaml:"statuspage" doc:"What the public is told, and where."`
	Log        Log             `yaml:"log" doc:"What weir says of itself, on standard error."`
}

// Site is what is different for one site.
type Site struct {
	Mode    Mode   `yaml:"mode" doc:"As 'mode' above, for this site." default:"as above"`
	Profile string `yaml:"profile" doc:"The application that the site is, so that its paths are understood: 'discourse', 'gitlab', 'forgejo', 'wordpress', 'woocommerce', 'apt', 'rpm', 'mastodon', 'nextcloud' or 'mattermost'. 'weir check LOG' says which one it looks like." default:"none"`
	// AllowPaths begin with a slash, see validateSites.
	AllowPaths []string `yaml:"allow_paths" doc:"Paths that no decision touches at nginx, such as health checks and webhooks: '/healthz' is that one, '/hooks/' all below it. An attack on them is let through, too. Firewalls and bouncers see no paths: who calls them belongs into 'allow'." default:"none"`
}

// Edge names this machine.
type Edge struct {
	Name           string   `yaml:"name" doc:"What this machine is called in batches and tables; letters, digits, '.', '_', '-'." default:"the machine's own name"`
	TrustedProxies []string `yaml:"trusted_proxies" doc:"Proxies in front of this machine that are believed when they say who the client is: addresses, prefixes, or names of published ranges ('cloudflare', 'cloudfront', 'fastly', 'google', 'imperva', 'sucuri'; 'private' is every private network). See [formats](formats.md#the-client-behind-proxies)."`
	ProxyHeader    string   `yaml:"proxy_header" doc:"The header that they write, as it stands in the log: 'x-forwarded-for' or 'forwarded'."`
	// SampleAfter 0 loses nothing.
	SampleAfter time.Duration `yaml:"sample_after" doc:"How far behind a source may be before, while it does not catch up, the requests of only a part of its clients are sent, all of each, weighted so that counts stay right; '0' sends everything, however late. See [sources](sources.md#overload)."`
}

// Vitals say how this machine is read.
type Vitals struct {
	Every       time.Duration `yaml:"every" doc:"How often; '0' is never."`
	NginxStatus string        `yaml:"nginx_status" doc:"The URL of a location with 'stub_status': 'http://127.0.0.1/nginx_status', or 'http://unix:/run/nginx/status.sock:/nginx_status'; empty is none."`
}

// NATS is where the bus is.
type NATS struct {
	URL         string `yaml:"url" doc:"One or several servers elsewhere, 'nats://a:4222,nats://b:4222'; empty is the embedded one."`
	Credentials string `yaml:"credentials" doc:"A credentials file for the 'url', as 'nsc generate creds' writes it."`
	Listen      string `yaml:"listen" doc:"A host:port on which the embedded server answers other machines; empty is no port. Other than on loopback it needs 'tls'."`
	Disk        Size   `yaml:"disk" doc:"What the embedded server may take on disk in all."`
	TLS         TLS    `yaml:"tls" doc:"PEM files with which both sides prove themselves."`
}

// TLS names PEM files.
type TLS struct {
	CA   string `yaml:"ca" doc:"The authority that signed the other side's certificate."`
	Cert string `yaml:"cert" doc:"This side's certificate."`
	Key  string `yaml:"key" doc:"This side's key."`
}

// ClickHouse is where the store is.
type ClickHouse struct {
	DSN       string        `yaml:"dsn" doc:"A server elsewhere, 'clickhouse://user:password@host:9000/weir'; empty is the embedded one."`
	Library   string        `yaml:"library" doc:"The libchdb.so of the embedded one." default:"where 'make setup' puts it"`
	Memory    Size          `yaml:"memory" doc:"What the embedded one may take of memory."`
	Retention time.Duration `yaml:"retention" doc:"How long requests are kept, from when they were stored."`
	Rollups   Rollups       `yaml:"rollups" doc:"How long each site's figures are kept, which outlive the requests that they were made of; they hold no addresses."`
}

// Privacy says what of requests the store keeps.
type Privacy struct {
	Addresses   string        `yaml:"addresses" doc:"How addresses are kept: 'full', 'truncated' (to the IPv4 /24, the IPv6 /48) or 'hashed' (with a key in the data directory)."`
	FullFor     time.Duration `yaml:"full_for" doc:"After how long 'full' addresses are truncated, within a day; '0' is never."`
	QueryValues string        `yaml:"query_values" doc:"'drop' keeps the keys of queries and not their values (searches, tokens), in referers too; 'keep' keeps both."`
	QueryKeys   []string      `yaml:"query_keys" doc:"Keys whose values are kept nevertheless."`
}

// Rollups say how long figures are kept.
type Rollups struct {
	Tens    time.Duration `yaml:"10s" doc:"Those of 10 seconds."`
	Minutes time.Duration `yaml:"1m" doc:"Those of a minute, and what each decision did."`
	Hours   time.Duration `yaml:"1h" doc:"Those of an hour."`
}

// HTTP is the listener.
type HTTP struct {
	Listen       string `yaml:"listen" doc:"The host:port of the API, '/metrics', '/healthz' and '/readyz'."`
	SQLTokenFile string `yaml:"sql_token_file" doc:"A file with the token with which Grafana reads the embedded ClickHouse at '/api/sql'; empty is nobody."`
}

// Processor bounds and times the processor.
type Processor struct {
	Lateness       time.Duration `yaml:"lateness" doc:"How long a second stays open for requests that are logged late."`
	MaxSites       int           `yaml:"max_sites" doc:"Sites with windows of their own; what comes beyond is watched as one."`
	MaxClients     int           `yaml:"max_clients" doc:"Clients that are remembered at once."`
	FalseIncidents int           `yaml:"false_incidents" doc:"How many false incidents a month are accepted over all sites together: with more, attacks are noticed sooner and by less; with fewer, later and more surely."`
	MinBaseline    time.Duration `yaml:"min_baseline" doc:"How much normal traffic of a site must have been seen before there are decisions on it."`
}

// Decisions bounds and times decisions.
type Decisions struct {
	TTL         time.Duration `yaml:"ttl" doc:"How long a decision holds, unless fresh evidence renews it."`
	Collateral  Share         `yaml:"collateral" doc:"The share of a site's people that all decisions together may touch, at most."`
	Propagation time.Duration `yaml:"propagation" doc:"After how long a decision is taken to be in force at an edge."`
	Max         int           `yaml:"max" doc:"Decisions in force at once, at most."`
	ArmedFor    time.Duration `yaml:"armed_for" doc:"How long signatures that stopped an attack and hurt nobody are kept, 64 a site at most: where the attack returns they are decided at once. '0' is never."`
	Probation   time.Duration `yaml:"probation" doc:"After how long the first enforcement on a site lapses, unless its probes are clean or a person confirms it; '0' is never."`
	Longest     time.Duration `yaml:"longest" doc:"For how long fresh evidence may renew a decision, unless a person has confirmed the incident; what goes on after it is decided anew."`
}

// Nginx is the enforcing nginx.
type Nginx struct {
	Directory         string        `yaml:"directory" doc:"Where weir writes what nginx includes; empty is no nginx on this machine."`
	Test              []string      `yaml:"test" doc:"The command that checks nginx's configuration."`
	Reload            []string      `yaml:"reload" doc:"The command that makes nginx read it again."`
	Lease             time.Duration `yaml:"lease" doc:"How long nginx goes on enforcing without hearing from weir."`
	Block             string        `yaml:"block" doc:"What a blocked client gets: 'page' (403, with a reference to quote) or 'silence' (the connection is closed)."`
	Challenge         string        `yaml:"challenge" doc:"What a challenged client gets: 'throttle' (429), 'script' (a small page of weir's own that sets a cookie by a script), or a named location of your own, such as '@anubis'."`
	UnknownRate       int           `yaml:"unknown_rate" doc:"Where a decision throttles pages that a site is not known to have: how many requests for such a minute pass on each site, by nginx's 'limit_req'; '0' is none. Where nginx has a 'limit_req' of its own, none pass."`
	MinReloadInterval time.Duration `yaml:"min_reload_interval" doc:"The least time between two reloads."`
}

// Nftables is the firewall.
type Nftables struct {
	Ports  []int         `yaml:"ports" doc:"The sites' ports, TCP and UDP, '[80, 443]': packets of blocked clients and prefixes to them are dropped before a connection is made, and nothing else ever is; empty is no firewall. Refused where proxies stand in front of this machine."`
	Lease  time.Duration `yaml:"lease" doc:"How long the kernel goes on without weir."`
	Sample int           `yaml:"sample" doc:"One dropped packet of so many is counted by client, so that weir still sees the attack."`
}

// HAProxy is a HAProxy with a map of weir's.
type HAProxy struct {
	Socket string        `yaml:"socket" doc:"Its runtime API, a unix socket of level 'admin': '/run/haproxy/admin.sock'; empty is no HAProxy."`
	Map    string        `yaml:"map" doc:"The map that its configuration names."`
	Lease  time.Duration `yaml:"lease" doc:"How long it goes on enforcing without hearing from weir."`
}

// Log is weir's own log.
type Log struct {
	Level  string `yaml:"level" doc:"'debug', 'info', 'warn' or 'error'."`
	Format string `yaml:"format" doc:"'text' or 'json'."`
}

// Default is what holds without a file.
func Default() Config {
	name, err := os.Hostname()
	if err != nil || checkName(name) != nil {
		name = "localhost"
	}
	return Config{
		Data:      "/var/lib/weir",
		Mode:      Observe,
		Crawlers:  []string{"google", "bing"},
		Edge:      Edge{Name: name, ProxyHeader: "x-forwarded-for"},
		Processor: Processor{Lateness: 2 * time.Second, MaxSites: 1000, MaxClients: 1_000_000, FalseIncidents: 1, MinBaseline: 20 * time.Minute},
		Decisions: Decisions{TTL: 10 * time.Minute, Collateral: 0.005, Propagation: 2 * time.Second, Max: 500_000, ArmedFor: 21 * 24 * time.Hour,
			Probation: 10 * time.Minute, Longest: 24 * time.Hour},
		HTTP:       HTTP{Listen: "127.0.0.1:8480"},
		NATS:       NATS{Disk: 4 << 30},
		Vitals:     Vitals{Every: time.Second},
		ClickHouse: ClickHouse{Memory: 1 << 30, Retention: 30 * day, Rollups: Rollups{Tens: 90 * day, Minutes: 400 * day, Hours: 1830 * day}},
		Nginx: Nginx{
			Test: []string{"nginx", "-t"}, Reload: []string{"nginx", "-s", "reload"},
			Lease: 5 * time.Minute, MinReloadInterval: 2 * time.Second, Block: "page", Challenge: "throttle", UnknownRate: 12,
		},
		Nftables:   Nftables{Ports: []int{}, Lease: 10 * time.Minute, Sample: 16},
		HAProxy:    HAProxy{Map: "/etc/haproxy/weir.map", Lease: 5 * time.Minute},
		Privacy:    Privacy{Addresses: "full", FullFor: 14 * day, QueryValues: "drop", QueryKeys: []string{}},
		Notify:     defaultNotify(),
		Statuspage: defaultStatuspage(),
		Log:        Log{Level: "info", Format: "text"},
	}
}

// ModeOf is the mode of a site.
func (c *Config) ModeOf(site string) Mode {
	if s, ok := c.Sites[site]; ok && s.Mode != "" {
		return s.Mode
	}
	return c.Mode
}

// AllowedPaths are, by site, the paths that no decision touches.
func (c *Config) AllowedPaths() map[string][]string {
	var paths map[string][]string
	for site, s := range c.Sites {
		if len(s.AllowPaths) > 0 {
			if paths == nil {
				paths = make(map[string][]string)
			}
			paths[site] = s.AllowPaths
		}
	}
	return paths
}

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// Load reads the file at path; "" is no file, and Default.
func Load(path string) (Config, error) {
	if path == "" {
		return Default(), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if len(data) > maxFile {
		return Config{}, fmt.Errorf("configuration: %s is over %d bytes: is it the right file?", path, maxFile)
	}
	return Parse(path, data)
}

// Parse reads a configuration over the defaults. name stands in errors, which
// are one line each, all that there are, in the order of the file:
//
//	weir.yml:3:5: processor.latness: no such key; did you mean "lateness"?
func Parse(name string, data []byte) (Config, error) {
	c := Default()
	d := decoder{name: name, places: map[string]place{}}
	d.document(&c, data)
	if len(d.problems) == 0 {
		c.validate(&d)
	}
	if err := d.err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Where is where a key stands in a file that Load took, such as
// "weir.yml:3:5: sources[0].token_file", or where the nearest one around it does; the key
// alone where there is no such file.
func Where(path, key string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return key
	}
	c, d := Default(), decoder{name: path, places: map[string]place{}}
	d.document(&c, data)
	at := d.placeOf(key)
	return fmt.Sprintf("%s:%d:%d: %s", path, at.line, at.column, key)
}
