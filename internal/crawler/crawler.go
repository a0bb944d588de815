// Package crawler verifies search engines as they themselves advise: the name of an address
// (PTR) must be one of the engine's, and that name must have the address (A or AAAA). Who
// only calls himself a crawler fails it. Look-ups are few, slow and far from any request:
// Claim never waits, and Run asks one after the other.
package crawler

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// engine is a crawler that can be verified: a word of its agents, in lower case, and the
// domains of its addresses' names.
type engine struct {
	word    string
	domains []string
}

// engines are as their operators publish it: developers.google.com/search/docs/crawling-indexing/verifying-googlebot,
// www.bing.com/webmasters/help/verifying-bingbot, help.yahoo.com (SLN22600), yandex.com/support/webmaster/robot-workings/check-yandex-robots.html,
// support.apple.com/119829, help.baidu.com/question?prod_id=99&class=476&id=2996,
// o-seznam.cz/napoveda/vyhledavani/en/seznambot-crawler. DuckDuckGo publishes ranges alone.
func engines() []engine {
	return []engine{
		{"googlebot", []string{"googlebot.com", "google.com"}},
		{"bingbot", []string{"search.msn.com"}},
		{"yahoo! slurp", []string{"crawl.yahoo.net"}},
		{"yandex", []string{"yandex.ru", "yandex.net", "yandex.com"}},
		{"applebot", []string{"applebot.apple.com"}},
		{"baiduspider", []string{"baidu.com", "baidu.jp"}},
		{"seznambot", []string{"seznam.cz"}},
	}
}

// Bounds.
const (
	maxWaiting  = 256  // claims that wait; more are dropped, and made again
	maxKnown    = 8192 // clients of which the answer is kept
	maxVerified = 200  // clients that are verified at once
	maxNames    = 4    // names of one address that are looked at
	lookupTime  = 5 * time.Second
	falseFor    = 6 * time.Hour
	failedFor   = 10 * time.Minute
)

// Options are a Verifier's.
type Options struct {
	// Resolver asks; nil is the system's.
	Resolver *net.Resolver
	// Pace is the least time between two clients' look-ups; 200 ms.
	Pace time.Duration
	// VerifiedFor is how long a client counts as verified; 24 h. It is verified anew when it
	// comes after that.
	VerifiedFor time.Duration
	// Verified is told of each client that is what it says, by its name. It may take its time.
	Verified func(ctx context.Context, client netip.Addr, name string) error
	Logger   *slog.Logger // nil is none
}

// Verifier looks whether clients that call themselves crawlers are. Claim is safe for
// concurrent use.
type Verifier struct {
	o       Options
	engines []engine
	claims  chan claim

	mu       sync.Mutex
	known    map[netip.Addr]answer
	verified int // of known
}

type claim struct {
	client netip.Addr
	engine int
}

type answer struct {
	until    time.Time
	waiting  bool
	verified bool
}

// New makes one that asks nothing before Run.
func New(o Options) *Verifier {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Pace == 0 {
		o.Pace = 200 * time.Millisecond
	}
	if o.VerifiedFor == 0 {
		o.VerifiedFor = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Verifier{o: o, engines: engines(), claims: make(chan claim, maxWaiting), known: make(map[netip.Addr]answer)}
}

// Engine says which crawler an agent calls itself, negative where none.
func (v *Verifier) Engine(agent []byte) int {
	if !bytes.ContainsAny(agent, "bBsSyY") {
		return -1
	}
	lower := bytes.ToLower(agent)
	return slices.IndexFunc(v.engines, func(e engine) bool { return bytes.Contains(lower, []byte(e.word)) })
}

// Claim notes that a client calls itself an engine's crawler. Where it is not known whether
// it is, it is looked up in time. It never waits; where too many wait it is dropped.
func (v *Verifier) Claim(client netip.Addr, engine int, now time.Time) {
	client = client.Unmap()
	if engine < 0 || engine >= len(v.engines) || !client.IsGlobalUnicast() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if a, ok := v.known[client]; ok && (a.waiting || now.Before(a.until)) {
		return
	}
	if len(v.known) >= maxKnown && !v.forget(now) {
		return
	}
	select {
	case v.claims <- claim{client, engine}:
		if v.known[client].verified {
			v.verified--
		}
		v.known[client] = answer{waiting: true}
	default:
	}
}

// forget makes room, and reports whether there is any. The mutex is held.
func (v *Verifier) forget(now time.Time) bool {
	for client, a := range v.known {
		if !a.waiting && (!now.Before(a.until) || !a.verified) {
			if a.verified {
				v.verified--
			}
			delete(v.known, client)
		}
		if len(v.known) < maxKnown*3/4 {
			break
		}
	}
	return len(v.known) < maxKnown
}

// expire lets go of who was verified and is so no more: one that comes from ever other addresses, as they do, would else
// soon be no crawler anywhere. The mutex is held.
func (v *Verifier) expire(now time.Time) {
	for client, a := range v.known {
		if a.verified && !now.Before(a.until) {
			v.verified--
			delete(v.known, client)
		}
	}
}

// Run looks up what was claimed, until ctx ends.
func (v *Verifier) Run(ctx context.Context) error {
	pace := time.NewTicker(v.o.Pace)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-v.claims:
			v.settle(ctx, c)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
	}
}

// settle looks one up, and keeps the answer.
func (v *Verifier) settle(ctx context.Context, c claim) {
	name, err := v.lookup(ctx, c)
	a := answer{until: time.Now().Add(falseFor)}
	var failed *net.DNSError
	switch {
	case err == nil && name != "":
		a.verified, a.until = true, time.Now().Add(v.o.VerifiedFor)
	case errors.As(err, &failed) && !failed.IsNotFound:
		a.until = time.Now().Add(failedFor) // nobody answered: that says nothing of the client
	}
	v.mu.Lock()
	if a.verified && v.verified >= maxVerified {
		v.expire(time.Now())
	}
	if a.verified && v.verified >= maxVerified {
		a.verified, a.until = false, time.Now().Add(failedFor)
	}
	tell := a.verified
	v.mu.Unlock()
	if tell {
		if err := v.o.Verified(ctx, c.client, name); err != nil {
			v.o.Logger.Warn("a verified crawler is not spared", "client", c.client, "name", name, "error", err)
			a = answer{until: time.Now().Add(failedFor)}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if a.verified {
		v.verified++
	}
	v.known[c.client] = a
}

// lookup is the client's name where that is the engine's and has the client's address, ""
// where it is not.
func (v *Verifier) lookup(ctx context.Context, c claim) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	names, err := v.o.Resolver.LookupAddr(ctx, c.client.String())
	if err != nil {
		return "", err
	}
	for _, name := range names[:min(len(names), maxNames)] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if !v.engines[c.engine].owns(name) {
			continue
		}
		network := "ip4"
		if c.client.Is6() {
			network = "ip6"
		}
		addresses, err := v.o.Resolver.LookupNetIP(ctx, network, name+".")
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(addresses, func(a netip.Addr) bool { return a.Unmap() == c.client }) {
			return name, nil
		}
	}
	return "", nil
}

func (e engine) owns(name string) bool {
	return slices.ContainsFunc(e.domains, func(domain string) bool { return strings.HasSuffix(name, "."+domain) })
}
