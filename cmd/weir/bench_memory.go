package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// memoryTraffic makes the request of a number; it is given the same one to fill each time.
type memoryTraffic struct {
	name, title string
	rate        uint64 // requests a second of event time
	fill        func(g *generator, n uint64, r *schemas.Request)
	quiet       uint64 // before so many requests an eighth of the rate comes
}

func memoryTraffics() []memoryTraffic {
	return []memoryTraffic{
		{"random", "hosts, paths, agents, addresses: all random", 10_000, fillRandom, 0},
		{"million", "1,000,000 clients on 1,000 sites", 10_000, fillMillion, 0},
		{"spread", "1,000,000 clients, each on all of 1,000 sites", 10_000, fillSpread, 0},
		{"attacked", "1,000 sites, all attacked at once after half an hour", attackedRate, fillAttacked, attackedQuiet},
	}
}

// generator makes requests without memory of its own to speak of.
type generator struct {
	r    *rand.Rand
	text [256]byte
}

const benchTime = int64(1_795_000_000_000)

// one feeds one kind of traffic through what weir process does with a message: decode,
// count, detect, and save the state now and then.
func (c *benchMemoryCommand) one(ctx context.Context, out io.Writer) error {
	points := json.NewEncoder(out)
	for _, kind := range memoryTraffics() {
		if kind.name == c.Traffic {
			return kind.run(ctx, c.Requests, points.Encode)
		}
	}
	return usagef("bench memory: there is no traffic %q", c.Traffic)
}

const (
	benchRows = 1000 // of a batch
	// benchSave is after how many requests the state is saved, as the processor does
	// every 30 s, and 10,000 come in each.
	benchSave  = 300_000
	benchPoint = 250_000 // requests from one point to the next
)

