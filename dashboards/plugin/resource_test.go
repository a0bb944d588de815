package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"github.com/weir-project/weir/schemas"
)

// TestNamesOfPeople are logins that somebody may have chosen for what they do to a record, a
// log or a page: each becomes one word within the bound of an origin.
func TestNamesOfPeople(t *testing.T) {
	for login, want := range map[string]string{
		"alice":                  "grafana:alice",
		"eve\r\nX-Evil: 1":       "grafana:eve\uFFFD_X-Evil:_1",
		"a\u202eb\x00c\x1b[31m":  "grafana:a\uFFFDb\uFFFDc\uFFFD[31m",
		"\xff\xfe":               "grafana:\uFFFD",
		" weir ":                 "grafana:_weir_",
		strings.Repeat("☃", 500): "grafana:" + strings.Repeat("☃", (schemas.MaxID-len("grafana:"))/len("☃")),
		strings.Repeat("x", 500): "grafana:" + strings.Repeat("x", schemas.MaxID-len("grafana:")),
	} {
		got := nameOf(&backend.User{Login: login})
		if got != want || !utf8.ValidString(got) || len(got) > schemas.MaxID || len(strings.Fields(got)) != 1 {
			t.Errorf("%q is called %q, want %q", login, got, want)
		}
	}
}
