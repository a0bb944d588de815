package haproxy

import (
	"bytes"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

var mapLine = regexp.MustCompile(`^[0-9a-f.:]+/[0-9]+ (?:block|challenge|throttle):[0-9]+:[0-9A-Za-z._-]+$|^[0-9a-f.:/]+ allow:[0-9]+:(?:lease)?$`)

// FuzzMap: whatever a decision says, the map's lines are its own, and each is one entry.
func FuzzMap(f *testing.F) {
	f.Add("i1-1", "block", "client", "192.0.2.1")
	f.Add("i1-1\nset map", "throttle", "prefix", "10.0.0.0/8")
	f.Add("i1 1", "block", "prefix", "2001:db8::/32")
	f.Add(";", "allow", "client", "255.255.255.255")
	f.Fuzz(func(t *testing.T, id, action, scope, value string) {
		e, err := New(Options{Socket: "/s", Map: "/m", Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.8/32")}})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1_800_000_000, 0)
		e.Apply(schemas.Event{Type: schemas.DecisionAdded, Time: now, Decision: &schemas.Decision{
			ID: id, Action: schemas.Action(action), Scope: schemas.Scope(scope), Value: value, Expires: now.Add(time.Hour),
		}})
		lines, decisions := e.content(now)
		rows := bytes.Split(bytes.TrimSuffix(lines, []byte("\n")), []byte("\n"))
		if len(rows) > 2+decisions || decisions > 1 {
			t.Fatalf("%d lines of %d decisions: %q", len(rows), decisions, lines)
		}
		for _, row := range rows {
			if !mapLine.Match(row) {
				t.Errorf("the line %q", row)
			}
		}
	})
}
