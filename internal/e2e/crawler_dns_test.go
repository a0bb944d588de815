package e2e

import (
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a DNS server of one's own: whose name is whose.
type names struct {
	address  string
	pointers map[string]string     // of names in in-addr.arpa
	hosts    map[string]netip.Addr // of names
	mu       sync.Mutex
	silent   bool // answers nobody
	asked    map[string]int
}

// startNames serves over UDP until the test ends.
func startNames(t *testing.T, pointers map[string]string, hosts map[string]netip.Addr) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{address: conn.LocalAddr().String(), pointers: pointers, hosts: hosts, asked: make(map[string]int)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			length, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := n.reply(buffer[:length]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return n
}

func (n *names) reply(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	n.mu.Lock()
	n.asked[name]++
	silent := n.silent
	n.mu.Unlock()
	if silent {
		return nil
	}
	m.Header.Response, m.Additionals = true, nil
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, Type: q.Type, TTL: 60}
	pointer, pointed := n.pointers[name]
	host, known := n.hosts[name]
	switch {
	case pointed && q.Type == dnsmessage.TypePTR:
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(pointer + ".")}}}
	case known && q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: host.As4()}}}
	case !pointed && !known:
		m.Header.RCode = dnsmessage.RCodeNameError
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

// count is how often a name was asked of.
func (n *names) count(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}

// TestCrawlersAreVerifiedByDNS: a real nginx is told to spare who is the search engine's crawler that he says he is, by his name
// and back, whatever else is decided; not who has a pointer to its name that does not lead back, who has none, or of
// whom nobody answers.
func TestCrawlersAreVerifiedByDNS(t *testing.T) {
	needClickHouse(t)
	const crawler, liar, nobody, late = "198.51.100.20", "198.51.100.21", "198.51.100.22", "198.51.100.23"
	name := "crawl-198-51-100-20.googlebot.com"
	dns := startNames(t, map[string]string{"20.100.51.198.in-addr.arpa": name, "21.100.51.198.in-addr.arpa": name},
		map[string]netip.Addr{name: netip.MustParseAddr(crawler)})
	e := startEdge(t)
	data := filepath.Join(t.TempDir(), "data")
	config := e.config(t, data, "crawler_dns: "+dns.address+"\n")
	w := startWith(t, config)
	until(t, "weir takes decisions", func() bool {
		_, err := weir(t, "decisions", "list", "--data", data)
		return err == nil
	})
	crawl := func(client string) {
		q, err := http.NewRequest(http.MethodGet, "http://"+e.address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = "www.example.org"
		q.Header.Set("X-Forwarded-For", client)
		q.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	for _, client := range []string{nobody, liar, crawler} {
		crawl(client)
	}
	mustWeir(t, "decisions", "add", "--data", data, "prefix", "198.51.100.0/24")
	until(t, "nginx refuses the network", func() bool { return e.answers("198.51.100.99", http.StatusForbidden) })
	until(t, "nginx spares the crawler", func() bool { return e.answers(crawler, http.StatusOK) })
	until(t, "the others are asked of", func() bool {
		return dns.count("21.100.51.198.in-addr.arpa") > 0 && dns.count("22.100.51.198.in-addr.arpa") > 0
	})
	for _, client := range []string{liar, nobody} {
		if !e.answers(client, http.StatusForbidden) {
			t.Errorf("%s, which is none, is spared", client)
		}
	}
	list := mustWeir(t, "decisions", "list", "--data", data)
	t.Logf("decisions list:\n%s", list)
	if !strings.Contains(list, crawler) || strings.Contains(list, liar) || strings.Contains(list, nobody) {
		t.Errorf("the list is not of the one that is verified:\n%s", list)
	}
	why := mustWeir(t, "why", "--data", data, crawler)
	t.Logf("why:\n%s", why)
	if !strings.Contains(why, name) {
		t.Errorf("weir why does not say by which name:\n%s", why)
	}
	if n := dns.count("20.100.51.198.in-addr.arpa"); n > 2 {
		t.Errorf("its name was asked for %d times", n)
	}

	dns.mu.Lock()
	dns.silent = true
	dns.mu.Unlock()
	crawl(late)
	until(t, "the one that comes last is asked of", func() bool { return dns.count("23.100.51.198.in-addr.arpa") > 0 })
	if !e.answers(late, http.StatusForbidden) {
		t.Error("who is not answered for is spared")
	}
	w.end(t)
	t.Logf("log:\n%s", w.log)
}
