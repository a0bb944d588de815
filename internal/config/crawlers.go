package config

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// crawlerRanges are the addresses that search engines crawl from, as they publish them:
// google: developers.google.com/static/search/apis/ipranges/googlebot.json. bing:
// www.bing.com/toolbox/bingbot.json. They change a few times a year; a newer list can be
// given as a file.
func crawlerRanges() map[string]string {
	return map[string]string{
		"google": `
			34.22.85.0/27 34.64.82.64/28 34.65.242.112/28 34.80.50.80/28 34.88.194.0/28
			34.89.10.80/28 34.89.198.80/28 34.96.162.48/28 34.100.182.96/28 34.101.50.144/28
			34.118.66.0/28 34.118.254.0/28 34.126.178.96/28 34.146.150.144/28 34.147.110.144/28
			34.151.74.144/28 34.152.50.64/28 34.154.114.144/28 34.155.98.32/28 34.165.18.176/28
			34.175.160.64/28 34.176.130.16/28 35.247.243.240/28 66.249.64.0/23 66.249.66.0/24
			66.249.67.0/26 66.249.67.64/27 66.249.68.0/25 66.249.68.128/26 66.249.68.192/27
			66.249.69.0/24 66.249.70.0/23 66.249.72.0/22 66.249.76.0/23 66.249.78.0/24 66.249.79.0/26
			66.249.79.64/27 66.249.79.128/25 192.178.4.0/24 192.178.5.0/27 192.178.6.0/23
			2001:4860:4801:2::/64 2001:4860:4801:c::/64 2001:4860:4801:f::/64 2001:4860:4801:10::/60
			2001:4860:4801:20::/59 2001:4860:4801:40::/63 2001:4860:4801:42::/64
			2001:4860:4801:44::/62 2001:4860:4801:48::/62 2001:4860:4801:4c::/63
			2001:4860:4801:4e::/64 2001:4860:4801:50::/61 2001:4860:4801:58::/63
			2001:4860:4801:60::/59 2001:4860:4801:80::/61 2001:4860:4801:88::/64
			2001:4860:4801:90::/61 2001:4860:4801:a0::/61 2001:4860:4801:a8::/62
			2001:4860:4801:ac::/63 2001:4860:4801:ae::/64 2001:4860:4801:b0::/62
			2001:4860:4801:b4::/63 2001:4860:4801:b6::/64`,
		"bing": `
			13.66.139.0/24 13.66.144.0/24 13.67.10.16/28 13.69.66.240/28 13.71.172.224/28
			20.15.133.160/27 20.36.108.32/28 20.43.120.16/28 20.74.197.0/28 20.79.107.240/28
			20.125.163.80/28 40.77.139.0/25 40.77.167.0/24 40.77.177.0/24 40.77.178.0/23
			40.77.188.0/22 40.77.202.0/24 40.79.131.208/28 40.79.186.176/28 51.105.67.0/28
			52.167.144.0/24 52.231.148.0/28 65.55.210.0/24 139.217.52.0/28 157.55.39.0/24
			191.233.204.224/28 199.30.24.0/23 207.46.13.0/24`,
	}
}

// maxCrawlers bounds a list of published ranges: its bytes, and its prefixes.
const (
	maxCrawlerFile = 4 << 20
	maxCrawlers    = 20_000
)

// crawlerPrefixes are the ranges that an item of 'crawlers' means: a name, or the path of a
// file with a prefix a line or in the form that Google and Bing publish.
func crawlerPrefixes(item string) ([]netip.Prefix, error) {
	if list, ok := crawlerRanges()[item]; ok {
		return parsePrefixes(strings.Fields(list))
	}
	if !strings.ContainsRune(item, '/') {
		return nil, fmt.Errorf("%q is none of %s, and no path of a file", item, strings.Join(slices.Sorted(maps.Keys(crawlerRanges())), ", "))
	}
	f, err := os.Open(item)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCrawlerFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxCrawlerFile {
		return nil, fmt.Errorf("%s is over %d bytes: is it a list of ranges?", item, maxCrawlerFile)
	}
	fields := strings.Fields(string(data))
	var published struct {
		Prefixes []struct {
			IPv4 string `json:"ipv4Prefix"`
			IPv6 string `json:"ipv6Prefix"`
		} `json:"prefixes"`
	}
	if json.Unmarshal(data, &published) == nil {
		fields = nil
		for _, p := range published.Prefixes {
			fields = append(fields, p.IPv4+p.IPv6)
		}
	}
	prefixes, err := parsePrefixes(fields)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", item, err)
	}
	return prefixes, nil
}

// widest are the widest ranges that are taken for a crawler's: a list that is none must not
// allow half of the net.
const widest4, widest6 = 12, 24

func parsePrefixes(fields []string) ([]netip.Prefix, error) {
	if len(fields) == 0 || len(fields) > maxCrawlers {
		return nil, fmt.Errorf("%d ranges; want 1 to %d, one a line", len(fields), maxCrawlers)
	}
	all := make([]netip.Prefix, len(fields))
	for i, field := range fields {
		p, err := netip.ParsePrefix(field)
		if err != nil {
			a, wrong := netip.ParseAddr(field)
			if wrong != nil {
				return nil, fmt.Errorf("%.60q is no prefix such as 66.249.64.0/19", field)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6 {
			return nil, fmt.Errorf("%s is no crawler's range: it is too wide", p)
		}
		all[i] = p.Masked()
	}
	return all, nil
}

// Allowed are the prefixes that are never decided against: 'allow', and those of the search
// engines in 'crawlers'. The configuration was checked.
func (c *Config) Allowed() []netip.Prefix {
	all := slices.Clone(c.Allow)
	for _, item := range c.Crawlers {
		prefixes, err := crawlerPrefixes(item)
		if err != nil {
			continue // it was readable when the configuration was read
		}
		all = append(all, prefixes...)
	}
	return all
}

// AllowedBy is the entry by which nothing is decided against an address, and the key where it stands; "" for neither.
func (c *Config) AllowedBy(addr netip.Addr) (key, entry string) {
	addr = addr.Unmap()
	for _, p := range c.Allow {
		if p.Contains(addr) {
			return "allow", p.String()
		}
	}
	for _, item := range c.Crawlers {
		prefixes, err := crawlerPrefixes(item)
		if err != nil {
			continue // as in Allowed
		}
		for _, p := range prefixes {
			if p.Contains(addr) {
				return "crawlers", item + ", " + p.String()
			}
		}
	}
	return "", ""
}
