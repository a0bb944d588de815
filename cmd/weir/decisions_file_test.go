package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// What is exported is imported as it was, but for being a person's; what is wrong names
// its line, and nothing of the file is taken.
func TestExportAndImport(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	first, over := added("i1-1", "i1", "weir", "shop.example"), added("i1-2", "i1", "weir")
	over.Expires = now.Add(-time.Minute)
	signature := added("i1-3", "i1", "weir", "shop.example")
	signature.Scope, signature.Value = schemas.ScopeSignature, `user_agent="curl/8.0" referer="none"`
	var file bytes.Buffer
	if err := exportDecisions(&file, "json", eachOf([]schemas.Event{first, over, signature})); err != nil {
		t.Fatal(err)
	}
	c := &importDecisionsCommand{Action: "block", For: time.Hour, Reason: "a list"}
	rules := &handRules{}
	got, _, err := c.read(file.Bytes(), rules, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "i1-1" || got[0].Value != first.Value || got[0].Origin == "weir" || !got[0].Expires.Equal(first.Expires) || got[1].Scope != schemas.ScopeSignature {
		t.Errorf("%+v", got)
	}
	list, _, err := c.read([]byte("# mine\n192.0.2.1\n\n198.51.100.0/24 # a network\n2001:db8::7/128\n"), rules, now)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	ids := map[string]bool{}
	for _, e := range list {
		ids[e.ID] = true
		said = append(said, string(e.Scope)+" "+e.Value)
		if err := e.Validate(); err != nil || e.Reason != "a list" {
			t.Errorf("%+v: %v", e.Decision, err)
		}
	}
	if want := "client 192.0.2.1, prefix 198.51.100.0/24, client 2001:db8::"; strings.Join(said, ", ") != want || len(ids) != 3 {
		t.Errorf("%q, %d ids; want %q", said, len(ids), want)
	}
	for _, wrong := range []string{"192.0.2.1\nnonsense", "192.0.2.1\n0.0.0.0/0", "192.0.2.1\n{}", "192.0.2.1\n{\"type\":"} {
		if _, _, err := c.read([]byte(wrong), rules, now); err == nil || !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	var table bytes.Buffer
	if err := exportDecisions(&table, "values", eachOf([]schemas.Event{first, signature})); err != nil || table.String() != "192.0.2.7\n" {
		t.Errorf("%q, %v", table.String(), err)
	}
}

// A table is imported as it was exported; one of others needs a column value alone. What is
// wrong names its line.
func TestImportOfTables(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	first, over := added("i1-1", "i1", "weir", "shop.example", "www.example"), added("i1-2", "i1", "weir")
	first.Reason, first.Expires, over.Expires = "a reason, with \"quotes\"\nand two lines", now.Add(90*time.Minute), now.Add(-time.Minute)
	signature := added("i1-3", "i1", "weir", "shop.example")
	signature.Reason = "another"
	signature.Scope, signature.Value, signature.Action, signature.Expires = schemas.ScopeSignature, `user_agent="a, \"b\"" referer="none"`, schemas.Throttle, now.Add(time.Hour)
	site := added("m1", "", "alice", "forum.example")
	site.Reason = "a third"
	site.Scope, site.Value, site.Expires = schemas.ScopeSite, "forum.example", now.Add(time.Hour)
	all := []schemas.Event{first, over, signature, site}
	var file bytes.Buffer
	if err := exportDecisions(&file, "csv", eachOf(all)); err != nil {
		t.Fatal(err)
	}
	c := &importDecisionsCommand{Action: "block", For: time.Hour, Reason: "a list"}
	got, _, err := c.read(file.Bytes(), &handRules{}, now)
	if err != nil || len(got) != 3 {
		t.Fatalf("%v: %+v", err, got)
	}
	for i, want := range []schemas.Event{first, signature, site} {
		g := got[i]
		if g.ID != want.ID || g.Action != want.Action || g.Scope != want.Scope || g.Value != want.Value || g.Reason != want.Reason ||
			!g.Expires.Equal(want.Expires) || !slices.Equal(g.Sites, want.Sites) || g.Origin == schemas.OriginWeir {
			t.Errorf("%+v %+v\nwant %+v %+v", g, g.Decision, want, want.Decision)
		}
	}
	got, _, err = c.read([]byte("\ufefffirst seen,value\r\nyesterday,192.0.2.1\r\ntoday,198.51.100.0/24\r\n"), &handRules{}, now)
	if err != nil || len(got) != 2 || got[0].Value != "192.0.2.1" || got[1].Scope != schemas.ScopePrefix || got[1].Reason != "a list" || got[0].ID == got[1].ID {
		t.Errorf("%v: %+v", err, got)
	}
	for wrong, want := range map[string]string{
		"value\n192.0.2.1\nnonsense\n":                      "line 3: ",
		"value,action\n192.0.2.1,kill\n":                    "line 2: ",
		"value,expires\n192.0.2.1,tomorrow\n":               "line 2: expires",
		"value,scope\n192.0.2.1,client\n192.0.2.2,planet\n": "line 3: ",
		"value\n192.0.2.1,block\n":                          "line 2: ",
		"value\n\"192.0.2.1\n":                              "line ",
	} {
		if got, _, err := c.read([]byte(wrong), &handRules{}, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %+v", wrong, err, got)
		}
	}
}

// A hand decides neither against proxies nor against itself; what is allowed is said.
func TestWhatAHandMayNotTouch(t *testing.T) {
	c := config.Default()
	c.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.8/32"), netip.MustParsePrefix("198.51.100.0/24")}
	c.Edge.TrustedProxies = []string{"203.0.113.0/28"}
	t.Setenv("SSH_CONNECTION", "192.0.2.77 50000 192.0.2.1 22")
	rules, err := newHandRules(c, false)
	if err != nil {
		t.Fatal(err)
	}
	rules.own = slices.DeleteFunc(rules.own, func(o ownAddress) bool { // where tests run, anything may be
		return !o.address.IsLoopback() && o.address != netip.MustParseAddr("192.0.2.77")
	})
	meant, err := newHandRules(c, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct{ value, want, allowed string }{
		{"192.0.2.1", "", ""},
		{"192.0.2.8", "", "192.0.2.8/32"},
		{"192.0.2.0/28", "", "192.0.2.8/32"},
		{"198.51.100.9", "", "198.51.100.0/24"},
		{"192.0.2.77", "would refuse 192.0.2.77, where you are connected from", ""},
		{"192.0.2.64/26", "would refuse 192.0.2.77", ""},
		{"127.0.0.1", "would refuse 127.0.0.1, this machine's own address", ""},
		{"203.0.113.5", "is where proxies are (203.0.113.0/28)", ""},
		{"203.0.0.0/16", "is where proxies are", ""},
	} {
		e := added("m1", "", "alice")
		if e.Value = one.value; strings.Contains(one.value, "/") {
			e.Scope = schemas.ScopePrefix
		}
		allowed, err := rules.check(&e)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, one.want) || (said != "") != (one.want != "") || allowed.IsValid() != (one.allowed != "") || allowed.IsValid() && allowed.String() != one.allowed {
			t.Errorf("%s: %q, allowed by %v", one.value, said, allowed)
		}
		if _, err := meant.check(&e); (err != nil) != strings.Contains(one.want, "proxies") {
			t.Errorf("%s, and that is meant: %v", one.value, err)
		}
		e.Action = schemas.Allow
		if _, err := rules.check(&e); err != nil {
			t.Errorf("to allow %s: %v", one.value, err)
		}
	}
	imports := &importDecisionsCommand{Action: "block", For: time.Hour}
	if _, _, err := imports.read([]byte("192.0.2.1\n203.0.113.5\n"), rules, time.Now()); err == nil || !strings.Contains(err.Error(), "line 2: 203.0.113.5 is where proxies are") {
		t.Errorf("imported: %v", err)
	}
}

// A list holds as long as was said from when it is handed over, however long that takes; what has an
// end of its own keeps it.
func TestImportCountsFromWhenItIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var list strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&list, "192.0.%d.%d\n", i/256, i%256)
		}
		own := added("i1-1", "i1", "weir")
		own.Expires = began.Add(90 * time.Second).UTC()
		if err := exportDecisions(&list, "json", eachOf([]schemas.Event{own})); err != nil {
			t.Fatal(err)
		}
		c := &importDecisionsCommand{Action: "block", For: 70 * time.Second}
		events, _, err := c.read([]byte(list.String()), &handRules{}, began)
		if err != nil {
			t.Fatal(err)
		}
		posts, taken := 0, 0
		slow := func(_ context.Context, some []schemas.Event) error {
			body, err := json.Marshal(some)
			if err != nil || len(body) > maxBody {
				t.Fatal(len(body), err)
			}
			for i := range some {
				want := time.Now().Add(c.For)
				if some[i].ID == "i1-1" {
					want = own.Expires
				}
				if !some[i].Expires.Equal(want) {
					t.Fatalf("handed over at %s, until %s, want %s", time.Now(), some[i].Expires, want)
				}
			}
			posts, taken = posts+1, taken+len(some)
			time.Sleep(25 * time.Second)
			return nil
		}
		if err := c.importAll(t.Context(), slow, events, began); err != nil {
			t.Fatal(err)
		}
		if taken != len(events) || posts < 2 || posts > 10 {
			t.Errorf("%d of %d in %d requests", taken, len(events), posts)
		}
		first := taken / posts // about as many as the first request had
		if said := imported(events, time.Now()); posts > 2 && !strings.Contains(said, "10,001 decisions imported; ") || imported(events[:first/2], began) != plural(first/2, "decision")+" imported." {
			t.Error(said)
		}
		// Where one request fails, all are taken back.
		back := 0
		err = c.importAll(t.Context(), func(_ context.Context, some []schemas.Event) error {
			if some[0].Type == schemas.DecisionRemoved {
				back += len(some)
			} else if some[0].ID != events[0].ID {
				return errors.New("no room")
			}
			return nil
		}, events, began)
		if err == nil || !strings.Contains(err.Error(), "nothing was imported") || back <= requestOf(events) {
			t.Errorf("%d taken back, %v", back, err)
		}
	})
}

func eachOf(events []schemas.Event) func(func(*schemas.Event) error) error {
	return func(write func(*schemas.Event) error) error {
		for i := range events {
			if err := write(&events[i]); err != nil {
				return err
			}
		}
		return nil
	}
}
