package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCrawlersArePublished holds the ranges against a list that others keep.
func TestCrawlersArePublished(t *testing.T) {
	t.Parallel()
	data := os.Getenv("WEIR_TESTDATA")
	if data == "" {
		t.Skip("WEIR_TESTDATA is not set")
	}
	for name, file := range map[string]string{"google": "googlebot.txt", "bing": "bing.txt"} {
		own, err := crawlerPrefixes(name)
		if err != nil {
			t.Fatal(err)
		}
		published, err := crawlerPrefixes(filepath.Join(data, "bots", file))
		if err != nil {
			t.Fatal(err)
		}
		within := func(p netip.Prefix, list []netip.Prefix) bool {
			for _, q := range list {
				if q.Bits() <= p.Bits() && q.Contains(p.Addr()) {
					return true
				}
			}
			return false
		}
		for _, p := range published {
			if !within(p, own) {
				t.Errorf("%s: %s is published and not known", name, p)
			}
		}
	}
}

func TestCrawlers(t *testing.T) {
	t.Parallel()
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "ranges.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := Default()
	c.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	c.Crawlers = []string{"google", write("198.51.100.7\n2001:db8::/48\n"), write(`{"prefixes":[{"ipv4Prefix":"203.0.113.0/27"},{"ipv6Prefix":"2001:db8:1::/64"}]}`)}
	for _, want := range []string{"192.0.2.1", "66.249.66.1", "198.51.100.7", "2001:db8::1", "203.0.113.9", "2001:db8:1::5"} {
		in := false
		for _, p := range c.Allowed() {
			in = in || p.Contains(netip.MustParseAddr(want))
		}
		if !in {
			t.Errorf("%s is not allowed", want)
		}
	}
	for _, wrong := range []string{"gogle", write("0.0.0.0/0\n"), write("not a range\n"), write(""), "/no/such/file"} {
		if _, err := crawlerPrefixes(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	if _, err := Parse("weir.yml", []byte("crawlers: [gogle]\n")); err == nil || !strings.Contains(err.Error(), "crawlers[0]") {
		t.Errorf("error %v, want one that names crawlers[0]", err)
	}
}
