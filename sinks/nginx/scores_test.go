package nginx

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// asking is a request of which a score and nginx are both asked.
type asking struct{ host, method, uri, agent, language, encoding, referer, cookie, from string }

func (a asking) raw() string {
	lines := []string{"User-Agent: " + a.agent, "Accept-Language: " + a.language, "Accept-Encoding: " + a.encoding}
	if a.referer != "" {
		lines = append(lines, "Referer: "+a.referer)
	}
	if a.cookie != "" {
		lines = append(lines, "Cookie: "+a.cookie)
	}
	return strings.Replace(get(a.host, a.uri, cmp.Or(a.from, "198.51.100.1"), lines...), "GET", a.method, 1)
}

func (a asking) request() *schemas.Request {
	path, query, _ := strings.Cut(a.uri, "?")
	r := &schemas.Request{
		Site: []byte(a.host), Method: []byte(a.method), Path: []byte(path), Query: []byte(query), Protocol: []byte("HTTP/1.1"), UserAgent: []byte(a.agent),
		AcceptLanguage: []byte(a.language), AcceptEncoding: []byte(a.encoding), Referer: []byte(a.referer), Cookie: schemas.CookieNone, Fields: ^schemas.Fields(0),
	}
	if a.cookie != "" {
		r.Cookie = schemas.CookieSome
	}
	r.Client, _ = netip.ParseAddr(cmp.Or(a.from, "198.51.100.1"))
	return r
}

// What askings are made of; a longer agent than nginx's patterns are, one cut, and what means something to nginx are among it.
var askedOf = struct{ hosts, methods, uris, agents, languages, encodings, referers, cookies, froms []string }{
	[]string{"a.example", "c.example"},
	[]string{"GET", "POST", "PUT"},
	[]string{"/", "/a", "/b.css", "/a/b-c/12?q=1", "/none?page=2&q", "/x//y", "/?", "/caf%C3%A9", "/\"}$host"},
	[]string{"", "curl/8", "Curl/8", "Mozilla/5.0 (X11; Linux) Firefox/140", "Mozilla/5.0 Chrome/140 Safari/537", "Googlebot/2.1", `x\"}$host;`, "~^x{3}", strings.Repeat("a", 2048), strings.Repeat("a", 2047)},
	[]string{"", "de", "en-US,en;q=0.5"},
	[]string{"", "gzip", "gzip, deflate, br, zstd"},
	[]string{"", "-", "https://a.example/x", "http://c.example", "https://elsewhere.example/"},
	[]string{"", "a=b"},
	[]string{"198.51.100.1", "198.48.0.1", "198.47.255.255", "198.63.255.254", "198.64.0.1", "203.0.113.9", "1.2.3.4", "223.255.255.1", "2a02:1200::1", "2a02:12ff:ffff::1", "2a02:1300::1", "2a03::1", "2001:db8:1::1"},
}

func drawAsking(t *rapid.T) asking {
	of := func(list []string, what string) string { return rapid.SampledFrom(list).Draw(t, what) }
	return asking{of(askedOf.hosts, "host"), of(askedOf.methods, "method"), of(askedOf.uris, "uri"), of(askedOf.agents, "agent"), of(askedOf.languages, "language"),
		of(askedOf.encodings, "encoding"), of(askedOf.referers, "referer"), of(askedOf.cookies, "cookie"), of(askedOf.froms, "from")}
}

// drawScore draws one of values that askings have.
func drawScore(t *rapid.T, known [schemas.NumListed]schemas.KnownSet) *schemas.Score {
	s := &schemas.Score{}
	fewest, most := 0, 0
	for trait := range schemas.NumScored {
		if schemas.Trait(trait) == schemas.TraitTLS || rapid.IntRange(0, 2).Draw(t, "left out") == 0 {
			continue
		}
		st := schemas.ScoreTrait{Trait: schemas.Trait(trait), Other: rapid.IntRange(0, 20).Draw(t, "other")}
		low, high := st.Other, st.Other
		values := map[string]bool{}
		for range rapid.IntRange(0, 4).Draw(t, "values") {
			if v, ok := valueOf(st.Trait, drawAsking(t), known); ok {
				values[v] = true
			}
		}
		for _, v := range sortedKeys(values) {
			points := rapid.IntRange(0, 20).Draw(t, "points")
			st.Values = append(st.Values, schemas.ScoreValue{Value: v, Points: points})
			low, high = min(low, points), max(high, points)
		}
		s.Traits, fewest, most = append(s.Traits, st), fewest+low, most+high
	}
	if fewest == most {
		t.Skip("it tells nothing apart")
	}
	s.Least = rapid.IntRange(fewest+1, most).Draw(t, "least")
	s.Sort()
	return s
}

