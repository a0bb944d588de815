package schemas

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPathShape(t *testing.T) {
	for path, want := range map[string]string{
		"":                           "?",
		"*":                          "?",
		"example.org/":               "?",
		"/":                          "/",
		"/a":                         "/a1",
		"/abcd":                      "/a1",
		"/abcde":                     "/a2",
		"/abcdefghijkl":              "/a2",
		"/abcdefghijklm":             "/a3",
		"/2024":                      "/d1",
		"/x9":                        "/m1",
		"/hello-world":               "/s2",
		"/-":                         "/s1",
		"/%20":                       "/x1",
		"/a b":                       "/x1",
		"/\xff\x00":                  "/x1",
		"/blog/2024/hello-world":     "/a1/d1/s2",
		"/blog/":                     "/a1/",
		"//":                         "//",
		"//a":                        "//a1",
		"/x9k2.php":                  "/m1.php",
		"/x9k2q.php":                 "/m2.php",
		"/.env":                      "/x1",
		"/.htaccess":                 "/x2",
		"/a.b.c":                     "/x1.c",
		"/a.":                        "/x1",
		"/a.toolong":                 "/x2",
		"/a.jp-g":                    "/x2",
		"/v1.2/file":                 "/x1/a1",
		"/a/b/c/d":                   "/a1/a1/a1/a1",
		"/a/b/c/d/":                  "/a1/a1/a1/a1/",
		"/a/b/c/d/e":                 "/a1/a1/a1/a1/+",
		"/a/b/c/d/e/f.php":           "/a1/a1/a1/a1/+",
		"/a/b/c/index.PHP":           "/a1/a1/a1/a2.PHP",
		"/" + strings.Repeat("9", 5): "/d2",
	} {
		if got := string(PathShape([]byte("<"), []byte(path))); got != "<"+want {
			t.Errorf("%q: %q, want %q", path, got[1:], want)
		}
	}
}

// A shape is short and printable, whatever the path.
func TestPathShapeIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := append([]byte{'/'}, rapid.SliceOf(rapid.SampledFrom([]byte("/ab09.-_%\x00\xff é?"))).Draw(t, "path")...)
		got := PathShape(nil, path)
		if len(got) > 4*3+2+6 {
			t.Errorf("%q: %q", path, got)
		}
		if strings.Trim(string(got), "/+.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("%q: %q", path, got)
		}
	})
}

func TestQueryKeys(t *testing.T) {
	for query, want := range map[string]string{
		"":                           "",
		"q=1":                        "q",
		"q":                          "q",
		"q=1&page=2":                 "q&page",
		"page=2&q=1":                 "page&q",
		"q=a=b":                      "q",
		"=x":                         "",
		"a[]=1&b.c=2&d%20=3":         "a[]&b.c&d%20",
		"a=1&":                       "a&",
		"&a=1":                       "&a",
		"a b=1&c":                    "*&c",
		"<script>=1":                 "*",
		strings.Repeat("k", 65):      "*",
		"a=1&b&c&d&e&f":              "a&b&c&d&e&f",
		"a=1&b&c&d&e&f&g":            "a&b&c&d&e&f&+",
		"a=1&b&c&d&e&f&" + "g&h&i&j": "a&b&c&d&e&f&+",
		"\xff=1":                     "*",
	} {
		if got := string(QueryKeys([]byte("<"), []byte(query))); got != "<"+want {
			t.Errorf("%q: %q, want %q", query, got[1:], want)
		}
	}
}

func TestRefererKind(t *testing.T) {
	for _, c := range []struct{ referer, site, want string }{
		{"", "a.org", "none"},
		{"-", "a.org", "none"},
		{"https://a.org", "a.org", "same"},
		{"http://a.org/", "a.org", "same"},
		{"https://a.org/x?y", "a.org", "same"},
		{"https://a.org:8443/", "a.org", "same"},
		{"https://a.org?x", "a.org", "same"},
		{"https://a.org#x", "a.org", "same"},
		{"https://a.org.evil.net/", "a.org", "other"},
		{"https://b.a.org/", "a.org", "other"},
		{"https://A.org/", "a.org", "other"},
		{"HTTPS://a.org/", "a.org", "other"},
		{"a.org", "a.org", "other"},
		{"android-app://com.example", "a.org", "other"},
		{"https://", "", "other"},
		{"https:///x", "", "other"},
		{"\xff", "a.org", "other"},
	} {
		if got := RefererKind([]byte(c.referer), []byte(c.site)); got != c.want {
			t.Errorf("%q at %q: %s, want %s", c.referer, c.site, got, c.want)
		}
	}
}

