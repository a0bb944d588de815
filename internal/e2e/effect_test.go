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
	others, touched int // the other clients, and those of whom a request matches
}

// effectOf matches every request of a log against every decision that was ever added; the
// truth beside the log says which requests are the attack's. Known paths are those that others
// than the attack were served: which a detector knew at each moment is not in its events.
func effectOf(t testing.TB, log string, events []schemas.Event) (e effect) {
	t.Helper()
	var signatures []parted
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
		signatures = append(signatures, partOf(s))
	}
	attack := attackLines(t, log)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	parser := accesslog.New(accesslog.Weir)
	var r schemas.Request
	var scratch []byte
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	known := make(map[string]bool)
	for i, line := range lines {
		if parser.Parse(line, &r) == accesslog.None && !attack[i] && r.Status < 400 {
			known[pathKey(&r)] = true
		}
	}
	others := make(map[string]bool) // clients, and whether one of their requests matches
	for i, line := range lines {
		if reason := parser.Parse(line, &r); reason != accesslog.None {
			t.Fatalf("line %d: %s", i+1, reason)
		}
		match := clients[schemas.ClientOf(r.Client).String()]
		for _, s := range signatures {
			if !match && (s.path == "" || (s.path == schemas.PathKnown) == (known[pathKey(&r)] || schemas.AssetPath(r.Path))) {
				match, scratch = s.rest.Match(&r, scratch)
			}
		}
		if attack[i] {
			e.attack++
			if match {
				e.stopped++
			}
			continue
		}
		client := schemas.ClientOf(r.Client).String()
		others[client] = others[client] || match
	}
	e.others = len(others)
	for _, match := range others {
		if match {
			e.touched++
		}
	}
	return e
}

// parted is a signature, with what it says of paths aside: "" is nothing.
type parted struct {
	rest schemas.Signature
	path string
}

func partOf(s schemas.Signature) (p parted) {
	for _, t := range s {
		if t.Trait == schemas.TraitPathKnown {
			p.path = t.Value
		} else {
			p.rest = append(p.rest, t)
		}
	}
	return p
}

func pathKey(r *schemas.Request) string {
	key, _ := schemas.KnownPath(nil, r.Path)
	return string(key)
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
