package nginx

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// echo answers with the signatures' hits and the trait's variable as nginx saw
// it, which is what it logs.
const echo = `location / { return 200 "$weir_signature\n%s"; }`

// session is one nginx that has exactly these signatures, one trait each, with
// the ids v0, v1, ...; those refused are false.
func session(t testing.TB, trait schemas.Trait, values []string, variable string) (*server, []bool) {
	t.Helper()
	set := Set{}
	for i, value := range values {
		text := schemas.Signature{{Trait: trait, Value: value}}.String()
		set.Measures = append(set.Measures, measure(fmt.Sprintf("v%d", i), schemas.Block, schemas.ScopeSignature, text))
	}
	s := newServer(t, includeHTTP, fmt.Sprintf(echo, variable))
	s.single()
	files := s.apply(set)
	carried := make([]bool, len(values))
	for i := range carried {
		carried[i] = true
	}
	for _, refusal := range files.Refused {
		var i int
		fmt.Sscanf(refusal.ID, "v%d", &i)
		carried[i] = false
	}
	if files.Total() == 0 { // nothing in force: the variable would not be there
		return nil, carried
	}
	s.start()
	return s, carried
}

// matched are the ids in hits.
func matched(hits string) map[string]bool {
	ids := map[string]bool{}
	for hit := range strings.SplitSeq(hits, ",") {
		if fields := strings.Split(hit, ":"); len(fields) == 3 {
			ids[fields[2]] = true
		}
	}
	return ids
}

// agree asks nginx for each request and compares what it matched with what
// schemas says of the value that nginx saw. It returns how many were answered.
func agree(t testing.TB, s *server, trait schemas.Trait, values []string, carried []bool, raws []string, request func(seen string) schemas.Request) int {
	t.Helper()
	answered := 0
	w := s.dial()
	for _, raw := range raws {
		status, body := w.say(raw)
		if status != 200 { // nginx refuses some bytes, and closes
			w.connection.Close()
			w = s.dial()
			continue
		}
		answered++
		hits, seen, _ := strings.Cut(body, "\n")
		got := matched(hits)
		r := request(seen)
		for i, value := range values {
			want, _ := schemas.Signature{{Trait: trait, Value: value}}.Match(&r, nil)
			want = want && carried[i]
			if got[fmt.Sprintf("v%d", i)] != want {
				t.Errorf("%s: value %q, request %q: nginx says %v, schemas says %v", trait, value, seen, !want, want)
			}
		}
	}
	w.connection.Close()
	return answered
}

// hostile are values that mean something to one of the languages in between.
var hostile = []string{
	"", "-", "~", "~*x", "\\", "\\\\", "\"", "'", "\\\"", "$", "$host", "${host}", "$1", "{", "}", "};", "#", ";", "a;b",
	"default", "hostnames", "include", "volatile", "\\default", "*.example", ".example", "(", ")", "[", "]", "a|b", "a.c", "abc",
	"\\Qx\\E", "\\x41", "A", "a", "%0a", "\t", "a\tb", "x\x01y", "\x7f", "\xff\xfe", "\xc3\xa4", "\xc3", "(?i)a", "(*UTF8)a", "^a$",
	"\\n", "\\r", "\\t", "n", "\\z", " a", "a ", "a  b", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
	strings.Repeat("a", 2047), strings.Repeat("a", 2048), strings.Repeat(".", 1990), strings.Repeat("\\", 990), strings.Repeat("\xff", 2000),
}

// variants of a value come close to it.
func variants(value string) []string {
	out := []string{value, value + "x", "x" + value, strings.ToUpper(value), strings.ToLower(value), value + "\\", strings.ReplaceAll(value, ".", "x")}
	for i := range min(len(value), 3) {
		out = append(out, value[:i]+value[i+1:], value[:i]+"z"+value[i+1:])
	}
	return out
}

// sendable are the values that one header line can carry.
func sendable(values []string) []string {
	var out []string
	for _, value := range values {
		if !strings.ContainsAny(value, "\r\n\x00") {
			out = append(out, value)
		}
	}
	return out
}

func agentRequest(seen string) schemas.Request {
	return schemas.Request{Fields: schemas.FieldUserAgent, UserAgent: []byte(cut(seen))}
}

// cut is what a collector does to what it reads.
func cut(s string) string { return s[:min(len(s), schemas.MaxText)] }

