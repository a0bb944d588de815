package attribute

import (
	"fmt"
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