// valueOf is what a request shows, at a site whose list is known or at one without any.
func valueOf(trait schemas.Trait, a asking, known [schemas.NumListed]schemas.KnownSet) (string, bool) {
	if of, listed := schemas.ListedOf(trait); listed {
		var set schemas.KnownSet
		if a.host == "a.example" {
			set = known[of]
		}
		value, _ := of.Value(set, a.request(), nil)
		return value, value != ""
	}
	value, ok := trait.Value(nil, a.request())
	return string(value), ok
}

func TestScoresAddUpExactly(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	list := knownPaths("a.example", "/", "/a", "/x//y")
	agents, queries := knownOf(schemas.ListedAgents, "a.example", "Curl/8", "Googlebot/2.1"), knownOf(schemas.ListedQueries, "a.example", "q")
	known := [schemas.NumListed]schemas.KnownSet{list.Set(), agents.Set(), queries.Set()}
	// All are drawn first and then asked for together: each nginx takes a while to start.
	var scores []*schemas.Score
	var askings []asking
	rapid.Check(t, func(t *rapid.T) {
		scores = append(scores, drawScore(t, known))
		askings = append(askings, drawAsking(t), drawAsking(t))
	})
	set := Set{Lists: NewLists(list, agents, queries)}
	at := make([][]string, len(scores)) // those that ask for lists, at the site that has them; half of the others everywhere
	for i, score := range scores {
		if i%2 == 0 || slices.ContainsFunc(score.Traits, func(t schemas.ScoreTrait) bool { _, listed := schemas.ListedOf(t.Trait); return listed }) {
			at[i] = []string{"a.example"}
		}
		set.Measures = append(set.Measures, measure(fmt.Sprintf("v%d", i), schemas.Challenge, schemas.ScopeScore, score.String(), at[i]...))
	}
	s := newServer(t, includeHTTP, `location / { return 200 "$weir_signature"; }`)
	s.single()
	if files := s.apply(set); len(files.Refused) > 0 {
		t.Fatal(files.Refused[0])
	}
	s.start()
	w := s.dial()
	hits, answered := 0, 0
	for _, a := range askings {
		status, body := w.say(a.raw())
		if status != 200 { // nginx refuses some bytes, and closes
			w.connection.Close()
			w = s.dial()
			continue
		}
		answered++
		got := matched(body)
		for i, score := range scores {
			want := score.Adds(func(trait schemas.Trait) ([]byte, bool) {
				v, ok := valueOf(trait, a, known)
				return []byte(v), ok
			}) && (at[i] == nil || slices.Contains(at[i], a.host))
			if got[fmt.Sprintf("v%d", i)] != want {
				t.Errorf("%s\n%+v: nginx says %v, schemas says %v", score, a, !want, want)
			}
			if want {
				hits++
			}
		}
	}
	w.connection.Close()
	if answered < len(askings)/2 || hits < answered {
		t.Errorf("%d of %d were answered, %d reached a score: that shows little", answered, len(askings), hits)
	}
}

// TestAnUnknownTraitBreaksTheSum: what is known before it may come to the least sum, and no more counts.
func TestAnUnknownTraitBreaksTheSum(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	list, agents := knownPaths("a.example", "/", "/a"), knownOf(schemas.ListedAgents, "a.example", "curl/8")
	s := newServer(t, includeHTTP, `location / { return 200 "$weir_signature"; }`)
	s.single()
	if files := s.apply(Set{Lists: NewLists(list, agents), Measures: []Measure{
		measure("v0", schemas.Challenge, schemas.ScopeScore, `9 of method:0 "POST"=9 path_known:0 "no"=20 agent_known:0 "no"=5`, "a.example"),
		measure("v1", schemas.Challenge, schemas.ScopeScore, `9 of path_known:0 "yes"=20 agent_known:0 "no"=5`, "a.example"),
	}}); len(files.Refused) > 0 {
		t.Fatal(files.Refused[0])
	}
	s.start()
	w := s.dial()
	for _, c := range []struct {
		agent, uri string
		v0, v1     bool
	}{{"curl/8", "/none", true, false}, {"other", "/a", false, true}, {"", "/none", false, false}, {"", "/a", false, false}, {"\xc3", "/none", false, false}} {
		_, body := w.say(asking{host: "a.example", method: "GET", uri: c.uri, agent: c.agent}.raw())
		if got := matched(body); got["v0"] != c.v0 || got["v1"] != c.v1 {
			t.Errorf("%q %s: %v, want %v and %v", c.agent, c.uri, got, c.v0, c.v1)
		}
	}
	w.connection.Close()
}

