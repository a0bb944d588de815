package nginx

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

func TestRescueNeedsNothingElse(t *testing.T) {
	t.Parallel()
	measures := append([]Measure{
		measure("r-1", schemas.Block, schemas.ScopeSignature, `user_agent="Evil \"quoted\" $agent;" query_keys="q&page"`),
		measure("r-2", schemas.Block, schemas.ScopeSignature, `user_agent="`+strings.Repeat(`\\`, 1900)+`"`),
	}, everything.Measures...)
	for i := range measures {
		measures[i].Expires = far
	}
	rescue := NewRescue(measures, everything.Allow)
	if len(rescue.Refused) != 1 || rescue.Refused[0].ID != "r-2" || rescue.InForce != len(measures)-1 {
		t.Errorf("in force %d, refused %v", rescue.InForce, rescue.Refused)
	}
	s := newServer(t, rescue.HTTP+"log_format weir '$request';", rescue.Server+`location / { return 200 ""; }`)
	if err := os.RemoveAll(s.dir()); err != nil {
		t.Fatal(err)
	}
	s.start()
	w := s.dial()
	for _, x := range []struct {
		request string
		want    int
	}{
		{get("h.example", "/", "192.0.2.200"), 200},
		{get("h.example", "/", "198.51.100.7"), 403},
		{get("h.example", "/", "192.0.2.1"), 200},
		{get("h.example", "/", "203.0.113.1"), 429},
		{get("h.example", "/", "2001:db8:1:2::9"), 403},
		{get("h.example", "/?q=1&page=2", "192.0.2.200", `User-Agent: Evil "quoted" $agent;`), 403},
		{get("h.example", "/?q=1", "192.0.2.200", `User-Agent: Evil "quoted" $agent;`), 200},
	} {
		if status, _ := w.say(x.request); status != x.want {
			t.Errorf("%q: %d, want %d", x.request, status, x.want)
		}
	}
	if text := rescue.String(); !strings.Contains(text, RescuePath) || !strings.HasSuffix(text, "return 429; }\n") {
		t.Error("the text has not both parts")
	}
}

// TestRescueBySignaturesIsShort: what a tired person has to paste at night.
func TestRescueBySignaturesIsShort(t *testing.T) {
	t.Parallel()
	rescue := NewRescue([]Measure{
		measure("r-1", schemas.Block, schemas.ScopeSignature, `user_agent="Bad" accept_language=""`),
		measure("r-2", schemas.Throttle, schemas.ScopeSignature, `path_shape="/a2.php"`),
	}, nil)
	if n := strings.Count(rescue.String(), "\n"); n > 45 {
		t.Errorf("%d lines:\n%s", n, rescue)
	}
	s := newServer(t, rescue.HTTP+"log_format weir '$request';", rescue.Server+`location / { return 200 ""; }`)
	s.start()
	w := s.dial()
	for request, want := range map[string]int{
		get("h.example", "/", "10.0.0.1", "User-Agent: Bad"):                        403,
		get("h.example", "/", "10.0.0.1", "User-Agent: Bad", "Accept-Language: de"): 200,
		get("h.example", "/index.php", "10.0.0.1"):                                  429,
		get("h.example", "/index.php", "10.0.0.1", "User-Agent: Bad"):               403,
		get("h.example", "/index.html", "10.0.0.1"):                                 200,
	} {
		if status, _ := w.say(request); status != want {
			t.Errorf("%q: %d, want %d", request, status, want)
		}
	}
}

