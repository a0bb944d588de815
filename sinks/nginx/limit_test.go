package nginx

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// limitedSite has an application: a limit counts only what comes that far.
const limitedSite = `
    include ROOT/weir/server.conf;
    location / { empty_gif; }
`

// prepared has the snippets installed as weir does, with a limit of twelve a minute.
func (s *server) prepared() (limited bool) {
	s.t.Helper()
	limited, err := Prepare(within(s.t), s.dir(), SnippetOptions{UnknownRate: 12}, s.command("-t"), slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	return limited
}

// logged are the lines of the access log, once there are so many.
func (s *server) logged(lines int) (all []map[string]any) {
	s.t.Helper()
	var text []byte
	if err := eventually(within(s.t), func() bool {
		text, _ = os.ReadFile(filepath.Join(s.root, "access.log"))
		return strings.Count(string(text), "\n") >= lines
	}); err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
	for line := range strings.Lines(string(text)) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, v)
	}
	return all
}

// Of a botnet that asks for pages that do not exist, from ever new addresses, a handful
// reaches the application; known pages, other sites and regulars are never counted, one busy
// client does not use up what passes, and the log says what was done.
func TestUnknownPathsAreLimited(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, limitedSite)
	if !s.prepared() {
		t.Fatal("there is no limit")
	}
	throttle := measure("i1-1", schemas.Throttle, schemas.ScopeSignature, pathUnknown, "a.example", "b.example")
	everything := measure("i1-2", schemas.Block, schemas.ScopeClient, "10.9.0.1")
	s.apply(Set{
		Limit:    true,
		Measures: []Measure{throttle, everything},
		Lists:    NewLists(knownPaths("a.example", "/", "/known"), knownPaths("b.example", "/known")),
		Regulars: NewRegularList([]schemas.SiteRegulars{{Site: "a.example", Clients: []netip.Addr{netip.MustParseAddr("10.8.0.1")}}}),
	})
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	s.start()
	w := s.dial()
	asked := 0
	// passed is how many of n requests are answered by the application, and not by 429.
	passed := func(n int, host, path string, from func(i int) string) (n200 int) {
		t.Helper()
		for i := range n {
			switch status, _ := w.say(get(host, path, from(i))); status {
			case 200:
				n200++
			case 429:
			default:
				t.Fatalf("%s%s: %d", host, path, status)
			}
			asked++
		}
		return n200
	}
	busy := func(int) string { return "10.7.0.1" }
	bots := func(i int) string { return fmt.Sprintf("10.1.%d.%d", i/250, i%250) }
	for _, x := range []struct {
		what        string
		n           int
		host, path  string
		from        func(int) string
		least, most int // more by one where five seconds pass
	}{
		{"one busy client", 50, "a.example", "/wp-login.php", busy, 2, 4},
		{"a botnet", 200, "a.example", "/wp-login.php", bots, 1, 6},
		{"known pages from it", 200, "a.example", "/known?x=1", bots, 200, 200},
		{"assets", 50, "a.example", "/new.css", bots, 50, 50},
		{"a regular", 50, "a.example", "/wp-login.php", func(int) string { return "10.8.0.1" }, 50, 50},
		{"another site", 100, "b.example", "/wp-login.php", func(i int) string { return fmt.Sprintf("10.2.0.%d", i) }, 4, 6},
		{"a site without the decision", 50, "c.example", "/wp-login.php", bots, 50, 50},
	} {
		if n := passed(x.n, x.host, x.path, x.from); n < x.least || n > x.most {
			t.Errorf("%s: %d of %d requests pass, want %d to %d", x.what, n, x.n, x.least, x.most)
		}
	}
	if status, body := w.say(get("a.example", "/wp-login.php", "10.9.0.1")); status != 403 || !strings.Contains(body, "i1-2") {
		t.Errorf("a blocked client: %d %q", status, body)
	}
	for _, v := range s.logged(asked + 1) {
		got, want := fmt.Sprint(v["action"], " ", v["decision"]), map[float64]string{200: "allow ", 429: "throttle i1-1", 403: "block i1-2"}[v["status"].(float64)]
		if got != want {
			t.Errorf("%v answered %v is logged as %q, want %q", v["uri"], v["status"], got, want)
		}
	}
	said, _ := os.ReadFile(filepath.Join(s.root, "error.log"))
	if strings.Contains(string(said), "limiting requests") {
		t.Error("each refused request fills the error log")
	}
}

// An enforcer leaves to the limit what is throttled of unknown pages, and nothing else.
func TestEnforcerLimitsUnknownPaths(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, limitedSite)
	o := s.options()
	o.Limit = s.prepared()
	s.start()
	e := newEnforcer(t, o)
	e.Known(knownPaths("a.example", "/", "/known"))
	e.Apply(added(measure("i1-1", schemas.Throttle, schemas.ScopeSignature, pathUnknown, "a.example")),
		added(measure("i1-2", schemas.Throttle, schemas.ScopeSignature, `user_agent="Bad" path_known="yes"`, "a.example")),
		added(measure("i1-3", schemas.Block, schemas.ScopeSignature, `user_agent="Worse" `+pathUnknown, "a.example")))
	e.attempt(within(t))
	if status := e.Status(); status.Err != nil || len(status.Refused) > 0 || status.Loaded != 3 {
		t.Fatalf("%+v", status)
	}
	for _, x := range []struct {
		path, agent string
		want        int
	}{{"/known", "Bad", 429}, {"/other", "Worse", 403}, {"/known", "Worse", 200}, {"/other", "Bad", 429}} {
		n := 0
		if err := s.until(within(t), get("a.example", x.path, "10.0.0.1", "User-Agent: "+x.agent), func(status int, _ string) bool {
			n++ // a few for unknown pages pass before the limit is reached
			return status == x.want
		}); err != nil {
			t.Errorf("%+v: %v", x, err)
		}
		if x.path == "/other" && x.agent == "Bad" && n < 2 {
			t.Errorf("%+v: the first is refused", x)
		}
	}
}

