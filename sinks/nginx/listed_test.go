package nginx

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// knownPaths are those of a list, as schemas has them.
func knownPaths(site string, paths ...string) *schemas.SiteList {
	return knownOf(schemas.ListedPaths, site, paths...)
}

const pathUnknown = `path_known="no"`

// knownOf is a list of what is known by texts as sent.
func knownOf(of schemas.Listed, site string, texts ...string) *schemas.SiteList {
	list := &schemas.SiteList{Of: of, Site: site}
	for _, text := range texts {
		if key, ok := of.Key(nil, []byte(text)); ok {
			list.Entries = append(list.Entries, string(key))
		}
	}
	slices.Sort(list.Entries)
	list.Entries = slices.Compact(list.Entries)
	return list
}

// asked is a request for a URI with an agent, as nginx logs it.
func asked(uri, agent string) *schemas.Request {
	path, query, _ := strings.Cut(uri, "?")
	return &schemas.Request{Path: []byte(path), Query: []byte(query), UserAgent: []byte(agent), Fields: ^schemas.Fields(0)}
}

// question is a request to a site of which something is to be known.
type question struct{ uri, agent string }

// checkKnown has a real nginx with two sites' lists say of each request whether what they are of is known.
func checkKnown(t testing.TB, a, b *schemas.SiteList, questions []question) (answered int) {
	t.Helper()
	trait := a.Of.Trait()
	s := newServer(t, includeHTTP, fmt.Sprintf(`location / { return 200 "$weir_%s\n$request_uri\n$http_user_agent"; }`, trait))
	s.single()
	files := s.apply(Set{
		Lists: NewLists(a, b),
		Measures: []Measure{
			measure("i1-1", schemas.Block, schemas.ScopeSignature, fmt.Sprintf(`%s="no"`, trait)),
			measure("i1-2", schemas.Block, schemas.ScopeClient, "203.0.113.7"),
		},
	})
	if len(files.Refused) > 0 {
		t.Fatal(files.Refused)
	}
	s.start()
	w := s.dial()
	for _, q := range questions {
		for _, site := range []*schemas.SiteList{a, b, {Site: "c.example"}} {
			status, body := w.say(get(site.Site, q.uri, "198.51.100.1", "User-Agent: "+q.agent))
			if status != 200 {
				w.connection.Close()
				w = s.dial()
				continue
			}
			answered++
			got, seen, _ := strings.Cut(body, "\n")
			uri, agent, _ := strings.Cut(seen, "\n")
			if want, _ := a.Of.Value(site.Set(), asked(uri, agent), nil); got != want {
				t.Errorf("%s %q %q: nginx says %q, schemas says %q", site.Site, uri, agent, got, want)
			}
		}
	}
	w.connection.Close()
	return answered
}

// checkPaths is checkKnown of URIs.
func checkPaths(t testing.TB, a, b *schemas.SiteList, uris []string) (answered int) {
	t.Helper()
	var questions []question
	for _, uri := range uris {
		questions = append(questions, question{uri, "x"})
	}
	return checkKnown(t, a, b, questions)
}

var hostilePaths = []string{
	"/", "//", "/a", "/A", "/a/", "/a//b", "/a/../b", "/./a", "/..", "/%2e%2e/", "/%41", "/%61", "/a%2Fb", "/caf%C3%A9", "/caf%c3%a9", "/caf\xc3\xa9", "/\xff\xfe",
	"/a;b", "/a{b}", "/a}", "/a$b", "/$host", "/${host}", "/a\"b", "/a'b", "/a\\b", "/\\", "/a\\\"b", "/a\\\\", "/a#b", "/~a", "/*", "/*.php", "/.htaccess", "/a:b", "/a|b", "/a&b=c",
	"/a.css", "/a.CSS", "/x.y.Js", "/a.jss", "/.png", "/png", "/a.jpg/b", "/a.woff2", "/a.woff22", "/a.m\xc3\x84p", "/a.gif.",
	"/default", "/include", "/hostnames", "/volatile", "/x.example", "/[", "/(", "/a^", "/a+b", "/a,b",
}

// edges of pieces: what differs in the last byte of one, or in the first of the next.
func longPaths() (paths []string) {
	for _, n := range []int{36, 37, 38, 39, 75, 76, 77, 113, 114, 115, 151, 152, 153, 189, 190, 191, 227, 228, 229, 260} {
		at := "/" + strings.Repeat("abcdefg/", 40)[:n-1]
		paths = append(paths, at, at[:n-1]+"Z", at[:n-1]+"\\", at[:n-1]+"\"")
	}
	return paths
}