func checkAgents(t testing.TB, values []string) int {
	s, carried := session(t, schemas.TraitUserAgent, values, "$http_user_agent")
	if s == nil {
		return 0
	}
	var raws []string
	for _, value := range values {
		for _, v := range sendable(variants(value)) {
			raws = append(raws, get("h.example", "/", "198.51.100.1", "User-Agent: "+v))
		}
	}
	return agree(t, s, schemas.TraitUserAgent, values, carried, raws, agentRequest)
}

func TestHostileAgentsMatchExactly(t *testing.T) {
	t.Parallel()
	if n := checkAgents(t, hostile); n < len(hostile) {
		t.Errorf("only %d requests were answered", n)
	}
}

func TestAnyAgentMatchesExactly(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	text := rapid.OneOf(
		rapid.StringMatching(`[ -~]{0,40}`),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "bytes")) }),
		rapid.StringMatching(`[\\"'$\{\};~.*?()|^\[\]# trnx0-9]{1,12}`),
	)
	// Drawn first and then asked for together: each nginx takes a while to start,
	// and values meet each other's requests. A value that fails is printed whole.
	distinct := map[string]bool{}
	rapid.Check(t, func(r *rapid.T) {
		for _, value := range rapid.SliceOfN(text, 1, 8).Draw(r, "values") {
			distinct[value] = true
		}
	})
	for values := range slices.Chunk(sortedKeys(distinct), 100) {
		checkAgents(t, values)
	}
}

func FuzzAgent(f *testing.F) {
	for _, value := range hostile[:12] {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) <= 4096 {
			checkAgents(t, []string{string(value)})
		}
	})
}

// uris make many shapes and queries.
func uris(n int) []string {
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"", "a", "abcde", "abcdefghijklmn", "1", "12345", "1234567890123", "a1", "abc123", "a-b", "hello-world", "a_very-long-segment1",
		"x.php", "index.html", ".htaccess", "a.b.c", "abc.tar.gz", "a.toolongext", "a.", "%20", "a~b", "abc+def.js", "-.js", "a1b2c.min.css", "\xc3\xa4", "x~.png"}
	keys := []string{"", "a", "page", "q", "a%5B0%5D", "a[]", "k!", "k+", strings.Repeat("k", 64), strings.Repeat("k", 65), "ä", "?", "a?b", "id-1"}
	values := []string{"", "=", "=1", "=a=b", "=%26", "=?"}
	var out []string
	for range n {
		uri := ""
		for range 1 + rng.IntN(6) {
			uri += "/" + pieces[rng.IntN(len(pieces))]
		}
		if rng.IntN(3) > 0 {
			uri += "?"
			for i := range rng.IntN(9) {
				if i > 0 {
					uri += "&"
				}
				uri += keys[rng.IntN(len(keys))] + values[rng.IntN(len(values))]
			}
		}
		out = append(out, uri)
	}
	return append(out, "/", "//", "/?", "/??", "/?&", "/?=", "/?&=", "/?=&", "/?a&", "/?a&&", "/?a&b&c&d&e&f", "/?a&b&c&d&e&f&", "/?a&b&c&d&e&f&g", "/a/b/c/d", "/a/b/c/d/", "/a/b/c/d/e", "/a/b/c/d//", "*")
}

func uriRequest(seen string) schemas.Request {
	path, query, _ := strings.Cut(seen, "?")
	return schemas.Request{Path: []byte(path), Query: []byte(query)}
}

func checkURIs(t *testing.T, trait schemas.Trait) {
	all := uris(1500)
	distinct := map[string]bool{}
	var raws []string
	for i, uri := range all {
		r := uriRequest(uri)
		value, _ := trait.Value(nil, &r)
		if i%3 == 0 || i >= 1500 { // the rest meets values of others
			distinct[string(value)] = true
		}
		method := "GET"
		if uri == "*" {
			method = "OPTIONS"
		}
		raws = append(raws, strings.Replace(get("h.example", uri, "198.51.100.1"), "GET", method, 1))
	}
	values := sortedKeys(distinct)
	s, carried := session(t, trait, values, "$request_uri")
	for i, ok := range carried {
		if !ok {
			t.Errorf("%s %q is refused", trait, values[i])
		}
	}
	if n := agree(t, s, trait, values, carried, raws, uriRequest); n < len(raws)*9/10 {
		t.Errorf("only %d of %d requests were answered", n, len(raws))
	}
}

func TestPathShapesMatchExactly(t *testing.T) {
	t.Parallel()
	checkURIs(t, schemas.TraitPathShape)
}
func TestQueryKeysMatchExactly(t *testing.T) {
	t.Parallel()
	checkURIs(t, schemas.TraitQueryKeys)
}