func TestLogSaysWhatTheEdgeDid(t *testing.T) {
	t.Parallel()
	// A second server logs, but does not include server.conf: nothing is enforced there.
	second := "}\n server { server_name other.example; listen unix:ROOT/s; location / { return 200 \"\"; }"
	s := newServer(t, includeHTTP, site+second)
	s.apply(Set{Measures: []Measure{measure("i1-1", schemas.Block, schemas.ScopeClient, "10.0.0.1")}})
	s.start()
	w := s.dial()
	w.say(get("h.example", "/a?b=c", "10.0.0.1", "User-Agent: A \"x\" \\", "Cookie: secret=1"))
	w.say(get("other.example", "/", "10.0.0.1"))
	w.say(get("h.example", "/", "10.0.0.2"))
	var text []byte
	if err := eventually(within(t), func() bool { // nginx logs after it has answered
		text, _ = os.ReadFile(filepath.Join(s.root, "access.log"))
		return strings.Count(string(text), "\n") == 3
	}); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if strings.Contains(string(text), "secret") {
		t.Error("a cookie's value is logged")
	}
	want := []string{
		`403 10.0.0.1 /a?b=c block i1-1 1 A "x" \`,
		"200 10.0.0.1 / allow   ",
		"200 10.0.0.2 / allow   ",
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines:\n%s", len(lines), text)
	}
	for i, line := range lines {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		got := fmt.Sprintf("%v %v %v %v %v %v %v", v["status"], v["client"], v["uri"], v["action"], v["decision"], v["cookie"], v["user_agent"])
		if got != want[i] {
			t.Errorf("line %d: %q, want %q", i, got, want[i])
		}
	}
}

func TestSnippetsWorkWithoutAnythingElse(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	if entries, _ := os.ReadDir(s.dir()); len(entries) != 2 {
		t.Fatalf("Install left %v", entries)
	}
	s.start()
	if _, body := s.dial().say(get("h.example", "/", "10.0.0.1")); body != "allow||none" {
		t.Errorf("%q", body)
	}
	if status, _ := s.dial().say(get("h.example", "/.weir/block", "10.0.0.1")); status != 404 {
		t.Errorf("the refusal's own address answers %d from outside, want 404", status)
	}
}

func TestSnippetOptions(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, `include ROOT/weir/server.conf;
		location @mine { return 503 "challenge of $request_uri for $weir_decision"; }
		location / { return 200 ""; }`)
	if err := Install(s.dir(), SnippetOptions{Silent: true, Challenge: "@mine"}); err != nil {
		t.Fatal(err)
	}
	s.apply(Set{Measures: []Measure{
		measure("i1-1", schemas.Block, schemas.ScopeClient, "10.0.0.1"),
		measure("i1-2", schemas.Challenge, schemas.ScopeClient, "10.0.0.2"),
	}})
	s.start()
	if status, _ := s.dial().say(get("h.example", "/x", "10.0.0.1")); status != 0 {
		t.Errorf("a silent block answers %d", status)
	}
	if status, body := s.dial().say(get("h.example", "/x", "10.0.0.2")); status != 503 || body != "challenge of /x for i1-2" {
		t.Errorf("challenge: %d %q", status, body)
	}
	for _, name := range []string{"mine", "@", "@a b", "@a;"} {
		if _, err := ServerSnippet(SnippetOptions{Challenge: name}); err == nil {
			t.Errorf("the challenge %q is taken", name)
		}
	}
}

// cookieOf does what the challenge's script does.
func cookieOf(t *testing.T, page string) string {
	t.Helper()
	found := regexp.MustCompile(`"weir_pass="\+\["([0-9a-f]+)","([0-9a-f]+)"\]\.reverse\(\)\.join\(""\)\+"(\.[^;]+);`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no script in %q", page)
	}
	return "Cookie: weir_pass=" + found[2] + found[1] + found[3]
}

// A browser passes weir's own challenge for its address; what runs no script does not,
// and a cookie from elsewhere is none. It passes no block.
// The page gives up after three times at once, and begins anew for a tab that is challenged again
// later: its script is run by a real engine, with what a browser would give it.
func TestScriptChallengeBeginsAnew(t *testing.T) {
	engine, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on this machine")
	}
	_, script, _ := strings.Cut(answerScript, "<script>")
	script, _, ok := strings.Cut(script, "</script>")
	if !ok {
		t.Fatalf("no script in %q", answerScript)
	}
	const browser = `
		let now = 1e12, reloads = 0, cookies = true;
		const RealDate = Date; globalThis.Date = {now: () => now};
		globalThis.sessionStorage = {};
		globalThis.location = {reload: () => { reloads++ }};
		globalThis.document = {jar: "", getElementById: () => ({}), set cookie(c) { if (cookies) this.jar = c }, get cookie() { return this.jar }};
		const page = new Function(process.argv[1]), said = [];
		for (const wait of [0, 1, 1, 1, 1, 3600, 3600, 3600, 3600, 1, 1, 1]) { now += wait*1000; const before = reloads; page(); said.push(reloads - before) }
		sessionStorage = {weir: "3"}; { const before = reloads; page(); said.push(reloads - before) } // an older page's count
		cookies = false; document.jar = ""; now += 3600e3; { const before = reloads; page(); said.push(reloads - before) }
		console.log(said.join(""));`
	out, err := exec.Command(engine, "-e", browser, script).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "11100"+"1111"+"110"+"1"+"0" {
		t.Errorf("asks again: %s, %v", got, err)
	}
}