func TestKnownPathsMatchExactly(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	all := append(longPaths(), hostilePaths...)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 120 {
		var b strings.Builder
		for range 1 + rng.IntN(4) {
			b.WriteByte('/')
			for range rng.IntN(45) {
				b.WriteByte(byte('!' + rng.IntN(94)))
			}
		}
		all = append(all, strings.ReplaceAll(b.String(), "?", "x"))
	}
	var inA, inB []string
	for i, path := range all {
		if i%2 == 0 {
			inA = append(inA, path)
		}
		if i%3 == 0 {
			inB = append(inB, path)
		}
	}
	var uris []string
	for i, path := range all {
		uris = append(uris, path, path+"?a=1&b="+path, path+"x")
		if i%4 == 0 {
			uris = append(uris, strings.ToUpper(path), path[:len(path)-1])
		}
	}
	if n := checkPaths(t, knownPaths("a.example", inA...), knownPaths("b.example", inB...), uris); n < 2*len(uris) {
		t.Errorf("only %d of %d requests were answered", n, 3*len(uris))
	}
}

func FuzzKnownPath(f *testing.F) {
	for _, path := range hostilePaths {
		f.Add([]byte(path), []byte("/other"))
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		list := knownPaths("a.example", string(one), "/"+string(one))
		var uris []string
		for _, path := range []string{string(one), "/" + string(one), string(other), "/" + string(other)} {
			if len(path) < 2000 && !strings.ContainsAny(path, " \r\n\x00") && strings.HasPrefix(path, "/") {
				uris = append(uris, path)
			}
		}
		if len(list.Entries) > 0 {
			checkPaths(t, list, knownPaths("b.example", string(other), "/x"), uris)
		}
	})
}

var hostileForms = []string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/9155.1 Safari/1",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1",
	"curl/8.5.0", "curl/8", "curl/.8", "curl/8.", "curl/8._5", "curl/8_5.", "curl/", "CURL/1", "12", "1.2", ".", "_", "1_", "_1", "-", "-1", "1-", "a1b22c333d4.5e6_7f", "x1x2x3x4x5x6x7x8x9x", "0", "a",
	"${weir_agent_part0}", "$weir_agent_form1", "y", "1:a", ";1;y", "caf\xc3\xa9 1", "tab\there", strings.Repeat("1a", 20), strings.Repeat("1a", 21), strings.Repeat("1.", 20) + "1", strings.Repeat("a1", 20), strings.Repeat("a1", 21),
	strings.Repeat("a", 37), strings.Repeat("a", 38), strings.Repeat("a", 39), strings.Repeat("b", 76) + "5", strings.Repeat("b", 227), strings.Repeat("b", 228), strings.Repeat("b", 229), strings.Repeat("b", 228) + strings.Repeat("7", 92),
	strings.Repeat("b", 228) + strings.Repeat("7", 93), strings.Repeat("1", 320), strings.Repeat("ab/", 60) + "\\", strings.Repeat("ab/", 60) + "\"",
}

func TestKnownAgentsMatchExactly(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	all := append(append([]string(nil), hostileForms...), sendable(hostile)...)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 120 {
		var b strings.Builder
		for range rng.IntN(12) {
			b.WriteString([]string{"a", "Z", "/", ".", "_", "7", "12", "; ", "(", ")", "0.0", "\\", "\"", "$", "{", "-"}[rng.IntN(16)])
		}
		all = append(all, b.String())
	}
	var inA, inB []string
	var questions []question
	for i, agent := range all {
		if i%2 == 0 {
			inA = append(inA, agent)
		}
		if i%3 == 0 {
			inB = append(inB, agent)
		}
		questions = append(questions, question{"/", agent}, question{"/", agent + "x"}, question{"/", strings.ToUpper(agent) + "7"}, question{"/", strings.ReplaceAll(agent, "5", "77.1")})
	}
	if n := checkKnown(t, knownOf(schemas.ListedAgents, "a.example", inA...), knownOf(schemas.ListedAgents, "b.example", inB...), questions); n < 2*len(questions) {
		t.Errorf("only %d of %d requests were answered", n, 3*len(questions))
	}
}

func FuzzKnownAgent(f *testing.F) {
	for _, agent := range hostileForms {
		f.Add([]byte(agent), []byte("curl/8"))
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		list := knownOf(schemas.ListedAgents, "a.example", string(one), string(one)+"/7.")
		var questions []question
		for _, agent := range sendable([]string{string(one), string(one) + "3", string(other), "9" + string(other)}) {
			if len(agent) < 2000 {
				questions = append(questions, question{"/", agent})
			}
		}
		if len(list.Entries) > 0 {
			checkKnown(t, list, knownOf(schemas.ListedAgents, "b.example", string(other), "x"), questions)
		}
	})
}

var hostileQueries = []string{
	"", "a", "a=1", "A=1", "a=1&b=2", "b&a", "&", "&&a", "a&", "a&&b=", "=", "=a", "a==b", "a=b=c", "a=&=b", "a;b", "a+b", "%61=1", "a%", "a[]=1", "a[0]=1", "a-b_c.d=1", "a$b", "${weir_query_key0}=1",
	"a=?x&c=1", "?a=1", "a=1?b=2", "caf\xc3\xa9=1", "a=\xff&c", "a\"b=1", "a\\b=1", "a#b=1", "a=1#b&c=2", "x=1&y=2&z=3&a=4&b=5&c=6", "x&y&z&a&b&c&d", "a&b&a&b&a&b&nope", "a&b&a&b&a&nope", "&&&&&&nope", "&&&&&nope",
	"abcdefghijabcdefghijabcdefghijabcdef=1", "abcdefghijabcdefghijabcdefghijabcdefg=1", "a=1&abcdefghijabcdefghijabcdefghijabcdefg=1", "utm_source=x&a=1", "1:a=2", "y", "k", "e", "x", ";a;",
	"a=" + strings.Repeat("v", 1022), "a=" + strings.Repeat("v", 1023), "nope=" + strings.Repeat("v", 1019), "nope=" + strings.Repeat("v", 1020),
}

