package simulate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// profile is how a program speaks: what belongs together in one client.
type profile struct {
	agent    string
	language string
	encoding string
	protocol string
	tls      tlsProfile
	browser  bool // offers brotli and zstd only over TLS
}

// tlsProfile is a TLS library's handshake as nginx logs it.
type tlsProfile struct {
	suite  string // "$ssl_protocol $ssl_cipher"
	curves string
	grease bool    // puts a random value first (RFC 8701)
	resume float64 // share of connections that resume a session: no curves are logged
}

// The libraries that clients speak TLS with; read only. nginx with OpenSSL 3
// names what it knows and prints the rest as numbers (0x11ec: X25519MLKEM768).
var (
	tlsChrome  = tlsProfile{"TLSv1.3 TLS_AES_128_GCM_SHA256", "0x11ec:X25519:prime256v1:secp384r1", true, .45}
	tlsChrome0 = tlsProfile{"TLSv1.3 TLS_AES_128_GCM_SHA256", "X25519:prime256v1:secp384r1", true, .45}
	tlsFirefox = tlsProfile{"TLSv1.3 TLS_AES_128_GCM_SHA256", "0x11ec:X25519:prime256v1:secp384r1:secp521r1:ffdhe2048:ffdhe3072", false, .4}
	tlsSafari  = tlsProfile{"TLSv1.3 TLS_AES_128_GCM_SHA256", "0x11ec:X25519:prime256v1:secp384r1:secp521r1", true, .4}
	tlsSafari0 = tlsProfile{"TLSv1.3 TLS_AES_128_GCM_SHA256", "X25519:prime256v1:secp384r1:secp521r1", true, .4}
	tlsOpenSSL = tlsProfile{"TLSv1.3 TLS_AES_256_GCM_SHA384", "X25519:prime256v1:X448:secp521r1:secp384r1:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192", false, 0}
	tlsOld     = tlsProfile{"TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384", "prime256v1:secp521r1:secp384r1", false, .1}
	tlsGnu     = tlsProfile{"TLSv1.3 TLS_AES_256_GCM_SHA384", "prime256v1:secp384r1:secp521r1:X25519:X448:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192", false, .1}
	tlsGo      = tlsProfile{"TLSv1.3 TLS_AES_128_GCM_SHA256", "0x11ec:X25519:prime256v1:secp384r1:secp521r1", false, 0}
	tlsJava    = tlsProfile{"TLSv1.3 TLS_AES_256_GCM_SHA384", "X25519:prime256v1:secp384r1:secp521r1:X448:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192", false, .2}
)

// connection is what nginx logs of a new connection.
func (t *tlsProfile) connection(r *rand.Rand) string {
	switch {
	case t.suite == "" || chance(r, t.resume):
		return t.suite + " " // resumed: no curves
	case t.grease:
		x := hexDigits[r.IntN(16)]
		return fmt.Sprintf("%s 0x%ca%ca:%s", t.suite, x, x, t.curves)
	}
	return t.suite + " " + t.curves
}

