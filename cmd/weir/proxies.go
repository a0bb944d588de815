package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/realip"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// newTrust is which proxies the configuration believes, and more besides.
func newTrust(c config.Config, more []string) (*realip.Trust, error) {
	trust, err := realip.NewTrust(append(append([]string(nil), c.Edge.TrustedProxies...), more...))
	if err != nil {
		return nil, usageError{fmt.Errorf("trusted proxies: %w", err)}
	}
	return trust, nil
}

// proxyHeader is the header that they write.
func proxyHeader(c config.Config) realip.Header {
	if c.Edge.ProxyHeader == "forwarded" {
		return realip.Forwarded
	}
	return realip.ForwardedFor
}

// resolver tells clients behind proxies in past logs.
func (l *logFlags) resolver(c config.Config) (*realip.Resolver, error) {
	trust, err := newTrust(c, l.Trust)
	if err != nil {
		return nil, err
	}
	return realip.New(realip.Options{Trust: trust, Header: proxyHeader(c)}), nil
}

// newResolvers makes what tells clients in the logs that are followed, one for each,
// because each serves one goroutine; and what sees which applications their sites are.
func newResolvers(c config.Config, apps *applications, log *slog.Logger, r prometheus.Registerer) (each func() func(*schemas.Request), err error) {
	trust, err := newTrust(c, nil)
	if err != nil {
		return nil, err
	}
	o := realip.Options{Trust: trust, Header: proxyHeader(c), Metrics: realip.NewMetrics(r), Found: warnOfEdges(log, proxyHeader(c))}
	tell := apps.telling(log)
	return func() func(*schemas.Request) {
		resolver := realip.New(o)
		return func(r *schemas.Request) {
			resolver.Resolve(r)
			tell(r)
		}
	}, nil
}

// warnOfEdges logs, once for a site, that its clients cannot be told.
func warnOfEdges(log *slog.Logger, header realip.Header) func(realip.Finding) {
	return func(f realip.Finding) {
		log.Warn("the peers of a site are mostly proxies: its clients cannot be told apart, and what is decided against one hits all behind it",
			"site", f.Site, "proxies", networkOf(f), "requests", f.Requests, "of_proxies", f.Edges, "mend", mendProxies(f, header))
	}
}

// networkOf is whose proxies a finding is about.
func networkOf(f realip.Finding) string {
	if f.Network == "" {
		return "trusted proxies"
	}
	return f.Network
}

// mendProxies says what to do about a finding.
func mendProxies(f realip.Finding, header realip.Header) string {
	name, variable, key := "X-Forwarded-For", "$http_x_forwarded_for", "forwarded_for"
	if header == realip.Forwarded {
		name, variable, key = "Forwarded", "$http_forwarded", "forwarded"
	}
	log := fmt.Sprintf("log the header %s as well (nginx: \"%s\" in the log_format, in weir's as the key %s), or have the server apply it (nginx: set_real_ip_from, real_ip_header)", name, variable, key)
	trust := fmt.Sprintf("trust them: edge: {trusted_proxies: [%s]} in the configuration, or --trust %s", f.Network, f.Network)
	switch {
	case f.Trusted && f.Header:
		return fmt.Sprintf("they are trusted, but what stands in %s is no address: is it the header that they write?", name)
	case f.Trusted:
		return log
	case f.Header:
		return trust
	}
	return log + ", and " + trust
}

// shownFindings bounds what is said of sites behind proxies.
const shownFindings = 5

// printEdges says which sites' clients cannot be told.
func printEdges(w io.Writer, found []realip.Finding, header realip.Header) {
	for i, f := range found {
		if i == shownFindings {
			fmt.Fprintf(w, "  proxies          and %d sites more\n", len(found)-i)
			break
		}
		site := f.Site
		if site == "" {
			site = "this site"
		}
		fmt.Fprintf(w, "  proxies          %s: %s of %s requests come from %s itself, not from clients\n", printable(site, 80), count(f.Edges), count(f.Requests), strings.ToLower(networkOf(f)))
		fmt.Fprintf(w, "                   to mend it: %s\n", mendProxies(f, header))
	}
}
