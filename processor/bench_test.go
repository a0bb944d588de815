package processor

import (
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// BenchmarkConsume is a request outside an incident: all sketches, windows, clients,
// samples and learning, batches decoded before. cpu-ns/op is the time that this process
// had the processor, which other work on the machine does not stretch as much.
func BenchmarkConsume(b *testing.B) {
	for _, rate := range []struct {
		name   string
		visits float64
		span   int64
	}{{"small", 0.7, 3_600_000}, {"busy", 400, 60_000}} {
		b.Run(rate.name, func(b *testing.B) {
			t := newTraffic(1)
			t.people(0, rate.span, rate.visits)
			consumeAgain(b, t.batches(4096), rate.span, func(schemas.Event) { b.Fatal("an event in ordinary traffic") })
		})
	}
}

// consumeAgain gives a processor the batches again and again, each time a span later.
func consumeAgain(b *testing.B, batches []*schemas.Batch, span int64, emit func(schemas.Event)) {
	p, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	shift := int64(0)
	round := func(most int) (n int) {
		for _, batch := range batches {
			first := batch.Time[0]
			batch.Time[0] += shift
			p.Consume(batch, nil, emit)
			batch.Time[0] = first
			if n += len(batch.Time); n >= most {
				break
			}
		}
		shift += span
		return n
	}
	round(1 << 30)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for n := 0; n < b.N; {
		n += round(b.N - n)
	}
	b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op")
}

// cpuTime is how long this process has had a processor.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFlood is a request of an attack, of what comes before it is noticed and after:
// 2,500 a second of 3,500 addresses to paths that nobody asked for, and among them what sets
// the attack apart worked out again and again, and decided on.
func BenchmarkFlood(b *testing.B) {
	const begin = 30 * minute
	t := newTraffic(1)
	t.people(0, begin+minute, 2)
	t.botnet(begin, begin+minute, 150_000, 3500)
	batches := t.batches(4096)
	var requests, decisions int
	var cpu time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		p := make1(b, small)
		emit := func(e schemas.Event) {
			if e.Decision != nil {
				decisions++
			}
		}
		for _, batch := range batches {
			if flood := batch.Time[0] >= start+begin; flood {
				b.StartTimer()
				began := cpuTime()
				p.Consume(batch, nil, emit)
				cpu += cpuTime() - began
				b.StopTimer()
				requests += len(batch.Time)
				continue
			}
			p.Consume(batch, nil, emit)
		}
		b.StartTimer()
	}
	if decisions == 0 {
		b.Fatal("nothing was decided: it is no incident that is measured")
	}
	b.ReportMetric(float64(cpu)/float64(requests), "cpu-ns/request")
	b.ReportMetric(float64(decisions)/float64(b.N), "decisions")
}
