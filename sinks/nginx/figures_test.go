package nginx

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// long skips what takes minutes and is for figures.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("WEIR_LONG") == "" {
		t.Skip("minutes of work: WEIR_LONG=1 asks for it")
	}
}

// The figures are of so many clients, one in five by IPv6.
const figureClients = 500_000

// methodConf is a configuration that blocks the clients of a set by one of nginx's own means.
func methodConf(method string, set Set) []byte {
	var b bytes.Buffer
	switch method {
	case "geo":
		b.WriteString("geo $weir_verdict {\n    default \"\";\n")
	case "map":
		b.WriteString("map $remote_addr $weir_verdict {\n    default \"\";\n")
	}
	for _, m := range set.Measures {
		address := netip.MustParseAddr(m.Value)
		switch {
		case method == "map":
			fmt.Fprintf(&b, "    %s 'block x';\n", m.Value) // IPv6: the one address, not its /64
		case address.Is4():
			fmt.Fprintf(&b, "    %s/32 'block x';\n", m.Value)
		default:
			fmt.Fprintf(&b, "    %s/64 'block x';\n", m.Value)
		}
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// TestMethods prints the table of docs/edges.md: what the ways cost in which nginx can hold
// 500,000 clients.
//
//	WEIR_LONG=1 go test ./sinks/nginx -run TestMethods -v
func TestMethods(t *testing.T) {
	long(t)
	set := many(figureClients)
	blocked := get("h.example", "/", set.Measures[0].Value)
	var table strings.Builder
	for _, method := range []string{"geo", "map", "weir"} {
		s := newServer(t, includeHTTP, site)
		put := func(set Set) {
			if method == "weir" {
				s.apply(set)
			} else if err := os.WriteFile(filepath.Join(s.dir(), CurrentName), methodConf(method, set), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		put(set)
		test := took(t, s.check)
		s.start()
		if err := s.until(within(t), blocked, answers(403)); err != nil {
			t.Fatal(method, err)
		}
		one := memory(t, s)
		more := set
		more.Measures = append(slices.Clone(set.Measures), measure("m1-1", schemas.Block, schemas.ScopeClient, "198.51.100.1"))
		served := took(t, func() error {
			put(more)
			if err := s.check(); err != nil {
				return err
			}
			if err := newEnforcer(t, s.options()).command(t.Context(), "reload", s.command("-s", "reload")); err != nil {
				return err
			}
			return s.until(within(t), get("h.example", "/", "198.51.100.1"), answers(403))
		})
		s.drained()
		fmt.Fprintf(&table, "| %s | %.1f s | %.1f s | %.0f MiB | %.0f MiB |\n", method, test, served, one, memory(t, s))
	}
	t.Logf("\n| method | `nginx -t` | one more client until it is refused | all processes after the start | after a reload |\n|---|---|---|---|---|\n%s", table.String())
}

// TestDelta prints where the time goes from 10,000 decisions among 500,000 until nginx serves
// them: as processor time, which hardly depends on what else the machine does, and by the clock.
//
//	WEIR_LONG=1 go test ./sinks/nginx -run TestDelta -v
func TestDelta(t *testing.T) {
	long(t)
	s := newServer(t, includeHTTP, site)
	s.start()
	o := s.options()
	o.Test = append([]string{"sh", "-c", `"$@"; r=$?; times >> "$0"/times; exit $r`, s.root}, o.Test...)
	e := newEnforcer(t, o)
	replaceMany(t, e)
	var total, weirs, tests, nginxes []float64
	for round := range 5 {
		var change []schemas.Event
		for i := range delta {
			change = append(change, added(measure(fmt.Sprintf("m%d-%d", round, i), schemas.Block, schemas.ScopeClient, netip.AddrFrom4([4]byte{198, byte(18 + round), byte(i >> 8), byte(i)}).String())))
		}
		s.drained()
		_ = os.Remove(filepath.Join(s.root, "times"))
		own, master, begun := ownTime(t), s.time(), time.Now()
		e.Apply(change...)
		e.attempt(t.Context())
		if err := e.Status().Err; err != nil {
			t.Fatal(err)
		}
		mine := ownTime(t) - own
		if err := s.until(within(t), get("h.example", "/", change[delta-1].Decision.Value), answers(403)); err != nil {
			t.Fatal(err)
		}
		total = append(total, time.Since(begun).Seconds())
		text, err := os.ReadFile(filepath.Join(s.root, "times"))
		if err != nil {
			t.Fatal(err)
		}
		weirs, tests, nginxes = append(weirs, mine), append(tests, childTime(t, string(text))), append(nginxes, s.time()-master)
	}
	for _, x := range [][]float64{total, weirs, tests, nginxes} {
		slices.Sort(x)
	}
	t.Logf("10,000 among 500,000, median of 5: %.2f s by the clock; processor time: weir %.2f s (two threads at times), nginx -t %.2f s, nginx's master %.2f s", total[2], weirs[2], tests[2], nginxes[2])
}

// ownTime is the processor time of this process, in seconds.
func ownTime(t *testing.T) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// childTime reads the second line of the shell's times, "0m0.12s 0m0.03s".
func childTime(t *testing.T, text string) (seconds float64) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, word := range strings.Fields(lines[len(lines)-1]) {
		d, err := time.ParseDuration(word)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		seconds += d.Seconds()
	}
	return seconds
}

// time is the processor time of nginx's master so far, in seconds.
func (s *server) time() (seconds float64) {
	s.t.Helper()
	pid, err := os.ReadFile(filepath.Join(s.root, "pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", strings.TrimSpace(string(pid))))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second (proc(5))
		var ticks float64
		fmt.Sscan(field, &ticks)
		seconds += ticks / 100
	}
	return seconds
}

// TestPathLists prints what a list of what is known costs, with the longest that a site may have, and with as many
// paths as all sites may.
//
//	WEIR_LONG=1 go test ./sinks/nginx -run TestPathLists -v
func TestPathLists(t *testing.T) {
	long(t)
	word := func(i int) string { // without a digit
		return string([]byte{byte('a' + i/17576%26), byte('a' + i/676%26), byte('a' + i/26%26), byte('a' + i%26)})
	}
	path := func(i int) string { return fmt.Sprintf("/questions/%06d/how-do-i-do-this-and-that", i) }
	agent := func(i int) string {
		return "mozilla/ (linux; android ; " + word(i) + ") applewebkit/ (khtml, like gecko) chrome/ safari/"
	}
	var table strings.Builder
	for _, c := range []struct {
		of    schemas.Listed
		n     int
		entry func(int) string
	}{
		{schemas.ListedPaths, 1, path}, {schemas.ListedPaths, schemas.MaxSitePaths, path}, {schemas.ListedPaths, 131_072, path},
		{schemas.ListedAgents, schemas.MaxSiteAgents, agent}, {schemas.ListedQueries, schemas.MaxSiteQueries, word},
	} {
		list := &schemas.SiteList{Of: c.of, Site: "a.example"}
		for i := range c.n {
			list.Entries = append(list.Entries, c.entry(i))
		}
		s := newServer(t, includeHTTP, site)
		s.apply(Set{Measures: []Measure{measure("i1-1", schemas.Throttle, schemas.ScopeSignature, c.of.Trait().String()+`="no"`)}, Lists: NewLists(list)})
		test := cpu(t, s.command("-t"))
		s.start()
		w := s.dial()
		for text, want := range map[string]int{c.entry(c.n - 1): 200, c.entry(c.n-1) + "x": 429, "/other": 429} {
			uri, agent := text, "x"
			switch c.of {
			case schemas.ListedAgents:
				uri, agent = "/", text
			case schemas.ListedQueries:
				uri = "/?" + strings.Trim(text, "/")
			}
			if status, _ := w.say(get("a.example", uri, "198.51.100.1", "User-Agent: "+agent)); status != want {
				t.Errorf("%s: %d, want %d", text, status, want)
			}
		}
		fmt.Fprintf(&table, "| %d %s | %.2f s | %.0f MiB |\n", c.n, c.of, test, memory(t, s))
	}
	t.Logf("\n| known | processor time of `nginx -t` | all processes |\n|---|---|---|\n%s", table.String())
}

// cpu is the processor time of a command, in seconds.
func cpu(t *testing.T, argv []string) float64 {
	t.Helper()
	command := exec.Command(argv[0], argv[1:]...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
}

func took(t *testing.T, f func() error) float64 {
	t.Helper()
	begun := time.Now()
	if err := f(); err != nil {
		t.Fatal(err)
	}
	return time.Since(begun).Seconds()
}

// drained waits until only one worker is left.
func (s *server) drained() {
	s.t.Helper()
	if err := eventually(within(s.t), func() bool { return len(s.children()) == 1 }); err != nil {
		s.t.Fatalf("old workers stay: %v", s.children())
	}
}

// children are the processes of nginx's workers, old ones too.
func (s *server) children() []string {
	pid, err := os.ReadFile(filepath.Join(s.root, "pid"))
	if err != nil {
		return nil
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%s/task/%[1]s/children", strings.TrimSpace(string(pid))))
	return strings.Fields(string(text))
}

// replaceMany puts what the figures are about in force: 500,000 clients and fifty signatures.
func replaceMany(t *testing.T, e *Enforcer) Set {
	set := withSignatures(many(figureClients), 50)
	var events []schemas.Event
	for _, m := range set.Measures {
		events = append(events, added(m))
	}
	e.Replace(events...)
	e.attempt(t.Context())
	return set
}
