package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Source is where requests come from: files, or what others push. Exactly one of the
// keys before Format is set.
type Source struct {
	File    string `yaml:"file" doc:"A path, or a pattern of paths: '/var/log/nginx/*access.log'."`
	Syslog  string `yaml:"syslog" doc:"Where to listen for syslog: 'udp://127.0.0.1:5514', 'tcp://...', 'tls://...', 'unixgram:///run/weir/syslog.sock' (datagrams, as nginx sends them) or 'unix:///...' (a stream)."`
	Lines   string `yaml:"lines" doc:"Where to listen for lines without a header, as Caddy sends them: addresses as for 'syslog'."`
	HTTP    string `yaml:"http" doc:"The host:port on which lines are taken by HTTP POST."`
	NATS    string `yaml:"nats" doc:"The subject to which others publish lines: 'weir.ingest.combined'. Its last word is the format, where that is a format's name."`
	Journal string `yaml:"journal" doc:"Units of the systemd journal whose messages are lines, with commas between: 'nginx.service'."`
	Pipe    string `yaml:"pipe" doc:"A named pipe that a server writes its log to, made where it is missing; '-' is standard input."`

	Format    string `yaml:"format" doc:"The format's name, or 'auto': found by itself, for each sender."`
	Site      string `yaml:"site" doc:"The site of all its requests, where the format does not carry it."`
	Group     string `yaml:"group" doc:"The group that may write to the unix socket or the pipe, such as 'www-data'." default:"weir's own"`
	Directory string `yaml:"directory" doc:"Of 'journal': the journal's directory, where it is not this machine's."`
	TokenFile string `yaml:"token_file" doc:"Of 'http': a file with the token that senders give as 'Authorization: Bearer TOKEN'."`
	TokenEnv  string `yaml:"token_env" doc:"Of 'http': the environment variable with that token."`
	Spool     Size   `yaml:"spool" doc:"How much of what was pushed may wait on disk, while NATS is away; beyond it senders wait, and datagrams are dropped."`
	Rate      int    `yaml:"rate" doc:"Lines a second that are taken, at most, of 'syslog' and 'lines'."`
	TLS       TLS    `yaml:"tls" doc:"PEM files of 'tls://' and of 'http' (which is then https); with a 'ca' senders must have a certificate that it signed."`
}

// defaultSource is what an item of Sources starts from.
func defaultSource() Source { return Source{Format: "auto", Spool: 1 << 30, Rate: 200_000} }

// Kind is the key that says where a source's requests come from, and its value; "" where
// there is none or several.
func (s *Source) Kind() (kind, value string) {
	for _, one := range s.kinds() {
		if one.value != "" {
			if kind != "" {
				return "", ""
			}
			kind, value = one.kind, one.value
		}
	}
	return kind, value
}

type sourceKind struct{ kind, value string }

func (s *Source) kinds() []sourceKind {
	return []sourceKind{
		{"file", s.File}, {"syslog", s.Syslog}, {"lines", s.Lines}, {"http", s.HTTP}, {"nats", s.NATS}, {"journal", s.Journal}, {"pipe", s.Pipe},
	}
}

func (c *Config) validateSources(d *decoder) {
	seen := map[string]bool{}
	for i := range c.Sources {
		s := &c.Sources[i]
		path := fmt.Sprintf("sources[%d]", i)
		kind, value := s.Kind()
		if kind == "" {
			d.wrong(path, "want one of file, syslog, lines, http, nats, journal and pipe, and only one")
			continue
		}
		if seen[kind+value] {
			d.wrong(path+"."+kind, "%s is named twice", value)
		}
		seen[kind+value] = true
		if err := s.check(kind, value); err != nil {
			d.wrong(path+"."+kind, "%v", err)
		}
		s.validateKeys(d, path, kind, value)
		if s.Format == "" {
			d.wrong(path+".format", "want a format's name, or auto")
		}
		if s.Site != "" {
			if err := checkSite(s.Site); err != nil {
				d.wrong(path+".site", "%v", err)
			}
		}
	}
}