// TestWhoHasNoAddressReachesNoNetworks: the peer of a unix socket comes from no network, listed or not.
func TestWhoHasNoAddressReachesNoNetworks(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	s := newServer(t, includeHTTP+"\nserver { listen unix:ROOT/peers; server_name a.example; location / { return 200 \"$weir_signature\"; } }", `location / { return 200 "$weir_signature"; }`)
	s.single()
	if files := s.apply(Set{Measures: []Measure{
		measure("v0", schemas.Challenge, schemas.ScopeScore, `9 of method:0 "GET"=9 wide_network:5 "198.0.0.0/8"=0`, "a.example"),
	}}); len(files.Refused) > 0 {
		t.Fatal(files.Refused[0])
	}
	s.start()
	peer := asking{host: "a.example", method: "GET", uri: "/"}
	c, err := net.Dial("unix", filepath.Join(s.root, "peers"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
	answer, err := io.ReadAll(c)
	if _, body, _ := strings.Cut(string(answer), "\r\n\r\n"); err != nil || !strings.Contains(string(answer), " 200 ") || matched(body)["v0"] {
		t.Errorf("it is matched: %v %s", err, answer)
	}
	w := s.dial()
	if _, body := w.say(peer.raw()); !matched(body)["v0"] {
		t.Errorf("a client with an address is not: %s", body)
	}
	w.connection.Close()
}

// TestScoresCostTheirSitesAlone: a score's values are no patterns for other sites' requests to be held against.
func TestScoresCostTheirSitesAlone(t *testing.T) {
	t.Parallel()
	const text = `9 of user_agent:0 "bot"=9 method:0 "POST"=1`
	l := collect(Set{Measures: []Measure{
		measure("i1-1", schemas.Challenge, schemas.ScopeScore, text, "a.example"),
		measure("i1-2", schemas.Challenge, schemas.ScopeScore, text, "c.example"),
		measure("i1-3", schemas.Block, schemas.ScopeSignature, `user_agent="curl/8"`),
	}}, far.Add(-1e9))
	var b bytes.Buffer
	l.signatures.write(&b, "weir")
	for _, want := range []string{
		"map $http_user_agent $weir_is_user_agent {\n    default 0;\n    \"~^curl/8\\z\" 1;\n}\n", // its own alone
		"map $weir_sites $weir_score1_sum {\n    default \"\";\n    \"~\\|1\\|\" \"${weir_score1_user_agent}${weir_score1_method}\";\n}\n",
		"map $weir_scores2_is_user_agent $weir_score2_user_agent {",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s\nis not in\n%s", want, b.String())
		}
	}
}

// TestScoresCountOnTheirSites asks for the verdict, of which scores are a part as signatures are.
func TestScoresCountOnTheirSites(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	const text = `12 of user_agent:0 "bot"=9 method:0 "POST"=5`
	s := newServer(t, includeHTTP, site)
	s.single()
	if files := s.apply(Set{Measures: []Measure{
		measure("i1-1", schemas.Challenge, schemas.ScopeScore, text, "a.example"),
		measure("i1-2", schemas.Block, schemas.ScopeSignature, `user_agent="bot" method="PUT"`),
	}}); len(files.Refused) > 0 || files.InForce[schemas.ScopeScore] != 1 {
		t.Fatal(files.Refused, files.InForce)
	}
	s.start()
	w := s.dial()
	for _, c := range []struct {
		host, method string
		status       int
	}{{"a.example", "POST", 429}, {"c.example", "POST", 200}, {"a.example", "GET", 200}, {"a.example", "PUT", 403}} {
		a := asking{host: c.host, method: c.method, uri: "/", agent: "bot"}
		status, body := w.say(a.raw())
		if status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.host, c.method, status, body, c.status)
		}
		w.connection.Close()
		w = s.dial()
	}
	w.connection.Close()
}