// locales of people, the most frequent first: each as browsers of three
// families write it; read only.
var locales = []struct {
	weight                  float64
	chromium, gecko, webkit string
}{
	{38, "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "de,en-US;q=0.7,en;q=0.3", "de-DE,de;q=0.9"},
	{27, "en-US,en;q=0.9", "en-US,en;q=0.5", "en-US,en;q=0.9"},
	{9, "en-GB,en-US;q=0.9,en;q=0.8", "en-GB,en;q=0.5", "en-GB,en;q=0.9"},
	{6, "de,en-US;q=0.9,en;q=0.8", "de-DE,de;q=0.8,en-US;q=0.5,en;q=0.3", "de-AT,de;q=0.9"},
	{5, "fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7", "fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3", "fr-FR,fr;q=0.9"},
	{4, "nl-NL,nl;q=0.9,en-US;q=0.8,en;q=0.7", "nl,en-US;q=0.7,en;q=0.3", "nl-NL,nl;q=0.9"},
	{3, "pl-PL,pl;q=0.9,en-US;q=0.8,en;q=0.7", "pl,en-US;q=0.7,en;q=0.3", "pl-PL,pl;q=0.9"},
	{3, "es-ES,es;q=0.9", "es-ES,es;q=0.8,en-US;q=0.5,en;q=0.3", "es-ES,es;q=0.9"},
	{2, "ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", "ru-RU,ru;q=0.8,en-US;q=0.5,en;q=0.3", "ru"},
	{1.5, "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN,zh;q=0.8,zh-TW;q=0.7,en-US;q=0.3,en;q=0.2", "zh-CN,zh-Hans;q=0.9"},
	{1, "pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7", "pt-BR,pt;q=0.8,en-US;q=0.5,en;q=0.3", "pt-BR,pt;q=0.9"},
	{.5, "de-DE", "en-US,en;q=0.5", "de-DE"},
}

// family is a browser in its versions, the newest first: most people have the
// first two, some are years behind.
type family struct {
	weight   float64
	phone    bool
	agent    string // %d is the version
	versions []int
	engine   int // column of locales: 0 chromium, 1 gecko, 2 webkit
}

const (
	chromium = iota
	gecko
	webkit
)

const (
	blink   = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0"
	windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
	mac     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
	android = "Mozilla/5.0 (Linux; Android 10; K)"
)

// families are the browsers that people have; read only.
var families = []family{
	{30, false, windows + " " + blink + " Safari/537.36", []int{154, 153, 152, 151, 148, 142, 138, 131, 120, 109}, chromium},
	{7, false, mac + " " + blink + " Safari/537.36", []int{154, 153, 152, 149, 140, 128, 116}, chromium},
	{4, false, "Mozilla/5.0 (X11; Linux x86_64) " + blink + " Safari/537.36", []int{154, 153, 150, 141, 124, 114}, chromium},
	{10, false, windows + " " + blink + " Safari/537.36 Edg/%[1]d.0.0.0", []int{154, 153, 152, 147, 139, 122}, chromium},
	{1.5, false, windows + " " + blink + " Safari/537.36 OPR/125.0.0.0", []int{152, 150, 144}, chromium},
	{9, false, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:%d.0) Gecko/20100101 Firefox/%[1]d.0", []int{158, 157, 156, 153, 140, 128, 115}, gecko},
	{6, false, "Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%[1]d.0", []int{158, 157, 140, 128, 115}, gecko},
	{1.5, false, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:%d.0) Gecko/20100101 Firefox/%[1]d.0", []int{158, 157, 140}, gecko},
	{6, false, mac + " AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.1 Safari/605.1.15", []int{26, 18, 17, 16, 15}, webkit},
	{19, true, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.1 Mobile/15E148 Safari/604.1", []int{26, 18, 17, 16, 15}, webkit},
	{1.5, true, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_%d like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", []int{7, 6, 5, 3}, webkit},
	{16, true, android + " " + blink + " Mobile Safari/537.36", []int{154, 153, 152, 150, 143, 137, 126, 113}, chromium},
	{4, true, android + " AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/%d.0 Chrome/136.0.0.0 Mobile Safari/537.36", []int{30, 29, 28, 25}, chromium},
	{2, true, "Mozilla/5.0 (Android 15; Mobile; rv:%d.0) Gecko/%[1]d.0 Firefox/%[1]d.0", []int{158, 157, 156, 147}, gecko},
}

// agent is the family's agent at a version.
func (f *family) at(version int) string {
	if !strings.Contains(f.agent, "%") {
		return f.agent
	}
	return fmt.Sprintf(f.agent, version)
}

// browsers draws people's profiles.
type browsers struct {
	families, locales table
	versions          []table // of each family
	abroad            bool
}

// newBrowsers are those of an audience; abroad they are others in other shares, and a
// third of them speak HTTP/3.
func newBrowsers(abroad bool) browsers {
	b := browsers{abroad: abroad}
	var f, l []float64
	for i := range families {
		weight := families[i].weight
		if abroad { // more phones, fewer Firefoxes
			weight *= [...]float64{.7, 1.4, .3, 1.5, .5, .5, .2, .4, 1.5, 1.8, 2, 1.5, 3, .5}[i]
		}
		f = append(f, weight)
		b.versions = append(b.versions, zipf(len(families[i].versions), 1.9, 0))
	}
	for i, locale := range locales {
		weight := locale.weight
		if abroad {
			weight = [...]float64{3, 34, 6, 1, 30, 4, 2, 14, 1, 2, 8, .5}[i]
		}
		l = append(l, weight)
	}
	b.families, b.locales = newTable(f), newTable(l)
	return b
}

// draw is one person's browser; where listed, that person is behind the times
// and has one of the agents that are in everybody's lists.
func (b *browsers) draw(r *rand.Rand) (p profile, phone bool) {
	i := b.families.pick(r)
	f := &families[i]
	version := f.versions[b.versions[i].pick(r)]
	if chance(r, .06) {
		f, version = listed(r)
	}
	l := &locales[b.locales.pick(r)]
	p = f.profile(version, [...]string{l.chromium, l.gecko, l.webkit}[f.engine])
	if b.abroad && chance(r, .35) {
		p.protocol = "HTTP/3.0"
	}
	return p, f.phone
}

// update gives who has the newest Chromium the next, up to a share of them; which of them
// first is by a hash. With it come a new agent and a new handshake.
func (p *identity) update(share float64, hash uint64) {
	if float64(hash%1000) >= 1000*share || !strings.Contains(p.agent, "Chrome/154.") {
		return
	}
	p.agent = strings.ReplaceAll(p.agent, "/154.", "/155.")
	p.tls.curves = "0x11ec:0x6399:X25519:prime256v1:secp384r1"
}

func (f *family) profile(version int, language string) profile {
	p := profile{agent: f.at(version), language: language, protocol: "HTTP/2.0", browser: true, encoding: "gzip, deflate, br, zstd"}
	switch f.engine {
	case chromium:
		p.tls = tlsChrome
		if version < 131 {
			p.tls = tlsChrome0
		}
		if version < 123 {
			p.encoding = "gzip, deflate, br"
		}
	case gecko:
		p.tls = tlsFirefox
		if version < 126 {
			p.encoding = "gzip, deflate, br"
		}
	case webkit:
		p.tls, p.encoding = tlsSafari0, "gzip, deflate, br"
		if version >= 26 {
			p.tls = tlsSafari
		}
	}
	return p
}

// listed draws from the lists of browser agents that go round: any family on a
// desktop or phone at any of its versions, new or old.
func listed(r *rand.Rand) (*family, int) {
	f := &families[r.IntN(len(families))]
	return f, one(r, f.versions)
}