// Beside limits of the site's own weir sets none, and refuses all that a decision throttles.
func TestOwnLimitsStay(t *testing.T) {
	t.Parallel()
	own := "limit_req_zone $binary_remote_addr zone=own:1m rate=100r/s;\n" + includeHTTP
	for name, x := range map[string]struct{ http, server, at string }{
		"none":     {includeHTTP, limitedSite, ""},
		"zone":     {own, limitedSite, ""},
		"status":   {includeHTTP + "\nlimit_req_status 503;", limitedSite, "limit_req_status"},
		"http":     {own + "\nlimit_req zone=own;", limitedSite, "limit_req"},
		"location": {own, limitedSite + "location /login { limit_req zone=own; empty_gif; }", "limit_req"},
		"nested":   {own, limitedSite + "location /a { location /a/b { limit_req_dry_run on; empty_gif; } }", "limit_req_dry_run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, x.http, x.server)
			dump, err := Dump(within(t), s.command("-t"), s.dir())
			if err != nil {
				t.Fatal(err)
			}
			if where, err := OwnLimit(dump, s.dir()); err != nil || !strings.HasSuffix(where, x.at) || (where == "") != (x.at == "") {
				t.Errorf("own limit at %q, %v; want %q", where, err, x.at)
			}
			for range 2 { // the second time beside what the first has installed
				if s.prepared() != (x.at == "") {
					t.Error("weir's limit is where it should not be, or the other way round")
				}
				if err := s.check(); err != nil {
					t.Error(err)
				}
			}
			if x.at != "" {
				s.apply(Set{Measures: []Measure{measure("i1-1", schemas.Throttle, schemas.ScopeSignature, pathUnknown, "a.example")},
					Lists: NewLists(knownPaths("a.example", "/"))})
				s.start()
				if status, body := s.dial().say(get("a.example", "/login", "10.0.0.1")); status != 429 || !strings.Contains(body, "i1-1") {
					t.Errorf("%d %q", status, body)
				}
			}
		})
	}
}

// Snippets that nginx refuses are taken back: what nginx would start with is what was there.
func TestRefusedSnippetsAreTakenBack(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, limitedSite)
	before := directory{path: s.dir()}.snippets()
	script := filepath.Join(s.root, "test.sh")
	if err := os.WriteFile(script, []byte("grep -q limit_req_zone "+s.dir()+"/http.conf && [ $1 = -t ] && { echo 'nginx: [emerg] no such luck' >&2; exit 1; }\nexec "+strings.Join(s.command(""), " ")+"$1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	limited, err := Prepare(within(t), s.dir(), SnippetOptions{UnknownRate: 12}, []string{"sh", script, "-t"}, slog.New(slog.DiscardHandler))
	if limited || err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("limited %v, %v", limited, err)
	}
	if !same(before, directory{path: s.dir()}.snippets()) {
		t.Error("they were not taken back")
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
	if limited, err := Prepare(within(t), s.dir(), SnippetOptions{UnknownRate: 12}, []string{"/nonexistent/nginx", "-t"}, slog.New(slog.DiscardHandler)); limited || err != nil {
		t.Errorf("without nginx: limited %v, %v", limited, err) // what was there is the same, so nothing is tested
	}
}

// Killed between any two steps of changing the snippets, in each direction, weir leaves what
// nginx starts with.
func TestKilledWhileSnippetsChange(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, limitedSite)
	of := func(rate int) map[string][]byte {
		server, err := ServerSnippet(SnippetOptions{UnknownRate: rate})
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]byte{HTTPName: []byte(HTTPSnippet(s.dir(), SnippetOptions{UnknownRate: rate})), ServerName: []byte(server)}
	}
	steps := 0
	for _, rate := range []int{12, 0, 30, 12, 0} {
		d := directory{path: s.dir()}
		d.step = func(step string) error {
			steps++
			if err := s.check(); err != nil {
				t.Errorf("to %d a minute, before %q: %v", rate, step, err)
			}
			return nil
		}
		if err := d.putSnippets(of(rate)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.check(); err != nil || steps < 20 {
		t.Errorf("after %d steps: %v", steps, err)
	}
}

// Of a configuration with many clients in force what is read is the configuration.
func TestDumpLeavesListsOut(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, limitedSite)
	s.apply(many(20_000))
	dump, err := Dump(within(t), s.command("-t"), s.dir())
	if err != nil {
		t.Fatal(err)
	}
	if len(dump) > 100<<10 {
		t.Errorf("%d bytes", len(dump))
	}
	if found, err := Examine(dump, Examined{Dir: s.dir()}); err != nil || len(found) != 1 || !strings.Contains(found[0].What, "answers to any name") {
		t.Errorf("%+v, %v", found, err)
	}
}
