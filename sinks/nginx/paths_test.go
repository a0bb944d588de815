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
func knownPaths(site string, paths ...string) *schemas.SitePaths {
	list := &schemas.SitePaths{Site: site}
	for _, path := range paths {
		if key, ok := schemas.KnownPath(nil, []byte(path)); ok {
			list.Paths = append(list.Paths, string(key))
		}
	}
	slices.Sort(list.Paths)
	list.Paths = slices.Compact(list.Paths)
	return list
}

const pathUnknown = `path_known="no"`

// pathVerdict is what schemas says of a URI as nginx logs it.
func pathVerdict(list *schemas.SitePaths, uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	key, ok := schemas.KnownPath(nil, []byte(path))
	if !ok || len(list.Paths) == 0 {
		return ""
	}
	if _, found := slices.BinarySearch(list.Paths, string(key)); found || schemas.AssetPath(key) {
		return "yes"
	}
	return "no"
}

// checkPaths has a real nginx with two sites' lists say of each URI whether it is known.
func checkPaths(t testing.TB, a, b *schemas.SitePaths, uris []string) (answered int) {
	t.Helper()
	s := newServer(t, includeHTTP, `location / { return 200 "$weir_path_known\n$request_uri"; }`)
	s.single()
	files := s.apply(Set{
		Paths: NewPathList([]*schemas.SitePaths{a, b}),
		Measures: []Measure{
			measure("i1-1", schemas.Block, schemas.ScopeSignature, pathUnknown),
			measure("i1-2", schemas.Block, schemas.ScopeClient, "203.0.113.7"),
		},
	})
	if len(files.Refused) > 0 {
		t.Fatal(files.Refused)
	}
	s.start()
	w := s.dial()
	for _, uri := range uris {
		for _, site := range []*schemas.SitePaths{a, b, {Site: "c.example"}} {
			status, body := w.say(get(site.Site, uri, "198.51.100.1"))
			if status != 200 {
				w.connection.Close()
				w = s.dial()
				continue
			}
			answered++
			got, seen, _ := strings.Cut(body, "\n")
			if want := pathVerdict(site, seen); got != want {
				t.Errorf("%s %q: nginx says %q, schemas says %q", site.Site, seen, got, want)
			}
		}
	}
	w.connection.Close()
	return answered
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
		if len(list.Paths) > 0 {
			checkPaths(t, list, knownPaths("b.example", string(other), "/x"), uris)
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
	e.Paths(knownPaths("a.example", "/", "/known"))
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
	e.Paths(knownPaths("a.example", "/", "/known", "/wp-login.php")) // published meanwhile
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
	long := &schemas.SitePaths{}
	for i := range 40_000 {
		long.Paths = append(long.Paths, fmt.Sprintf("/%0200d", i))
	}
	for i := range 20 {
		list := *long
		list.Site = fmt.Sprintf("s%02d.example", i)
		e.Paths(&list)
	}
	if len(e.paths) < 2 || e.pathBytes > maxPathBytes {
		t.Errorf("%d lists, %d bytes", len(e.paths), e.pathBytes)
	}
}
