package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

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
	if err := exportDecisions(&file, []schemas.Event{first, over, signature}, "json"); err != nil {
		t.Fatal(err)
	}
	c := &importDecisionsCommand{Action: "block", For: time.Hour, Reason: "a list"}
	got, err := c.read(file.Bytes(), now)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "i1-1" || got[0].Value != first.Value || got[0].Origin == "weir" || !got[0].Expires.Equal(first.Expires) || got[1].Scope != schemas.ScopeSignature {
		t.Errorf("%+v", got)
	}
	list, err := c.read([]byte("# mine\n192.0.2.1\n\n198.51.100.0/24 # a network\n2001:db8::7/128\n"), now)
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
		if _, err := c.read([]byte(wrong), now); err == nil || !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	var table bytes.Buffer
	if err := exportDecisions(&table, []schemas.Event{first, signature}, "values"); err != nil || table.String() != "192.0.2.7\n" {
		t.Errorf("%q, %v", table.String(), err)
	}
}
