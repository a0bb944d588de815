package processor

import (
	"net/netip"
	"testing"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// TestWhereNothingIsStoppedTheApplicationRefuses: of a log that does not say what the edge did, what is refused to whom a decision is for was
// stopped; not where the site is observed only, or waits for a person: there its application itself refuses.
func TestWhereNothingIsStoppedTheApplicationRefuses(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.77")
	for name, c := range map[string]struct {
		stops func(site string) bool
		want  uint64
	}{
		"all is enforced":            {nil, 2},
		"the site is enforced":       {func(site string) bool { return site == "www.example.org" }, 2},
		"another site is enforced":   {func(site string) bool { return site == "shop.example.org" }, 0},
		"nothing is enforced at all": {func(string) bool { return false }, 0},
	} {
		o := small
		o.Stops = c.stops
		p := make1(t, o)
		know := p.counter.know.of("www.example.org")
		know.scored.add(onClient("i1-1", client.String(), schemas.Block))
		signature, err := schemas.ParseSignature(`method="PUT"`)
		if err != nil {
			t.Fatal(err)
		}
		know.decisions = append(know.decisions, &decision{signature: signature, Decision: schemas.Decision{ID: "i1-2", Action: schemas.Block, Scope: schemas.ScopeSignature, Value: `method="PUT"`}})
		tr := newTraffic(1)
		for i, of := range []netip.Addr{client, netip.MustParseAddr("192.0.2.78"), netip.MustParseAddr("192.0.2.79")} {
			tr.add(int64(i), of, &browsers[0], "/", "", false, 503)
			tr.rows[i].Fields &^= schemas.FieldAction
		}
		tr.rows[1].Method = []byte("PUT")
		p.Consume(tr.batches(10)[0], nil, func(schemas.Event) {})
		stopped, all := uint64(0), uint64(0)
		for _, pane := range p.counter.index["www.example.org"].panes {
			stopped, all = stopped+pane.Counts[window.Stopped], all+pane.Counts[window.Requests]
		}
		if stopped != c.want || all != 3 {
			t.Errorf("%s: %d of %d refused requests are taken for stopped, want %d of 3", name, stopped, all, c.want)
		}
	}
}