func TestKnownQueriesMatchExactly(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	queries := append([]string(nil), hostileQueries...)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var b strings.Builder
		for range rng.IntN(14) {
			b.WriteString([]string{"a", "b", "B", "c", "&", "&", "=", "=", "7", "?", ".", "%", "[", "x"}[rng.IntN(14)])
		}
		queries = append(queries, b.String())
	}
	var questions []question
	for i, query := range queries {
		path := []string{"/", "/a.css", "/A.Png", "/a.css/x", "/" + strings.Repeat("p", 1023), "/" + strings.Repeat("p", 1024), "/%3f.js"}[i%7]
		questions = append(questions, question{path + "?" + query, "x"}, question{"/x?" + query, "x"}, question{path, "x"})
	}
	a := knownOf(schemas.ListedQueries, "a.example", "a", "b", "x", "y", "z", "a[]", "a[0]", "%61", "utm_source", "abcdefghijabcdefghijabcdefghijabcdef")
	b := knownOf(schemas.ListedQueries, "b.example", "c", "a-b_c.d", "7", "ab", "nope")
	if n := checkKnown(t, a, b, questions); n < 2*len(questions) {
		t.Errorf("only %d of %d requests were answered", n, 3*len(questions))
	}
}

func FuzzKnownQuery(f *testing.F) {
	for _, query := range hostileQueries {
		f.Add([]byte("/"), []byte(query), []byte("a"))
	}
	f.Fuzz(func(t *testing.T, path, query, key []byte) {
		uri := "/" + string(path) + "?" + string(query)
		if len(uri) > 3000 || strings.ContainsAny(uri, " \r\n\x00") {
			return
		}
		if list := knownOf(schemas.ListedQueries, "a.example", string(key), "a"); len(list.Entries) > 0 {
			checkKnown(t, list, knownOf(schemas.ListedQueries, "b.example", "x"), []question{{uri, "x"}, {uri + "&" + string(key[:min(len(key), 9)]) + "=1", "x"}})
		}
	})
}

// A measure that asks for known paths counts where the site's list is, and is refused, not
// dropped silently, where it is not.
func TestUnknownPathsAreThrottledWhereTheListIs(t *testing.T) {
	s := newServer(t, includeHTTP, site)
	s.start()
	e := newEnforcer(t, s.options())
	unknown := func(n int, action schemas.Action, sites ...string) schemas.Event {
		m := blocked(n)
		m.Action, m.Scope, m.Value, m.Sites = action, schemas.ScopeSignature, `referer="none" `+pathUnknown, sites
		return added(m)
	}
	e.Apply(unknown(1, schemas.Throttle, "a.example"), unknown(2, schemas.Block, "b.example"), added(blocked(3)))
	e.attempt(within(t))
	if refused := e.Status().Refused; len(refused) != 2 || !strings.Contains(refused[0].Reason, "a.example") {
		t.Errorf("refused: %v", refused)
	}
	e.Known(knownPaths("a.example", "/", "/known"))
	e.attempt(within(t))
	if refused := e.Status().Refused; len(refused) != 1 || !strings.Contains(refused[0].Reason, "b.example") {
		t.Errorf("refused: %v", refused)
	}
	for _, x := range []struct {
		host, uri string
		status    int
		lines     []string
	}{
		{"a.example", "/wp-login.php", 429, nil},
		{"a.example", "/Known?x=1", 200, nil},
		{"a.example", "/wp-login.php", 200, []string{"Referer: http://a.example/"}},
		{"b.example", "/wp-login.php", 200, nil},
	} {
		if err := s.until(within(t), get(x.host, x.uri, "198.51.100.1", x.lines...), answers(x.status)); err != nil {
			t.Errorf("%+v: %v", x, err)
		}
	}
	e.Known(knownPaths("a.example", "/", "/known", "/wp-login.php")) // published meanwhile
	e.attempt(within(t))
	if err := s.until(within(t), get("a.example", "/wp-login.php", "198.51.100.1"), answers(200)); err != nil {
		t.Error(err)
	}
}

func TestPathListsAreBounded(t *testing.T) {
	e, err := New(Options{Dir: "/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	long := &schemas.SiteList{}
	for i := range 40_000 {
		long.Entries = append(long.Entries, fmt.Sprintf("/%0200d", i))
	}
	for i := range 20 {
		list := *long
		list.Site = fmt.Sprintf("s%02d.example", i)
		e.Known(&list)
	}
	if len(e.lists) < 2 || e.listBytes > maxListBytes {
		t.Errorf("%d lists, %d bytes", len(e.lists), e.listBytes)
	}
}
