package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// allowedText says by which entry of the configuration nothing touches an address; "" where something may.
func allowedText(c *config.Config, addr netip.Addr) string {
	key, entry := c.AllowedBy(addr)
	if key == "" {
		return ""
	}
	return fmt.Sprintf("%s is allowed (%s: %s): nothing is decided against it, and no edge stops it, whatever matches it.", addr, key, printable(entry, 200))
}

// sayAllowed tells of an address that nothing touches, and reports whether it is one.
func (c *whyCommand) sayAllowed(w io.Writer, p *program) (bool, error) {
	addr, err := netip.ParseAddr(c.Subject)
	if err != nil {
		return false, nil
	}
	configuration, err := p.configuration()
	if err != nil {
		return false, err
	}
	text := allowedText(&configuration, addr)
	if text != "" && c.Output == "text" {
		fmt.Fprintln(w, text)
	}
	return text != "", nil
}

// openPaths are what is let through on the sites of an incident, whatever matches it; "" for nothing.
func openPaths(paths map[string][]string, events []schemas.Event) string {
	var sites []string
	for _, e := range events {
		for _, site := range e.Sites {
			if len(paths[site]) > 0 && !slices.Contains(sites, site) {
				sites = append(sites, site)
			}
		}
	}
	for i, site := range sites {
		sites[i] = printable(site, 60) + " " + printable(strings.Join(paths[site], " "), 160)
	}
	return strings.Join(sites, "; ")
}
