package processor

import (
	"testing"

	"github.com/weir-project/weir/schemas"
)

// BenchmarkConsume is a request outside an incident: all sketches, windows, samples
// and learning, batches decoded before.
func BenchmarkConsume(b *testing.B) {
	for _, rate := range []struct {
		name   string
		visits float64
		span   int64
	}{{"small", 0.7, 3_600_000}, {"busy", 400, 60_000}} {
		b.Run(rate.name, func(b *testing.B) {
			t := newTraffic(1)
			t.people(0, rate.span, rate.visits)
			batches := t.batches(4096)
			p, err := New(Options{})
			if err != nil {
				b.Fatal(err)
			}
			shift := int64(0)
			emit := func(schemas.Event) { b.Fatal("an event in ordinary traffic") }
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				for _, batch := range batches {
					first := batch.Time[0]
					batch.Time[0] += shift
					p.Consume(batch, nil, emit)
					batch.Time[0] = first
					if n += len(batch.Time); n >= b.N {
						break
					}
				}
				shift += rate.span
			}
		})
	}
}
