package schemas

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestKnownAgent(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36": "mozilla/ (windows nt ; win; x) applewebkit/ (khtml, like gecko) chrome/ safari/",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/155.1 Safari/537.36":     "mozilla/ (windows nt ; win; x) applewebkit/ (khtml, like gecko) chrome/ safari/",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7_1 like Mac OS X) Mobile/15E148":                                          "mozilla/ (iphone; cpu iphone os  like mac os x) mobile/e",
		"curl/8.5.0":                             "curl/",
		"curl/8.":                                "curl/.",
		"curl/.8_":                               "curl/._",
		"a1__2b..3":                              "a__b..",
		"":                                       "-",
		"-":                                      "-",
		"-1":                                     "-",
		"12":                                     "-",
		"a\tb":                                   "-",
		"caf\xc3\xa9":                            "-",
		strings.Repeat("a", MaxKnownAgent):       "=",
		strings.Repeat("a", MaxKnownAgent+1):     "-",
		strings.Repeat("a1", MaxAgentVersions):   strings.Repeat("a", MaxAgentVersions),
		strings.Repeat("a1", MaxAgentVersions+1): "-",
		"a" + strings.Repeat("1", MaxAgentText-1): "a",
		"a" + strings.Repeat("1", MaxAgentText):   "-",
	} {
		if want == "=" {
			want = agent
		}
		form, ok := KnownAgent([]byte("<"), []byte(agent))
		if got := string(form); ok && got != "<"+want || !ok && (want != "-" || got != "<") {
			t.Errorf("%q: %q, %v", agent, got, ok)
		}
	}
}

// What an entry is known by is known by itself, whatever was sent.
func TestKeysAreTheirOwn(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "Z", "/", "1", "12", ".", "_", "-", " ", "[", "%", "?", "\xff"}), 0, 60).Draw(r, "text"), ""))
		for of := range NumListed {
			key, ok := of.Key(nil, text)
			if !ok {
				continue
			}
			if again, ok := of.Key(nil, key); !ok || string(again) != string(key) {
				r.Fatalf("%s %q: %q, then %q, %v", of, text, key, again, ok)
			}
		}
	})
}

func TestKnownQueries(t *testing.T) {
	set := (&SiteList{Of: ListedQueries, Entries: []string{"a", "b", "page", "utm_source"}}).Set()
	long := strings.Repeat("k", MaxKnownQuery)
	for uri, want := range map[string]string{
		"/":               "yes",
		"/?":              "yes",
		"/?a=1&B":         "yes",
		"/?a=1&c":         "no",
		"/?=&&a":          "yes",
		"/?a&a&a&a&a&a&c": "yes", // beyond the first six
		"/?a&a&a&a&a&c":   "no",
		"/?&&&&&&c":       "yes",
		"/x.css?3f9a":     "yes", // of the page that brings it
		"/x.css/?3f9a":    "no",
		"/?a b":           "",
		"/?a=b c":         "yes",
		"/?c&\xff":        "",
		"/?" + long:       "no",
		"/?" + long + "k": "",
		"/?a=" + strings.Repeat("v", MaxQueryText-2): "yes",
		"/?a=" + strings.Repeat("v", MaxQueryText-1): "",
	} {
		path, query, _ := strings.Cut(uri, "?")
		r := Request{Path: []byte(path), Query: []byte(query)}
		if got, _ := ListedQueries.Value(set, &r, nil); got != want {
			t.Errorf("%.60q: %q, want %q", uri, got, want)
		}
	}
	if got, _ := ListedQueries.Value(nil, &Request{Path: []byte("/")}, nil); got != "" {
		t.Errorf("without a list: %q", got)
	}
	if got, _ := ListedAgents.Value(KnownSet{"a": {}}, &Request{UserAgent: []byte("a")}, nil); got != "" {
		t.Errorf("an agent that the log does not carry: %q", got)
	}
}

func TestLinkKeys(t *testing.T) {
	if !slices.IsSorted(LinkKeys[:]) {
		t.Error("out of order")
	}
	for _, key := range LinkKeys {
		if known, ok := KnownQuery(nil, []byte(key)); !ok || string(known) != key {
			t.Errorf("%q is known by %q, %v", key, known, ok)
		}
	}
}

// Lists of a site that are of something else are lists of their own, and go where nobody reads them who does not
// know of them.
func TestListsOfDifferentThings(t *testing.T) {
	var book ListBook
	subjects := make(map[string]bool)
	for of, entries := range [NumListed][]string{{"/", "/a"}, {"curl/", "mozilla/"}, {"page", "q"}} {
		list := SiteList{Of: Listed(of), Site: "a.example", Entries: entries}
		subjects[SubjectOfList(list.Of, list.Site, 1)] = true
		messages, err := EncodeList(ListPart{Token: 1, Version: 2, Time: time.Unix(3, 0), SiteList: list})
		if err != nil {
			t.Fatal(err)
		}
		part, err := DecodeList(messages[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := book.Take(part); got == nil || got.Of != list.Of || !slices.Equal(got.Entries, entries) {
			t.Errorf("%s: %+v", list.Of, got)
		}
		list.Entries = []string{"A"} // in no form
		if _, err := EncodeList(ListPart{SiteList: list}); err == nil {
			t.Errorf("%s in another form are encoded", list.Of)
		}
	}
	if len(subjects) != int(NumListed) {
		t.Errorf("%v", subjects)
	}
	many := SiteList{Of: ListedQueries, Site: "a"}
	for i := range MaxSiteQueries + 1 {
		many.Entries = append(many.Entries, "k"+strings.Repeat("0", 5-len(string(rune('a'+i%26))))+string([]byte{byte('a' + i/676), byte('a' + i/26%26), byte('a' + i%26)}))
	}
	if _, err := EncodeList(ListPart{SiteList: many}); err == nil {
		t.Error("more query keys than there may be are encoded")
	}
}