func (k *memoryTraffic) run(ctx context.Context, requests uint64, point func(any) error) error {
	frugal()
	trimming, trimmed := context.WithCancel(ctx)
	defer trimmed()
	go giveBackImage(trimming) // as weir process does
	engine, err := processor.New(processor.Options{})
	if err != nil {
		return err
	}
	g := &generator{r: rand.New(rand.NewPCG(1, 1))}
	builder, message, took := schemas.NewBuilder("edge", "bench"), []byte(nil), time.Duration(0)
	for n := uint64(0); n < requests; {
		if err := ctx.Err(); err != nil {
			return err
		}
		builder.Reset()
		var r schemas.Request
		for range benchRows {
			k.fill(g, n, &r)
			r.Time = k.time(n)
			builder.Append(&r)
			n++
		}
		if message, err = schemas.EncodeBatch(message[:0], builder.Batch()); err != nil {
			return err
		}
		began := cpuTime()
		batch, err := schemas.DecodeBatch(message)
		if err != nil {
			return err
		}
		engine.Consume(batch, nil, func(schemas.Event) {})
		took += cpuTime() - began
		if n%benchSave == 0 {
			if err := engine.Save(io.Discard); err != nil {
				return err
			}
			giveBackNow()
		}
		if n%benchPoint == 0 || n >= requests {
			sites := engine.Sites()
			p := memoryPoint{Requests: n, MiB: residentMiB(), Clients: engine.Clients(), Sites: len(sites), Took: took}
			if n >= requests {
				p.Window = shortestWindow(engine, sites)
			}
			if err := point(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// time is when the request of a number comes.
func (k *memoryTraffic) time(n uint64) int64 {
	slow := min(n, k.quiet)
	return benchTime + int64((8*slow+n-slow)*1000/k.rate)
}

// shortestWindow is how many seconds of the ten minutes are known of the site of which least
// is.
func shortestWindow(engine *processor.Processor, sites []processor.SiteStatus) int {
	shortest := 600
	var d window.Detail
	for i := range sites {
		if sites[i].Name != processor.Other && engine.Detail(sites[i].Name, window.TenMinutes, &d) {
			shortest = min(shortest, d.Seconds)
		}
	}
	return shortest
}

var benchFields = schemas.FieldSite | schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage |
	schemas.FieldAcceptEncoding | schemas.FieldTLS | schemas.FieldCookie | schemas.FieldDuration

// fillRandom makes a request in which nothing comes twice.
func fillRandom(g *generator, _ uint64, r *schemas.Request) {
	at := 0
	random := func(prefix string, n int) []byte {
		start := at
		at += copy(g.text[at:], prefix)
		for range n {
			g.text[at] = "abcdefghijklmnopqrstuvwxyz012345"[g.r.Uint32()&31]
			at++
		}
		return g.text[start:at:at]
	}
	r.Fields, r.Status, r.Duration = benchFields, uint16(200+100*g.r.IntN(4)), int64(g.r.IntN(10_000_000))
	r.Cookie = schemas.CookieNone
	r.Site, r.Path, r.UserAgent = random("h", 12), random("/", 24), random("Agent/", 30)
	r.Method, r.Referer, r.AcceptLanguage = random("M", 8), random("https://", 20), random("", 8)
	r.AcceptEncoding, r.TLS, r.Protocol = random("", 8), random("TLS", 20), random("HTTP/", 5)
	if g.r.IntN(4) == 0 {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], 0x2001<<48|g.r.Uint64()>>16)
		r.Client = netip.AddrFrom16(b)
		return
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], g.r.Uint32())
	r.Client = netip.AddrFrom4(b)
}

const (
	millionClients = 1_000_000
	millionSites   = 1000
)

// fillMillion makes the requests of a million clients in turn, each on a site of its
// own: every ten minutes of event time (six million requests) has all of them.
func fillMillion(g *generator, n uint64, r *schemas.Request) {
	client := uint32(n * 2_654_435_761 % millionClients)
	g.visit(r, client, client%millionSites, uint64(g.r.ExpFloat64()*20))
}

// fillSpread makes the requests of a million clients at random, each of one of a thousand
// sites: no client stays with a site, and a site has some thousand pages.
func fillSpread(g *generator, _ uint64, r *schemas.Request) {
	g.visit(r, uint32(g.r.IntN(millionClients)), uint32(g.r.IntN(millionSites)), uint64(g.r.ExpFloat64()*500))
}

const (
	attackedRate  = 10_000
	attackedQuiet = 2_250_000 // half an hour at an eighth of it
)

// fillAttacked makes visitors' requests, and from half an hour on seven in eight of a botnet, of which each address
// asks one site for pages that there are not.
func fillAttacked(g *generator, n uint64, r *schemas.Request) {
	client := uint32(g.r.IntN(millionClients))
	g.visit(r, client, client%millionSites, uint64(g.r.ExpFloat64()*20))
	if n < attackedQuiet || n%8 == 0 {
		return
	}
	r.Client = netip.AddrFrom4([4]byte{0x17, byte(client >> 16), byte(client >> 8), byte(client)})
	r.Path, r.Status, r.Cookie = strconv.AppendUint([]byte("/"), g.r.Uint64(), 36), 404, schemas.CookieNone
	r.UserAgent = strconv.AppendUint([]byte("Mozilla/5.0 Chrome/"), uint64(100+client%40), 10)
}

// visit makes a browser's request.
func (g *generator) visit(r *schemas.Request, client, site uint32, page uint64) {
	text := g.text[:0]
	add := func(prefix string, number uint64) []byte {
		start := len(text)
		text = strconv.AppendUint(append(text, prefix...), number, 10)
		return text[start:len(text):len(text)]
	}
	r.Fields, r.Status, r.Duration, r.Cookie = benchFields, 200, int64(g.r.ExpFloat64()*50_000), schemas.CookieSome
	r.Site, r.Path = add("site", uint64(site)), add("/page", page)
	r.UserAgent, r.Referer = add("Mozilla/5.0 Firefox/", uint64(client%60)), nil
	r.Method, r.Protocol = []byte("GET"), []byte("HTTP/2.0")
	r.AcceptLanguage, r.AcceptEncoding = add("en-", uint64(client%20)), []byte("gzip, br")
	r.TLS = []byte("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519")
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0B00_0000+client)
	r.Client = netip.AddrFrom4(b)
}

// residentMiB is the memory of this process that is in use (Linux, proc_pid_status(5),
// VmRSS); 0 where that cannot be told.
func residentMiB() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(data, []byte("VmRSS:"))
	fields := bytes.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil {
		return 0
	}
	return kib / 1024
}

// cpuTime is how long this process has had a processor.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machine names the processor that figures were measured on.
func machine() string {
	name := "an unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := bytes.Cut(data, []byte("model name")); ok {
			line, _, _ := bytes.Cut(after, []byte("\n"))
			name = string(bytes.TrimSpace(bytes.TrimLeft(line, "\t :")))
		}
	}
	return fmt.Sprintf("%s, %s, %s/%s", name, plural(runtime.NumCPU(), "core"), runtime.GOOS, runtime.GOARCH)
}