func TestNormaliseTLS(t *testing.T) {
	for raw, want := range map[string]string{
		"":      "",
		"-":     "",
		"- - -": "",
		"   ":   "",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:P-256":             "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:P-256",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 0x0a0a:X25519":            "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 0xFAFA:0x11ec:X25519":     "TLSv1.3 TLS_AES_256_GCM_SHA384 0x11ec:X25519",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 0xfafb:X25519":            "TLSv1.3 TLS_AES_256_GCM_SHA384 0xfafb:X25519",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 0x1a2a:X25519":            "TLSv1.3 TLS_AES_256_GCM_SHA384 0x1a2a:X25519",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 0x0a0a":                   "TLSv1.3 TLS_AES_256_GCM_SHA384",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 ":                         "TLSv1.3 TLS_AES_256_GCM_SHA384",
		"TLSv1.3 TLS_AES_256_GCM_SHA384 -":                        "TLSv1.3 TLS_AES_256_GCM_SHA384 -",
		"TLSv1.2  ECDHE-RSA-AES128-GCM-SHA256  ::prime256v1: x y": "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 prime256v1",
	} {
		if got := string(NormaliseTLS([]byte("<"), []byte(raw))); got != "<"+want {
			t.Errorf("%q: %q, want %q", raw, got[1:], want)
		}
	}
}

// In place and once more over its own result it says the same.
func TestNormaliseTLSIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"TLSv1.3", "-", " ", "  ", ":", "0x0a0a", "0xAAAA", "X25519", "0x1a1a:", "a:b", "\t"})
		raw := []byte(strings.Join(rapid.SliceOfN(words, 0, 9).Draw(t, "words"), ""))
		want := NormaliseTLS(nil, raw)
		if again := NormaliseTLS(nil, want); !bytes.Equal(again, want) {
			t.Errorf("%q: %q, then %q", raw, want, again)
		}
		if here := NormaliseTLS(raw[:0], raw); !bytes.Equal(here, want) {
			t.Errorf("%q: in place", here)
		}
	})
}

func TestTraitNames(t *testing.T) {
	for i := range NumTraits {
		trait := Trait(i)
		if got, ok := ParseTrait(trait.String()); !ok || got != trait {
			t.Errorf("%s is read as %s", trait, got)
		}
	}
	for _, trait := range Networks { // no signature may have them
		if got, ok := ParseTrait(trait.String()); ok || trait.String() == "unknown" {
			t.Errorf("%s is read as %s", trait, got)
		}
	}
	if _, ok := ParseTrait("unknown"); ok || Trait(NumScored).String() != "unknown" {
		t.Error("a trait that does not exist has a name")
	}
}

// What a format does not carry is unknown, never absent.
func TestTraitValue(t *testing.T) {
	r := ordinary(1)
	r.Fields = 0
	r.Cookie = CookieUnknown
	for i := range NumTraits {
		value, known := Trait(i).Value([]byte("<"), &r)
		want := map[Trait]bool{TraitProtocol: true, TraitMethod: true, TraitPathShape: true, TraitQueryKeys: true}[Trait(i)]
		if known != want {
			t.Errorf("%s: known %v", Trait(i), known)
		}
		if !bytes.HasPrefix(value, []byte("<")) {
			t.Errorf("%s: %q has lost what was there", Trait(i), value)
		}
	}
	r.Fields, r.Cookie = ^Fields(0), CookieNone
	want := []string{
		string(r.UserAgent), "de,en;q=0.7", "", "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:P-256", "HTTP/2.0", "GET", "same", "none", "/a2/d1/s2", "page", AgentFamily(r.UserAgent),
	}
	for i := range NumTraits {
		if _, listed := ListedOf(Trait(i)); listed { // the request alone does not say
			continue
		}
		if value, known := Trait(i).Value(nil, &r); !known || string(value) != want[i] {
			t.Errorf("%s: %q, known %v, want %q", Trait(i), value, known, want[i])
		}
	}
}

func TestSignatureRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		traits := rapid.SliceOfNDistinct(rapid.IntRange(0, NumTraits-1), 1, MaxSignatureTraits, rapid.ID).Draw(t, "traits")
		var text []string
		for _, i := range traits {
			value := string(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "value"))
			text = append(text, Signature{{Trait(i), value}}.String())
		}
		s, err := ParseSignature(strings.Join(text, "  "))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSignature(s.String())
		if err != nil || again.String() != s.String() || len(s) != len(traits) {
			t.Fatalf("%s is read as %s, %v", s, again, err)
		}
		for _, c := range []byte(s.String()) {
			if c < ' ' || c > '~' {
				t.Fatalf("%q is not printable ASCII", s.String())
			}
		}
	})
}

func TestSignatureRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "has 0 traits, want 1 to 3",
		"method":                     `want trait="value" at "method"`,
		"method=GET":                 "must stand in double quotes",
		"method=`GET`":               "must stand in double quotes",
		"method='G'":                 "must stand in double quotes",
		`method="GET`:                "must stand in double quotes",
		`colour="red"`:               `no trait "colour"; one of user_agent, accept_language`,
		`method="GET" method="POST"`: "trait method stands twice",
		`method="a" cookie="b" tls="c" protocol="d"`:          "has 4 traits, want 1 to 3",
		`user_agent="` + strings.Repeat("x", MaxText+1) + `"`: "has 2049 bytes, at most 2048",
	} {
		if s, err := ParseSignature(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, error %v, want %s", text, s, err, want)
		}
	}
	if err := (Signature{{TraitTLS, ""}, {TraitUserAgent, ""}}).Validate(); err == nil {
		t.Error("traits out of order were taken")
	}
	if err := (Signature{{Trait(NumTraits), ""}}).Validate(); err == nil {
		t.Error("a trait that does not exist was taken")
	}
}

func FuzzParseSignature(f *testing.F) {
	f.Add(`user_agent="a\"\x00" method="GET"`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSignature(text)
		if err != nil {
			return
		}
		if again, err := ParseSignature(s.String()); err != nil || again.String() != s.String() {
			t.Errorf("%q: %s is read as %s, %v", text, s, again, err)
		}
	})
}

func TestSignatureMatch(t *testing.T) {
	r := ordinary(1)
	parse := func(text string) Signature {
		s, err := ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var scratch []byte
	for text, want := range map[string]bool{
		`method="GET"`:                            true,
		`method="get"`:                            false,
		`method="GE"`:                             false,
		`method="GET" path_shape="/a2/d1/s2"`:     true,
		`method="GET" path_shape="/a2/d1"`:        false,
		`referer="same" query_keys="page"`:        true,
		`accept_encoding=""`:                      false, // not in this format: unknown
		`accept_language="de,en;q=0.7" tls="x"`:   false,
		`cookie="some"`:                           r.Cookie == CookieSome,
		`protocol="HTTP/2.0" method="GET" tls=""`: false,
	} {
		var got bool
		if got, scratch = parse(text).Match(&r, scratch); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if got, _ := (Signature{}).Match(&r, nil); got {
		t.Error("an empty signature matches everything")
	}
}

func TestClientOf(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := ClientOf(netip.MustParseAddr(addr)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := ClientOf(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: %s", got)
	}
}

func TestPrecedence(t *testing.T) {
	actions := []Action{Allow, Throttle, Challenge, Block}
	for i, a := range actions {
		if a.Severity() != i {
			t.Errorf("%s: severity %d", a, a.Severity())
		}
	}
	for i, s := range []Scope{ScopeClient, ScopePrefix, ScopeSignature, ScopeSite} {
		if s.Precedence() != i {
			t.Errorf("%s: precedence %d", s, s.Precedence())
		}
	}
	for k, want := range map[Kind]bool{Flood: true, Scrape: true, Scan: true, Crowd: false, Breakage: false, Silent: false} {
		if k.Attack() != want {
			t.Errorf("%s: attack %v", k, k.Attack())
		}
	}
}

func TestSubjects(t *testing.T) {
	for _, c := range []struct{ subject, all string }{
		{SubjectRequests(7), SubjectRequestsAll}, {SubjectPanes(0), SubjectPanesAll}, {SubjectIncidents, SubjectIncidentsAll},
		{SubjectDecisions, SubjectDecisionsAll}, {SubjectSnapshot, SubjectDecisionsAll}, {SubjectDead("combined"), SubjectDeadAll},
	} {
		if !strings.HasPrefix(c.subject, strings.TrimSuffix(c.all, ">")) {
			t.Errorf("%s is not in %s", c.subject, c.all)
		}
	}
}

func BenchmarkSignatureMatch(b *testing.B) {
	r := ordinary(1)
	s, err := ParseSignature(`user_agent="x" path_shape="/a2/d1/s2" query_keys="page"`)
	if err != nil {
		b.Fatal(err)
	}
	s[0].Value = string(r.UserAgent)
	var scratch []byte
	b.ReportAllocs()
	for b.Loop() {
		_, scratch = s.Match(&r, scratch)
	}
}
