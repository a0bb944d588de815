package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// What no edge can enforce is refused, and a host is a host in whatever case.
func TestByHandWhatEdgesCanHold(t *testing.T) {
	for _, x := range []struct {
		scope, value, site string
		want, refused      string
	}{
		{"client", "192.0.2.1", "WWW.Example.Org", "www.example.org", ""},
		{"site", "Shop.Example", "", "shop.example", ""},
		{"site", "[2001:DB8::1]", "", "[2001:db8::1]", ""},
		{"client", "192.0.2.1", "a;b}", "", "is not a name"},
		{"client", "192.0.2.1", "bücher.example", "", "xn--"},
		{"site", "", "", "", "is not a name"},
		{"client", "::1", "", "", "no edge can enforce that"},
		{"client", "0.0.0.0", "", "", "no edge can enforce that"},
		{"signature", `path_known="no"`, "", "", ""},
		{"signature", `user_agent="` + strings.Repeat("a", 5000) + `"`, "", "", "at most 2048"},
		{"signature", `user_agent="` + strings.Repeat(`\u00e9`, 1000) + `"`, "", "", "no edge can enforce that"},
	} {
		c := addDecisionCommand{Scope: x.scope, Value: x.value, Action: "block", For: time.Hour}
		if x.site != "" {
			c.Site = []string{x.site}
		}
		e, err := c.event(time.Now())
		switch {
		case x.refused != "" && (err == nil || !strings.Contains(err.Error(), x.refused)):
			t.Errorf("%+v: %v", x, err)
		case x.refused == "" && (err != nil || strings.Join(e.Sites, " ") != x.want):
			t.Errorf("%+v: %q, %v", x, e.Sites, err)
		}
	}
	for value, want := range map[string]bool{
		`method="GET"`: true, `method="PURGE"`: false, `agent_family="chrome" referer="none"`: true, `agent_family="tool"`: false,
		`path_known="no"`: false, `path_known="yes"`: true, `user_agent="" method="GET"`: false,
	} {
		if got := isBroad(&schemas.Event{Decision: &schemas.Decision{Scope: schemas.ScopeSignature, Value: value}}); got != want {
			t.Errorf("%s is broad: %t", value, got)
		}
	}
	if !isBroad(&schemas.Event{Decision: &schemas.Decision{Scope: schemas.ScopeSite, Value: "www.example.org"}}) {
		t.Error("all visitors of a site are not broad")
	}
}

// TestAScoreByHand is taken where somebody says that it is meant.
func TestAScoreByHand(t *testing.T) {
	for score, want := range map[string]string{`9 of user_agent:0 "bot"=9`: "of a score nobody sees whom it would throttle: --broad", `9 of "bot"=9`: "before any trait"} {
		var out, errs bytes.Buffer
		args := []string{"decisions", "add", "score", score, "--action", "throttle", "--data", t.TempDir()}
		if code := run(t.Context(), args, screen{strings.NewReader(""), &out, &errs}); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %d %s", score, code, errs.String())
		}
	}
}
