package nginx

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// withSignatures adds n signatures of two traits.
func withSignatures(set Set, n int) Set {
	for i := range n {
		text := schemas.Signature{
			{Trait: schemas.TraitUserAgent, Value: fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", i)},
			{Trait: schemas.TraitAcceptLanguage, Value: ""},
		}.String()
		set.Measures = append(set.Measures, measure(fmt.Sprintf("i261122-050812-s%d", i), schemas.Block, schemas.ScopeSignature, text))
	}
	return set
}

// BenchmarkRender: 500,000 clients, one in five by IPv6, and 50 signatures.
func BenchmarkRender(b *testing.B) {
	set := withSignatures(many(500_000), 50)
	now := time.Now()
	lease := Lease{From: now.Add(-time.Minute), Until: now.Add(time.Minute)}
	b.ReportAllocs()
	for b.Loop() {
		files, err := Render(set, "/etc/nginx/weir", lease, now)
		if err != nil || len(files.Refused) > 0 {
			b.Fatal(err, files.Refused)
		}
	}
}

func benchServer(b *testing.B, n int) (*server, Set) {
	s := newServer(b, includeHTTP, site)
	set := withSignatures(many(n), 50)
	s.apply(set)
	s.start()
	return s, set
}

// BenchmarkTest: nginx -t over 500,000 clients, with nginx's binary copy there.
func BenchmarkTest(b *testing.B) {
	s, _ := benchServer(b, 500_000)
	for b.Loop() {
		if err := s.check(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTestFresh: the same without the copy, as after every change of clients.
func BenchmarkTestFresh(b *testing.B) {
	s, _ := benchServer(b, 500_000)
	for b.Loop() {
		copies, _ := filepath.Glob(filepath.Join(s.dir(), "*.bin"))
		for _, name := range copies {
			os.Remove(name)
		}
		if err := s.check(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecisionToServed: one more client, 500,000 present, from Apply until
// nginx refuses it.
func BenchmarkDecisionToServed(b *testing.B) {
	s, set := benchServer(b, 500_000)
	e := newEnforcer(b, s.options())
	var events []schemas.Event
	for _, m := range set.Measures {
		events = append(events, added(m))
	}
	e.Replace(events...)
	e.attempt(within(b))
	n := 0
	for b.Loop() {
		n++
		m := measure(fmt.Sprintf("m1-%d", n), schemas.Block, schemas.ScopeClient, fmt.Sprintf("198.51.%d.%d", n>>8, n&255))
		e.Apply(added(m))
		e.attempt(within(b))
		if err := s.until(within(b), get("h.example", "/", m.Value), answers(403)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(memory(b, s), "MiB")
}

// memory is what all of nginx's processes hold, shared pages counted once (PSS).
func memory(b testing.TB, s *server) float64 {
	out, err := exec.Command("sh", "-c", `m=$(cat "$0/pid"); for p in $m $(cat /proc/$m/task/$m/children); do cat /proc/$p/smaps_rollup; done | awk '/^Pss:/ {k += $2} END {print k/1024}'`, s.root).Output()
	if err != nil {
		b.Skip(err)
	}
	var mib float64
	fmt.Sscan(string(out), &mib)
	return mib
}

// BenchmarkRequest: one request over a kept connection, with and without
// decisions, to see what they cost a visitor.
func BenchmarkRequest(b *testing.B) {
	for _, n := range []int{0, 500_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newServer(b, includeHTTP, site)
			if n > 0 {
				s.apply(withSignatures(many(n), 50))
			}
			s.start()
			request := get("h.example", "/", "2001:db9:1:2::3", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0")
			w := s.dial()
			asked := 0
			for b.Loop() {
				if asked++; asked%900 == 0 { // nginx closes after 1000 (keepalive_requests)
					w.connection.Close()
					w = s.dial()
				}
				if status, _ := w.say(request); status != 200 {
					b.Fatal(status)
				}
			}
		})
	}
}
