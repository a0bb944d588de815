package processor

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sort"

	"github.com/weir-project/weir/schemas"
)

// traffic makes requests of one small site in tests: visits of people, a few
// tools, and on demand a botnet or a crowd. Everything from one seed.
type traffic struct {
	r    *rand.Rand
	site string
	rows []schemas.Request
}

const start = int64(1_795_000_000_000)

type profile struct{ agent, language, encoding, tls, protocol string }

var browsers = func() (out []profile) {
	for v := range 12 {
		out = append(out,
			profile{fmt.Sprintf("Mozilla/5.0 Firefox/%d.0", 140+v), "en-US,en;q=0.5", "gzip, deflate, br, zstd", "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519:prime256v1", "HTTP/2.0"},
			profile{fmt.Sprintf("Mozilla/5.0 Chrome/%d.0.0.0 Safari/537.36", 140+v), "de-DE,de;q=0.9", "gzip, deflate, br, zstd", "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519:secp384r1", "HTTP/2.0"})
	}
	return out
}()

var tool = profile{"curl/8.5.0", "", "", "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:X448", "HTTP/1.1"}
var library = profile{"", "", "gzip, deflate", "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:X448", "HTTP/1.1"}

func newTraffic(seed uint64) *traffic {
	return &traffic{r: rand.New(rand.NewPCG(seed, 7)), site: "www.example.org"}
}

func (t *traffic) client() netip.Addr {
	v := t.r.Uint32()
	return netip.AddrFrom4([4]byte{byte(v>>24)%200 + 1, byte(v >> 16), byte(v >> 8), byte(v)})
}

func (t *traffic) add(at int64, client netip.Addr, p *profile, path, referer string, cookie bool, status uint16) {
	q := schemas.Request{
		Time: start + at, Client: client, Status: status, Cookie: schemas.CookieNone, Site: []byte(t.site),
		Fields: schemas.FieldSite | schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage |
			schemas.FieldAcceptEncoding | schemas.FieldTLS | schemas.FieldCookie | schemas.FieldDuration | schemas.FieldAction,
		Method: []byte("GET"), Path: []byte(path), Protocol: []byte(p.protocol), Referer: []byte(referer),
		UserAgent: []byte(p.agent), AcceptLanguage: []byte(p.language), AcceptEncoding: []byte(p.encoding), TLS: []byte(p.tls),
		Duration: 20_000,
	}
	if cookie {
		q.Cookie = schemas.CookieSome
	}
	t.rows = append(t.rows, q)
}

// people come from 'from' to 'to' milliseconds, so many visits a second.
func (t *traffic) people(from, to int64, visits float64) {
	for at := float64(from); ; {
		at += t.r.ExpFloat64() * 1000 / visits
		if int64(at) >= to {
			return
		}
		t.visit(int64(at), fmt.Sprintf("/page%d", int(t.r.ExpFloat64()*8)))
	}
}

func (t *traffic) visit(at int64, page string) {
	client, p := t.client(), browsers[t.r.IntN(len(browsers))]
	if t.r.IntN(12) == 0 {
		t.add(at, client, &tool, "/feed.xml", "", false, 200)
		return
	}
	referer := ""
	for i := range 1 + t.r.IntN(4) {
		t.add(at, client, &p, page, referer, i > 0, 200)
		referer = "https://" + t.site + page
		for j := range 2 {
			t.add(at+100+int64(j), client, &p, fmt.Sprintf("/asset%d.css", j), referer, i > 0, 200)
		}
		at += 2000 + int64(t.r.ExpFloat64()*8000)
		page = fmt.Sprintf("/page%d", int(t.r.ExpFloat64()*8))
	}
}

// botnet sends so many requests of so many addresses to random pages.
func (t *traffic) botnet(from, to int64, requests, addresses int) {
	clients := make([]netip.Addr, addresses)
	for i := range clients {
		clients[i] = t.client()
	}
	for i := range requests {
		p := library
		p.agent = browsers[t.r.IntN(len(browsers))].agent
		t.add(from+t.r.Int64N(to-from), clients[i%addresses], &p, fmt.Sprintf("/x%d/%x", t.r.IntN(99), t.r.Uint32()), "", false, 404)
	}
}

// crowd comes to one page, as people do.
func (t *traffic) crowd(from, to int64, visits int) {
	for range visits {
		t.visit(from+t.r.Int64N(to-from), "/page1")
	}
}

// batches are the rows so far in the order of time.
func (t *traffic) batches(size int) []*schemas.Batch {
	sort.SliceStable(t.rows, func(i, j int) bool { return t.rows[i].Time < t.rows[j].Time })
	var out []*schemas.Batch
	for i := 0; i < len(t.rows); i += size {
		b := schemas.NewBuilder("edge", "source")
		for j := i; j < min(i+size, len(t.rows)); j++ {
			b.Append(&t.rows[j])
		}
		out = append(out, b.Batch())
	}
	return out
}
