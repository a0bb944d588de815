package attribute

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// BenchmarkRefuse is what it costs to say why nothing is decided, beside what it costs to look for something.
func BenchmarkRefuse(b *testing.B) {
	normal, suspect, r := samples(3)
	for range 2000 {
		suspect.take(request(r.Uint32(), "Firefox/140", "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
	}
	suspect.Span = time.Minute
	b.Run("refuse", func(b *testing.B) {
		for b.Loop() {
			suspect.laid = nil
			Refuse(normal, suspect, Budget{})
		}
	})
	b.Run("analyse", func(b *testing.B) {
		for b.Loop() {
			suspect.laid = nil
			Analyse(normal, suspect, Budget{MaxScores: 4})
		}
	})
}