func TestRefererKindsMatchExactly(t *testing.T) {
	t.Parallel()
	kinds := []string{"none", "same", "other"}
	s, carried := session(t, schemas.TraitReferer, kinds, "$host\t$http_referer")
	var raws []string
	for _, host := range []string{"a.example", "A.example:80", "b.example", "[::1]"} {
		for _, referer := range []string{"", "-", "--", "http://a.example", "https://a.example/", "http://a.example.evil/", "http://a.example:80/x", "https://a.example?x", "https://a.example#x",
			"HTTP://a.example/", "http://A.example/", "ftp://a.example/", "xhttp://a.example/", "http://axexample/", "http:///", "https://b.example/a.example", "http://[::1]/", " x"} {
			raws = append(raws, get(host, "/", "198.51.100.1", "Referer: "+referer))
		}
	}
	n := agree(t, s, schemas.TraitReferer, kinds, carried, raws, func(seen string) schemas.Request {
		host, referer, _ := strings.Cut(seen, "\t")
		return schemas.Request{Fields: schemas.FieldReferer, Site: []byte(host), Referer: []byte(referer)}
	})
	if n != len(raws) {
		t.Errorf("%d of %d answered", n, len(raws))
	}
}

func TestOtherTraitsMatchExactly(t *testing.T) {
	t.Parallel()
	t.Run("method", func(t *testing.T) {
		values := []string{"GET", "get", "POST", "PURGE", "X_Y", "DELETE"}
		s, carried := session(t, schemas.TraitMethod, values, "$request_method")
		var raws []string
		for _, method := range append(values, "GETX", "PURG", "OPTIONS") {
			raws = append(raws, strings.Replace(get("h.example", "/", "198.51.100.1"), "GET", method, 1))
		}
		if agree(t, s, schemas.TraitMethod, values, carried, raws, func(seen string) schemas.Request { return schemas.Request{Method: []byte(seen)} }) < 5 {
			t.Error("too few answers")
		}
	})
	t.Run("cookie", func(t *testing.T) {
		values := []string{"none", "some"}
		s, carried := session(t, schemas.TraitCookie, values, "$weir_cookie")
		raws := []string{get("h.example", "/", "198.51.100.1"), get("h.example", "/", "198.51.100.1", "Cookie: a=b"), get("h.example", "/", "198.51.100.1", "Cookie:")}
		agree(t, s, schemas.TraitCookie, values, carried, raws, func(seen string) schemas.Request {
			cookie := schemas.CookieNone
			if seen == "1" {
				cookie = schemas.CookieSome
			}
			return schemas.Request{Cookie: cookie}
		})
	})
	t.Run("agent family", func(t *testing.T) {
		values := []string{schemas.AgentNone, schemas.AgentTool}
		words := []string{"", " ", "x", "Mozilla/5.0 "}
		for _, family := range schemas.AgentFamilies() {
			values = append(values, family.Name)
			words = append(words, family.Words...)
		}
		s, carried := session(t, schemas.TraitAgentFamily, values, "$http_user_agent")
		var raws []string
		for _, one := range words {
			for _, other := range words {
				agent := "a " + one + strings.ToUpper(other) + " " + other
				raws = append(raws, get("h.example", "/", "198.51.100.1", "User-Agent: "+agent))
			}
		}
		raws = append(raws, get("h.example", "/", "198.51.100.1"), get("h.example", "/", "198.51.100.1", "User-Agent: curl/8.5.0"))
		if n := agree(t, s, schemas.TraitAgentFamily, values, carried, raws, agentRequest); n != len(raws) {
			t.Errorf("%d of %d answered", n, len(raws))
		}
	})
	t.Run("tls", func(t *testing.T) { checkTLS(t) })
}

