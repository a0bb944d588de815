package attribute

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestRefuse: the measure that would stop most for the people whom it touches, and what stands against it.
func TestRefuse(t *testing.T) {
	const some = "Firefox/140" // a seventh of the visitors'
	for _, test := range []struct {
		name     string
		suspects func(normal, suspect *Sample, add func(agent, encoding string))
		budget   Budget
		want     Obstacle
		named    bool
	}{
		{"a browser of visitors'", func(_, _ *Sample, add func(agent, encoding string)) {
			for range 600 {
				add(some, "gzip, br")
			}
		}, Budget{}, TooManyHurt, true},
		{"one that was lifted", func(_, _ *Sample, add func(agent, encoding string)) {
			for range 600 {
				add("odd", "odd")
			}
		}, Budget{}, HasHurt, true},
		{"little is known", func(_, _ *Sample, add func(agent, encoding string)) {
			for range 600 {
				add(some, "gzip, br")
			}
		}, Budget{MinClients: 1 << 20}, TooFewKnown, false},
		{"no attack", func(_, _ *Sample, add func(agent, encoding string)) {}, Budget{NormalRate: 1e6}, TooLittle, false},
	} {
		normal, suspect, r := samples(3)
		test.suspects(normal, suspect, func(agent, encoding string) {
			suspect.take(request(r.Uint32(), agent, encoding, fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
		})
		suspect.Span = time.Minute
		if test.want == HasHurt {
			best := Refuse(normal, suspect, test.budget)
			test.budget.Refused = append(test.budget.Refused, best.Signature)
		}
		got := Refuse(normal, suspect, test.budget)
		if got.Obstacle != test.want || test.named != (got.Signature != nil) {
			t.Errorf("%s: %+v", test.name, got)
		}
		if test.want == TooManyHurt && (got.Stops < 0.8 || got.Touches < 0.02 || got.Touches > 0.5) {
			t.Errorf("%s: %s stops %.2f of the attack and touches %.3f of the people", test.name, got.Signature, got.Stops, got.Touches)
		}
	}
}

// TestRefuseMore: of an attack half of which is stopped, by a signature or one by one, the other half, and what stands against that.
func TestRefuseMore(t *testing.T) {
	normal, suspect, r := samples(3)
	single := make(map[netip.Addr]schemas.Action)
	for i := range 600 {
		agent, encoding := "Firefox/140", "gzip, br"
		if i < 300 {
			agent, encoding = "odd", "odd"
		}
		q := request(r.Uint32(), agent, encoding, fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone)
		if i < 300 {
			single[q.Client] = schemas.Block
		}
		suspect.take(q)
	}
	suspect.Span = time.Minute
	odd := schemas.Signature{{Trait: schemas.TraitUserAgent, Value: "odd"}}
	for name, budget := range map[string]Budget{
		"a signature that blocks": {InForce: []schemas.Signature{odd}}, "one that asks": {Softly: []schemas.Signature{odd}},
		"single clients": {Measured: func(a netip.Addr) schemas.Action { return cmp.Or(single[a], schemas.Allow) }},
	} {
		if budget.Measured != nil {
			if got := RefuseMore(normal, suspect, budget); got.Left < 0.9 {
				t.Errorf("%s that have not come again: %+v", name, got)
			}
			for i := range suspect.clients {
				c := &suspect.clients[i]
				c.stopped = single[netip.AddrFrom16(c.addr).Unmap()] != ""
			}
		}
		got := RefuseMore(normal, suspect, budget)
		if got.Obstacle != TooManyHurt || !slices.ContainsFunc(got.Signature, func(v schemas.TraitValue) bool { return v.Value == "Firefox/140" }) ||
			math.Abs(got.Left-0.5) > 0.1 || math.Abs(got.Stops-0.5) > 0.15 {
			t.Errorf("%s: %+v", name, got)
		}
		if all := Refuse(normal, suspect, budget); all.Left < 0.99 {
			t.Errorf("%s: as if nothing were in force %.2f is left", name, all.Left)
		}
	}
}