// TestScoreWithoutItsList is refused, as a signature is, until the list is there.
func TestScoreWithoutItsList(t *testing.T) {
	t.Parallel()
	m := measure("i1-1", schemas.Challenge, schemas.ScopeScore, `3 of method:0 "POST"=2 path_known:0 "no"=2`, "a.example")
	files, err := Render(Set{Measures: []Measure{m}}, "/tmp/weir", Lease{From: far.Add(-60e9), Until: far}, far.Add(-30e9))
	if err != nil || len(files.Refused) != 1 || !strings.Contains(files.Refused[0].Reason, "not known here yet") {
		t.Errorf("%v %v", files.Refused, err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if !m.asks(listKey{schemas.ListedPaths, "a.example"}) || m.asks(listKey{schemas.ListedPaths, "c.example"}) || m.asks(listKey{schemas.ListedAgents, "a.example"}) {
		t.Error("it asks for another list than the one that it needs")
	}
}

// TestAValueThatNginxCannotCarry: it is left out of a score, and nobody is stopped for that whom the score would let pass.
func TestAValueThatNginxCannotCarry(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(`\xc3`, 1500) // as a pattern longer than nginx reads
	for _, c := range []struct{ text, want string }{
		{`9 of user_agent:3 "` + long + `"=30 "curl/8"=9`, `9 of user_agent:3 "curl/8"=9`},
		{`9 of user_agent:5 "` + long + `"=2 "curl/8"=9 method:4 "GET"=0`, `9 of user_agent:2 "curl/8"=9 method:4 "GET"=0`},
		{`9 of user_agent:3 "` + long + `"=30`, ""},
		{`5 of tls:0 "TLSv1.3 ` + strings.Repeat("x", schemas.MaxTrait-8) + `"=9 method:0 "POST"=5`, `5 of tls:0 method:0 "POST"=5`},
		{`9 of method:0 "POST"=9 shoe_size:0 "48"=0`, ""}, // a newer weir's trait: by the rest alone nobody is stopped
		{`5 of tls:1 "TLSv1.3  A"=9 referer:0 "none"=5`, `5 of tls:1 referer:0 "none"=5`},
	} {
		p, err := prepareScore(c.text)
		if (err != nil) != (c.want == "") {
			t.Errorf("%.60s: %v", c.text, err)
			continue
		}
		if Check(measure("s", schemas.Challenge, schemas.ScopeScore, c.text)) == nil {
			t.Errorf("%.60s: nothing is said of what is left out", c.text)
		}
		if err != nil {
			continue
		}
		if want, err := schemas.ParseScore(c.want); err != nil || p.score.String() != want.String() || len(p.keys[0]) != len(p.score.Traits[0].Values) {
			t.Errorf("%.60s: became %s, want %s: %v", c.text, p.score, c.want, err)
		}
	}
}

// TestWhatWeirNamesNginxCarries: attribution names no value that an edge refuses.
func TestWhatWeirNamesNginxCarries(t *testing.T) {
	t.Parallel()
	parts := []string{"TLSv1.3", " ", " ", "x", "\xc3", "/", "1", "-", "&", "=", "%", ":", "0x1a1a", "X25519", "abcdefghijklmnop", "\"", "\\", "^", ".", strings.Repeat("k", 40), strings.Repeat("z", 300)}
	rapid.Check(t, func(t *rapid.T) {
		text := func(what string) []byte {
			return []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 90).Draw(t, what), ""))
		}
		r := &schemas.Request{
			Site: []byte("a.example"), Method: text("method"), Path: text("path"), Query: text("query"), Protocol: text("protocol"), UserAgent: text("agent"),
			AcceptLanguage: text("language"), AcceptEncoding: text("encoding"), Referer: text("referer"), TLS: schemas.NormaliseTLS(nil, text("tls")), Cookie: schemas.CookieNone, Fields: ^schemas.Fields(0),
		}
		cutRequest(r)
		r.Client = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "client")))
		if rapid.Bool().Draw(t, "IPv4") {
			r.Client = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "client")))
		}
		for trait := range schemas.NumScored {
			value, known := schemas.Trait(trait).Value(nil, r)
			if _, listed := schemas.ListedOf(schemas.Trait(trait)); listed || !known || !schemas.Trait(trait).Nameable(value) {
				continue
			}
			if _, err := traitKey(schemas.TraitValue{Trait: schemas.Trait(trait), Value: string(value)}); err != nil {
				t.Fatalf("%s: %v", schemas.Trait(trait), err)
			}
		}
	})
}

// cutRequest cuts what a batch cuts.
func cutRequest(r *schemas.Request) {
	for field, most := range map[*[]byte]int{
		&r.Method: schemas.MaxMethod, &r.Path: schemas.MaxText, &r.Query: schemas.MaxText, &r.Protocol: schemas.MaxMethod, &r.UserAgent: schemas.MaxText,
		&r.AcceptLanguage: schemas.MaxTrait, &r.AcceptEncoding: schemas.MaxTrait, &r.Referer: schemas.MaxText, &r.TLS: schemas.MaxTrait,
	} {
		*field = (*field)[:min(len(*field), most)]
	}
}
