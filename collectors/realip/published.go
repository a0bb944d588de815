package realip

import (
	"net/netip"
	"strings"
)

// published are ranges from which a name's proxies connect to the servers behind
// them, as their owners publish them. They change a few times in a decade; what is
// missing here can be given as a prefix.
//
// Sources: cloudflare: www.cloudflare.com/ips. fastly: api.fastly.com/public-ip-list.
// cloudfront: the services CLOUDFRONT and CLOUDFRONT_ORIGIN_FACING of
// ip-ranges.amazonaws.com/ip-ranges.json (cloudfront.go). google: "Firewall rules"
// of Google's external application load balancers. imperva: "Imperva IP addresses"
// of its documentation. sucuri: "Prevent Sucuri firewall bypass" of its
// documentation. private: RFC 1918, RFC 4193, RFC 6598, and loopback and link-local
// addresses.
func published() map[string]string {
	return map[string]string{
		"cloudflare": `
			173.245.48.0/20 103.21.244.0/22 103.22.200.0/22 103.31.4.0/22 141.101.64.0/18
			108.162.192.0/18 190.93.240.0/20 188.114.96.0/20 197.234.240.0/22 198.41.128.0/17
			162.158.0.0/15 104.16.0.0/13 104.24.0.0/14 172.64.0.0/13 131.0.72.0/22
			2400:cb00::/32 2606:4700::/32 2803:f800::/32 2405:b500::/32 2405:8100::/32
			2a06:98c0::/29 2c0f:f248::/32`,
		"fastly": `
			23.235.32.0/20 43.249.72.0/22 103.244.50.0/24 103.245.222.0/23 103.245.224.0/24
			104.156.80.0/20 140.248.64.0/18 140.248.128.0/17 146.75.0.0/17 151.101.0.0/16
			157.52.64.0/18 167.82.0.0/17 167.82.128.0/20 167.82.160.0/20 167.82.224.0/20
			172.111.64.0/18 185.31.16.0/22 199.27.72.0/21 199.232.0.0/16
			2a04:4e40::/32 2a04:4e42::/32`,
		"google": `
			35.191.0.0/16 130.211.0.0/22 2600:2d00:1:1::/64 2600:2d00:1:b029::/64`,
		"imperva": `
			199.83.128.0/21 198.143.32.0/19 149.126.72.0/21 103.28.248.0/22 45.64.64.0/22
			185.11.124.0/22 192.230.64.0/18 107.154.0.0/16 45.60.0.0/16 45.223.0.0/16
			131.125.128.0/17 2a02:e980::/29`,
		"sucuri": `
			192.88.134.0/23 185.93.228.0/22 66.248.200.0/22 208.109.0.0/22 2a02:fe80::/29`,
		"cloudfront": cloudfront,
		Private: `
			10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 127.0.0.0/8
			fc00::/7 fe80::/10 ::1/128`,
	}
}

// Private is the name of a machine's own and a site's own networks: no CDN's.
const Private = "private"

// prefixes reads a list of the above.
func prefixes(list string) []netip.Prefix {
	fields := strings.Fields(list)
	all := make([]netip.Prefix, len(fields))
	for i, field := range fields {
		all[i] = netip.MustParsePrefix(field) // held by a test
	}
	return all
}
