package attribute

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

func shown(method, path, query, agent string) string {
	var x text
	x.set(&schemas.Request{Method: []byte(method), Path: []byte(path), Query: []byte(query), UserAgent: []byte(agent)})
	return x.String()
}

func TestTextsShowNoQueryValues(t *testing.T) {
	for query, want := range map[string]string{
		"":                                       "GET /reset | tool/1",
		"token=s3cret&user=7":                    "GET /reset?token&user | tool/1",
		"d41d8cd98f00b204e9800998ecf842":         "GET /reset?d41d8cd98f00b204e9800998ecf842 | tool/1",
		"d41d8cd98f00b204e9800998ecf8427e00&a=1": "GET /reset?*&a | tool/1",
		"q=a%20visitor's%20words":                "GET /reset?q | tool/1",
		"a=1&":                                   "GET /reset?a& | tool/1",
	} {
		if got := shown("GET", "/reset", query, "tool/1"); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

func TestNoValueIsInAText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`SECRET[A-Za-z0-9%]{1,40}`).Draw(t, "value")
		var pairs []string
		for range rapid.IntRange(1, 9).Draw(t, "pairs") {
			pairs = append(pairs, rapid.StringMatching(`[a-z\[\]:;+]{0,70}`).Draw(t, "key")+"="+value)
		}
		if got := shown("POST", "/", strings.Join(pairs, "&"), "a"); strings.Contains(got, "SECRET") {
			t.Fatal(got)
		}
	})
}