// checkTLS puts a header's text where the TLS variables are, because no client
// here can be made to send any list of curves.
func checkTLS(t *testing.T) {
	raw := []string{"  ", "TLSv1.2 A ", "TLSv1.2 A X25519", "TLSv1.2 A 0x1a1a:X25519", "TLSv1.2 A X25519:0xCACA", "TLSv1.2 A 0x1a2a:X25519", "TLSv1.2 A X25519:0x0a0a:prime256v1",
		"TLSv1.2 A X25519::prime256v1:", "TLSv1.2 A 0x0a0a", "TLSv1.2 AxB X25519", "TLSv1.2 A X25519:prime256v1:secp384r1", "TLSv1.2 A prime256v1:X25519", "TLSv1.3 A.B X25519", ":", "TLSv1.2 A :0x2a2a::X25519:0x3a3a:0x4a4a:0x6399:0x5a5a:"}
	distinct := map[string]bool{}
	var raws []string
	for _, text := range raw {
		distinct[string(schemas.NormaliseTLS(nil, []byte(text)))] = true
		raws = append(raws, get("h.example", "/", "198.51.100.1", "X-TLS: >"+text+"<"))
	}
	values := sortedKeys(distinct)
	set := Set{}
	for i, value := range values {
		text := schemas.Signature{{Trait: schemas.TraitTLS, Value: value}}.String()
		set.Measures = append(set.Measures, measure(fmt.Sprintf("v%d", i), schemas.Block, schemas.ScopeSignature, text))
	}
	s := newServer(t, "map $http_x_tls $tls { \"~^>(.*)<\\z\" $1; }\n"+includeHTTP, fmt.Sprintf(echo, "$tls"))
	files := s.apply(set)
	if len(files.Refused) > 0 {
		t.Fatal(files.Refused)
	}
	main := s.dir() + "/" + files.Lists[len(files.Lists)-1].Name
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(main, []byte(strings.ReplaceAll(string(text), traitSources[schemas.TraitTLS], "$tls")), 0o644); err != nil {
		t.Fatal(err)
	}
	s.start()
	carried := make([]bool, len(values))
	for i := range carried {
		carried[i] = true
	}
	n := agree(t, s, schemas.TraitTLS, values, carried, raws, func(seen string) schemas.Request {
		return schemas.Request{Fields: schemas.FieldTLS, TLS: schemas.NormaliseTLS(nil, []byte(seen))}
	})
	if n != len(raws) {
		t.Errorf("%d of %d answered", n, len(raws))
	}
}

// TestEveryListOfCurvesIsCarried: one client that offers many must not have a score refused that lists what it sends.
func TestEveryListOfCurvesIsCarried(t *testing.T) {
	for _, curve := range []string{"0x1234", "X25519", "a"} {
		value := "TLSv1.3 TLS_AES_128_GCM_SHA256 " + curve
		for len(value)+1+len(curve) < schemas.MaxTrait {
			value += ":" + curve
		}
		if _, err := traitKey(schemas.TraitValue{Trait: schemas.TraitTLS, Value: value}); err != nil {
			t.Errorf("%.60s...: %v", value, err)
		}
	}
}

func TestImpossibleValuesAreRefused(t *testing.T) {
	for trait, values := range map[schemas.Trait][]string{
		schemas.TraitPathShape: {"", "a", "/a", "/a4", "/z1", "/a1.", "/a1.toolong", "/a1/a1/a1/a1/a1", "/a1.x/a1", "/+", "/a1/+"},
		schemas.TraitQueryKeys: {"+", "a&+", "ä", "a&b&c&d&e&f&g", "a&b&c&d&e&f&g&h", strings.Repeat("k", 65)},
		schemas.TraitReferer:   {"", "Same"},
		schemas.TraitCookie:    {"", "1"},
		schemas.TraitTLS:       {" ", "a  b", "TLSv1.2 A 0x0a0a", "a b c d"},
		schemas.TraitMethod:    {strings.Repeat("A", 33)},
		schemas.TraitUserAgent: {strings.Repeat("\\", 2000)},
	} {
		for _, value := range values {
			if key, err := traitKey(schemas.TraitValue{Trait: trait, Value: value}); err == nil {
				t.Errorf("%s %q becomes %s", trait, value, key)
			}
		}
	}
}

func TestLeaseCoversItsSecondsAndNoOthers(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		from := rapid.Int64Range(minUnix, 3_000_000_000).Draw(r, "from")
		until := from + rapid.Int64Range(0, 20_000).Draw(r, "length")
		prefixes := decimalPrefixes(from, until)
		covers := func(second int64) bool {
			text := fmt.Sprint(second)
			for _, prefix := range prefixes {
				if strings.HasPrefix(text, prefix) {
					return true
				}
			}
			return false
		}
		for _, second := range []int64{from, until, (from + until) / 2, rapid.Int64Range(from, until).Draw(r, "second")} {
			if !covers(second) {
				r.Fatalf("%d..%d: %d is not covered", from, until, second)
			}
		}
		for _, second := range []int64{from - 1, until + 1, rapid.Int64Range(minUnix, maxUnix).Draw(r, "any")} {
			if covers(second) != (second >= from && second <= until) {
				r.Fatalf("%d..%d: %d is covered", from, until, second)
			}
		}
	})
	if _, err := (Lease{From: time.Unix(0, 0), Until: far}).pattern(); err == nil {
		t.Error("a lease from 1970 is taken")
	}
}
