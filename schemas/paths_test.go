package schemas

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestKnownPath(t *testing.T) {
	for path, want := range map[string]string{
		"/":              "/",
		"/About/US":      "/about/us",
		"/caf%C3%A9":     "/caf%c3%a9",
		"/a/../b//c":     "/a/../b//c",
		"/\xc3\x84":      "/\xc3\x84",
		"/a#b\"c\\d'e$f": "/a#b\"c\\d'e$f",
		"":               "-",
		"a":              "-",
		"*":              "-",
		"/a b":           "-",
		"/a\tb":          "-",
		"/a\x7f":         "-",
		"/a?b":           "-",
		"/" + strings.Repeat("a", MaxKnownPath-1): "/" + strings.Repeat("a", MaxKnownPath-1),
		"/" + strings.Repeat("a", MaxKnownPath):   "-",
	} {
		key, ok := KnownPath([]byte("<"), []byte(path))
		if got := string(key); ok && got != "<"+want || !ok && (want != "-" || got != "<") {
			t.Errorf("%q: %q, %v", path, got, ok)
		}
	}
}

// pathsOf are known paths in the form that lists have.
func pathsOf(t *rapid.T) []string {
	var paths []string
	for _, raw := range rapid.SliceOfN(rapid.OneOf(
		rapid.StringMatching(`/[a-z]{1,3}(/[a-z0-9-]{0,60}){0,4}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 250), func(b []byte) string { return "/" + string(b) }),
	), 0, 60).Draw(t, "paths") {
		if key, ok := KnownPath(nil, []byte(raw)); ok {
			paths = append(paths, string(key))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func TestPathsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		list := SiteList{Site: "a.example", Entries: pathsOf(r)}
		messages, err := EncodeList(ListPart{Token: 3, Version: 9, Time: time.UnixMilli(1_700_000_000_123).UTC(), SiteList: list})
		if err != nil {
			r.Fatal(err)
		}
		var book ListBook
		for i, m := range messages {
			part, err := DecodeList(m)
			if err != nil {
				r.Fatal(err)
			}
			if part.Token != 3 || part.Version != 9 || part.Time.UnixMilli() != 1_700_000_000_123 {
				r.Fatalf("%+v", part)
			}
			got := book.Take(part)
			if (got != nil) != (i == len(messages)-1) {
				r.Fatalf("after part %d of %d: %v", i+1, len(messages), got)
			}
			if got != nil && (got.Site != list.Site || !slices.Equal(got.Entries, list.Entries)) {
				r.Fatal(cmp.Diff(list, *got))
			}
		}
	})
}

// The longest list that there may be goes into messages that NATS takes, and a list counts
// when all of it is there.
func TestTheLongestListOfPaths(t *testing.T) {
	list := SiteList{Site: "a.example"}
	for i := 0; len(list.Entries) < MaxSitePathBytes/(30+2)-1; i++ {
		var b [29]byte
		for j, n := 28, i*2_654_435_761; j >= 0; j, n = j-1, n*31+j { // little that compresses
			b[j] = "abcdefghijklmnopqrstuvwxyz0123456789-_.~!*'();:@&=+$,%"[uint(n)%54]
		}
		list.Entries = append(list.Entries, "/"+string(b[:]))
	}
	slices.Sort(list.Entries)
	list.Entries = slices.Compact(list.Entries)
	messages, err := EncodeList(ListPart{Token: 1, Version: 1, Time: time.Unix(1, 0), SiteList: list})
	if err != nil || len(messages) < 2 {
		t.Fatal(len(messages), err)
	}
	var book ListBook
	var got *SiteList
	for i, m := range messages {
		if len(m) > MaxMessage {
			t.Errorf("part %d has %d bytes", i+1, len(m))
		}
		part, err := DecodeList(m)
		if err != nil {
			t.Fatal(err)
		}
		if got != nil {
			t.Fatal("whole before its end")
		}
		got = book.Take(part)
	}
	if got == nil || !slices.Equal(got.Entries, list.Entries) {
		t.Fatal("the list is another")
	}
	list.Entries = append(list.Entries, "/zz"+strings.Repeat("z", 200), "/zzz"+strings.Repeat("z", 200))
	if _, err := EncodeList(ListPart{SiteList: list}); err == nil {
		t.Error("a list that is too long is encoded")
	}
}

// Parts of two lists make none, and a list of a detector that was replaced none either.
func TestPartsOfOneListMakeIt(t *testing.T) {
	part := func(token, version uint64, n, of int, path string) *ListPart {
		return &ListPart{Token: token, Version: version, Part: n, Parts: of, SiteList: SiteList{Site: "a", Entries: []string{path}}}
	}
	var book ListBook
	for i, step := range []struct {
		part *ListPart
		want []string
	}{
		{part(1, 5, 1, 2, "/a"), nil},
		{part(1, 6, 2, 2, "/b"), nil},
		{part(1, 5, 2, 2, "/x"), nil}, // older than what is gathered
		{part(1, 6, 1, 2, "/a"), []string{"/a", "/b"}},
		{part(1, 6, 1, 2, "/a"), nil}, // again
		{part(2, 1, 1, 1, "/c"), []string{"/c"}},
		{part(1, 9, 1, 1, "/d"), nil}, // of the detector before
	} {
		var got []string
		if list := book.Take(step.part); list != nil {
			got = list.Entries
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

func FuzzDecodeList(f *testing.F) {
	messages, err := EncodeList(ListPart{Token: 1, Version: 2, Time: time.Unix(3, 0), SiteList: SiteList{Site: "a", Entries: []string{"/", "/a", "/ab"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(messages[0])
	f.Add(messages[0][:len(messages[0])-2])
	f.Fuzz(func(t *testing.T, message []byte) {
		part, err := DecodeList(bytes.Clone(message))
		if err != nil {
			return
		}
		if err := part.check(); err != nil {
			t.Fatal(err)
		}
		new(ListBook).Take(part)
	})
}

func TestAssetPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/a.css": true, "/a.CSS": true, "/a.b.Woff2": true, "/.png": true, "/a.css/": false, "/css": false, "/a.cs": false, "/a.cssx": false,
		"": false, ".": false, "/a.": false, "/a.woff22": false, "/a.m\xc1p": false, "js": false, ".js": true,
	} {
		if got := AssetPath([]byte(path)); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	for _, ending := range AssetEndings {
		if !AssetPath([]byte("/a." + ending)) {
			t.Errorf("%s is none", ending)
		}
	}
}