// check looks at what the kind's own key says.
func (s *Source) check(kind, value string) error {
	switch kind {
	case "file":
		if _, err := filepath.Match(value, ""); err != nil {
			return fmt.Errorf("%q is no pattern: a '[' without its ']'?", value)
		}
	case "syslog", "lines":
		network, address, err := SplitListen(value)
		if err != nil {
			return err
		}
		return s.checkOpen(network, address)
	case "http":
		if err := checkListen(value); err != nil {
			return err
		}
		if !isLoopback(value) && s.TokenFile == "" && s.TokenEnv == "" && s.TLS.CA == "" {
			return fmt.Errorf("%q can be reached from other machines: give a token_file or a token_env, or tls with a ca, or listen on 127.0.0.1", value)
		}
	case "nats":
		last, ok := strings.CutPrefix(value, "weir.ingest.")
		if !ok || checkName(last) != nil || strings.Contains(last, ".") {
			return fmt.Errorf("%q: want weir.ingest. and one word behind it, such as weir.ingest.combined", value)
		}
	case "journal":
		for _, unit := range strings.Split(value, ",") {
			if err := checkUnit(strings.TrimSpace(unit)); err != nil {
				return err
			}
		}
	case "pipe":
		if value != "-" && !filepath.IsAbs(value) {
			return fmt.Errorf("%q is not absolute: whoever writes to it would look for it elsewhere", value)
		}
	}
	return nil
}

// checkOpen wants proof of who sends, of all that other machines can reach.
func (s *Source) checkOpen(network, address string) error {
	switch network {
	case "tls":
		if s.TLS.Cert == "" {
			return errors.New("needs a certificate: give tls a cert and a key")
		}
		if !isLoopback(address) && s.TLS.CA == "" {
			return fmt.Errorf("%q can be reached from other machines, and everybody could send: give tls a ca, which signed the senders' certificates", address)
		}
	case "udp", "tcp":
		if !isLoopback(address) {
			return fmt.Errorf("%q can be reached from other machines, and %s does not tell who sends: listen on 127.0.0.1, or use tls:// with a ca", address, network)
		}
	}
	return nil
}

// validateKeys complains about keys that the kind has no use for.
func (s *Source) validateKeys(d *decoder, path, kind, value string) {
	only := func(key string, set bool, kinds ...string) {
		if set && !slices.Contains(kinds, kind) {
			d.wrong(path+"."+key, "is for %s, not for %s", strings.Join(kinds, " and "), kind)
		}
	}
	only("group", s.Group != "", "syslog", "lines", "pipe")
	only("directory", s.Directory != "", "journal")
	only("token_file", s.TokenFile != "", "http")
	only("token_env", s.TokenEnv != "", "http")
	only("tls", s.TLS != TLS{}, "syslog", "lines", "http")
	if s.Group != "" && (kind == "syslog" || kind == "lines") && !strings.HasPrefix(value, "unix") {
		d.wrong(path+".group", "is for unix sockets")
	}
	if s.TokenFile != "" && s.TokenEnv != "" {
		d.wrong(path+".token_env", "beside a token_file: leave out one of them")
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") || s.TLS.CA != "" && s.TLS.Cert == "" {
		d.wrong(path+".tls", "want both cert and key")
	}
	if s.TLS.Cert != "" && (kind == "syslog" || kind == "lines") && !strings.HasPrefix(value, "tls:") {
		d.wrong(path+".tls", "is for tls://")
	}
	between(d, path+".spool", s.Spool, 1<<20, 1<<50)
	between(d, path+".rate", s.Rate, 1, 100_000_000)
}

// SplitListen takes an address apart: "udp://127.0.0.1:5514" is network "udp" and address
// "127.0.0.1:5514", "unixgram:///run/s" is "unixgram" and "/run/s".
func SplitListen(listen string) (network, address string, err error) {
	wrong := fmt.Errorf("%q: want udp://host:port, tcp://host:port, tls://host:port, unixgram:///path or unix:///path", listen)
	u, err := url.Parse(listen)
	if err != nil || u.RawQuery != "" || u.User != nil {
		return "", "", wrong
	}
	switch u.Scheme {
	case "udp", "tcp", "tls":
		if u.Path != "" {
			return "", "", wrong
		}
		if err := checkListen(u.Host); err != nil {
			return "", "", err
		}
		return u.Scheme, u.Host, nil
	case "unixgram", "unix":
		if u.Host != "" || !filepath.IsAbs(u.Path) {
			return "", "", wrong
		}
		if len(u.Path) > 107 { // unix(7), sun_path
			return "", "", fmt.Errorf("%q: a socket's path has at most 107 bytes", listen)
		}
		return u.Scheme, u.Path, nil
	}
	return "", "", wrong
}

// isLoopback reports whether only this machine reaches a host:port.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// checkUnit wants a unit's name as systemd has them (systemd.unit(5)).
func checkUnit(unit string) error {
	if unit == "" || len(unit) > 255 || unit[0] == '-' {
		return fmt.Errorf("%q is no unit: want such as nginx.service", unit)
	}
	for _, c := range unit {
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune(`:-_.\@`, c)) {
			return fmt.Errorf("%q has a %s: want a unit such as nginx.service", unit, strconv.QuoteRune(c))
		}
	}
	if !strings.Contains(unit, ".") {
		return fmt.Errorf("%q: want the unit with its kind: %s.service", unit, unit)
	}
	return nil
}