func TestScriptChallenge(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	if err := Install(s.dir(), SnippetOptions{Challenge: ScriptChallenge}); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(s.dir(), ChallengeName))
	if err != nil {
		t.Fatal(err)
	}
	s.apply(Set{Measures: []Measure{
		measure("i1-1", schemas.Challenge, schemas.ScopePrefix, "10.0.0.0/8"), measure("i1-2", schemas.Challenge, schemas.ScopePrefix, "2001:db8::/32"),
		measure("i1-3", schemas.Block, schemas.ScopeClient, "10.0.0.9"), measure("i1-4", schemas.Throttle, schemas.ScopeClient, "10.0.0.8"),
	}})
	s.start()
	w := s.dial()
	for _, from := range []string{"10.0.0.1", "2001:db8::7"} {
		status, page := w.say(get("h.example", "/x", from))
		if status != 403 || !strings.Contains(page, "i1-") {
			t.Fatalf("%s: %d %q", from, status, page)
		}
		cookie := cookieOf(t, page)
		if status, body := w.say(get("h.example", "/x", from, cookie)); status != 200 || body != "allow||"+strings.Split(body, "|")[2] {
			t.Errorf("%s with its cookie: %d %q", from, status, body)
		}
		for _, other := range []string{"10.0.0.2", "2001:db8:1::7"} {
			if status, _ := w.say(get("h.example", "/x", other, cookie)); status != 403 {
				t.Errorf("%s with the cookie of %s: %d", other, from, status)
			}
		}
		for _, wrong := range []string{"Cookie: weir_pass=1", "Cookie: weir_pass=." + from, cookie + "0", strings.Replace(cookie, ".", "x", 1)} {
			if status, _ := w.say(get("h.example", "/x", from, wrong)); status != 403 {
				t.Errorf("%s with %q: %d", from, wrong, status)
			}
		}
	}
	for from, want := range map[string]int{"10.0.0.9": 403, "10.0.0.8": 429} {
		_, page := w.say(get("h.example", "/x", "10.0.0.1"))
		cookie := strings.Replace(cookieOf(t, page), "10.0.0.1", from, 1)
		if status, body := w.say(get("h.example", "/x", from, cookie)); status != want || !strings.Contains(body, "i1-") {
			t.Errorf("%s, which is to be refused, with a cookie: %d %q", from, status, body)
		}
	}
	if err := Install(s.dir(), SnippetOptions{Challenge: ScriptChallenge}); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(s.dir(), ChallengeName)); err != nil || string(again) != string(secret) {
		t.Errorf("a restart makes all cookies void (%v)", err)
	}
}

// TestManyClients: nginx keeps a binary copy of a list of this size, and a
// changed list must not be served from an old copy within the same second.
func TestManyClients(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	set := many(150_000)
	s.apply(set)
	s.start()
	copies, err := filepath.Glob(filepath.Join(s.dir(), "*.bin"))
	if err != nil || len(copies) != 2 {
		t.Errorf("nginx keeps the binary copies %v, %v", copies, err)
	}
	w := s.dial()
	for _, n := range []int{0, 1, 77_777, len(set.Measures) - 1} {
		addr := netip.MustParseAddr(set.Measures[n].Value)
		if addr.Is6() {
			addr = addr.Next()
		}
		if status, body := w.say(get("h.example", "/", addr.String())); status != 403 || !strings.Contains(body, set.Measures[n].ID+"\n") {
			t.Errorf("%s: %d %q", addr, status, body)
		}
	}
	if status, _ := w.say(get("h.example", "/", "192.0.2.1")); status != 200 {
		t.Errorf("a visitor gets %d", status)
	}
	for i := range set.Measures {
		if set.Measures[i].Value == "10.0.0.1" {
			set.Measures[i].Value = "192.0.2.1" // the same size, in the same second
		}
	}
	s.apply(set)
	e := newEnforcer(t, s.options())
	if err := e.command(t.Context(), "reload", e.options.Reload); err != nil {
		t.Fatal(err)
	}
	if err := s.until(within(t), get("h.example", "/", "192.0.2.1"), answers(403)); err != nil {
		t.Error(err)
	}
}

// many has n clients, one in five by IPv6, in random-looking order.
func many(n int) Set {
	set := Set{Measures: make([]Measure, n)}
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%5 == 4 {
			addr = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i * 7), byte(i >> 16), byte(i >> 8), byte(i)})
		}
		set.Measures[i] = measure(fmt.Sprintf("i261122-050812-%d", i), schemas.Block, schemas.ScopeClient, addr.String())
	}
	return set
}

func TestExampleConfiguration(t *testing.T) {
	t.Parallel()
	binary := nginxPath(t)
	text, err := os.ReadFile("../../deploy/nginx/example.conf")
	if err != nil {
		t.Fatal(err)
	}
	root := dirOf(t)
	httpLine, serverLine := IncludeLines("/etc/nginx/weir")
	for _, line := range []string{httpLine, serverLine} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the example lacks %q", line)
		}
	}
	example := strings.NewReplacer("/etc/nginx/weir", root+"/weir", "/var/log/nginx", root, "/run/nginx.pid", root+"/pid", "listen 80", "listen unix:"+root+"/s").Replace(string(text))
	if err := os.WriteFile(root+"/nginx.conf", []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Install(root+"/weir", SnippetOptions{}); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "-t", "-p", root, "-c", root+"/nginx.conf").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
