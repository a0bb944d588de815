package e2e

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// effect is what decisions would do to the requests of a simulated log.
type effect struct {
	attack, stopped int // requests of the attack, and those of them that a decision matches
	others, touched int // all other requests, and those
}

// effectOf matches every request of a log against every decision that was ever added; the
// truth beside the log says which requests are the attack's.
func effectOf(t testing.TB, log string, events []schemas.Event) (e effect) {
	t.Helper()
	var signatures []schemas.Signature
	clients := make(map[string]bool)
	for _, event := range events {
		if event.Decision == nil || event.Type != schemas.DecisionAdded {
			continue
		}
		if event.Scope != schemas.ScopeSignature {
			clients[event.Value] = true
			continue
		}
		s, err := schemas.ParseSignature(event.Value)
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, s)
	}
	attack := attackLines(t, log)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	parser := accesslog.New(accesslog.Weir)
	var r schemas.Request
	var scratch []byte
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		if reason := parser.Parse(line, &r); reason != accesslog.None {
			t.Fatalf("line %d: %s", i+1, reason)
		}
		match := clients[schemas.ClientOf(r.Client).String()]
		for _, s := range signatures {
			if !match {
				match, scratch = s.Match(&r, scratch)
			}
		}
		all, matched := &e.others, &e.touched
		if attack[i] {
			all, matched = &e.attack, &e.stopped
		}
		*all++
		if match {
			*matched++
		}
	}
	return e
}

// attackLines says of each line of a simulated log whether it is the attack's.
func attackLines(t testing.TB, log string) (attack []bool) {
	t.Helper()
	truth, err := os.ReadFile(log + ".truth.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(truth)), "\n")
	column := -1
	for i, name := range strings.Split(rows[0], "\t") {
		if name == "attack" {
			column = i
		}
	}
	if column < 0 {
		t.Fatalf("the truth has no column attack: %s", rows[0])
	}
	for _, row := range rows[1:] {
		attack = append(attack, strings.Split(row, "\t")[column] == "1")
	}
	return attack
}

// share is a part of a whole, 0 of nothing.
func share(part, whole int) float64 { return float64(part) / float64(max(whole, 1)) }
