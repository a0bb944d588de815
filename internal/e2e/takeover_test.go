package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
)

// lag is how long after its end a window was published, and when.
type lag struct {
	at    time.Time
	after time.Duration
}

// traffic publishes what an edge sees at this moment, until it is stopped: requests of every
// partition to ten sites, four times a second. Ten sites have a window that ends every second.
type traffic struct {
	f       *fleet
	clients [schemas.Partitions][]netip.Addr
	sent    int
	number  uint64
	attack  int // requests a second of an attack on the first site, each of a client of its own
	random  *rand.Rand
}

func (f *fleet) traffic() *traffic {
	return &traffic{f: f, clients: clientsOfPartitions(10), random: rand.New(rand.NewPCG(5, 5))}
}

// strangers are the requests of a moment from clients that come once, by partition: four a
// second that look around on the first site, and those of the attack.
func (g *traffic) strangers(at time.Time) (of [schemas.Partitions][]schemas.Request) {
	for i := range 1 + g.attack/4 {
		client := netip.AddrFrom4([4]byte{11, byte(g.random.Uint32()), byte(g.random.Uint32()), byte(g.random.Uint32())})
		r := schemas.Request{
			Time: at.UnixMilli(), Site: []byte("site0.example"), Client: client, Method: []byte("GET"), Protocol: []byte("HTTP/1.1"), Path: fmt.Appendf(nil, "/%x", g.random.Uint64()),
			UserAgent: []byte("Mozilla/5.0 (Windows NT 10.0; Win64; x64) attack"), Status: 404, Fields: schemas.FieldSite | schemas.FieldUserAgent,
		}
		if i == 0 {
			r.Path, r.Status = fmt.Appendf(nil, "/page%d", g.random.IntN(20)), 200
			r.UserAgent = fmt.Appendf(nil, "Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox", 130+g.random.IntN(9))
		}
		p := schemas.PartitionOf(client)
		of[p] = append(of[p], r)
	}
	return of
}

// send publishes a row of each client and site of a moment.
func (g *traffic) send(at time.Time) {
	g.number++
	strangers := g.strangers(at)
	for p := range schemas.Partitions {
		b := schemas.NewBuilder("edge", "access.log")
		for i := range strangers[p] {
			b.Append(&strangers[p][i])
			g.sent++
		}
		for i, client := range g.clients[p] {
			b.Append(&schemas.Request{
				Time: at.UnixMilli(), Site: fmt.Appendf(nil, "site%d.example", i), Client: client, Method: []byte("GET"), Protocol: []byte("HTTP/1.1"), Path: []byte("/"), Status: 200, Fields: schemas.FieldSite,
			})
			g.sent++
		}
		b.Batch().Watermark, b.Batch().Number = at.UnixMilli(), g.number
		g.f.publish(p, b.Batch())
	}
}

// beat promises that nothing comes before a moment.
func (g *traffic) beat(at time.Time) {
	g.number++
	for p := range schemas.Partitions {
		b := schemas.NewBuilder("edge", "access.log").Batch()
		b.Watermark, b.Number = at.UnixMilli(), g.number
		g.f.publish(p, b)
	}
}

// play sends the traffic of now for some time.
func (g *traffic) play(ctx context.Context, long time.Duration) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(long); time.Now().Before(end) && ctx.Err() == nil; {
		g.send(<-tick.C)
	}
}

// BenchmarkTakeover kills one of four processors under live traffic, in the midst of an attack of
// 800 requests a second, the detector or one that counts, and reports how long after their end
// windows were published: before, and at worst after the kill. Their difference is what the
// kill delays. It also reports when the incident and the first decision were published after
// the attack's first request; the kill comes two seconds after that. All requests must be there.
//
//	go test ./internal/e2e -run '^$' -bench Takeover -benchtime 1x
func BenchmarkTakeover(b *testing.B) {
	for _, lease := range []string{"nobody", "detector", "partition.3"} {
		b.Run("killed="+lease, func(b *testing.B) {
			for b.Loop() {
				f := startFleet(b, 4)
				g := f.traffic()
				for at := time.Now().Add(-15 * time.Minute); time.Until(at) < 0; at = at.Add(250 * time.Millisecond) {
					g.send(at) // what is normal
				}
				until(b, "the past is counted", func() bool { return f.requests() >= 0.95*float64(g.sent) })
				g.play(b.Context(), 25*time.Second)
				began := time.Now()
				g.attack = 800
				g.play(b.Context(), 2*time.Second)
				killed := time.Now()
				if lease != "nobody" {
					f.of(lease).kill()
				}
				g.play(b.Context(), 25*time.Second)
				ended := time.Now()
				g.beat(ended.Add(30 * time.Second))
				until(b, "all requests are in the windows", func() bool { return f.requests() >= float64(g.sent) })
				if f.requests() != float64(g.sent) {
					b.Errorf("%.0f requests in the windows, %d were sent", f.requests(), g.sent)
				}
				before, after := f.worst(killed, ended)
				for metric, t := range map[string]schemas.EventType{"s-to-incident": schemas.IncidentOpened, "s-to-decision": schemas.DecisionAdded} {
					if at := f.published(t); !at.IsZero() {
						b.ReportMetric(at.Sub(began).Seconds(), metric)
					}
				}
				b.ReportMetric(before.Seconds(), "s-before")
				b.ReportMetric(after.Seconds(), "s-after")
				b.ReportMetric((after - before).Seconds(), "s-delayed")
			}
		})
	}
}

// published is when the first event of a type was; the zero time where there was none.
func (f *fleet) published(t schemas.EventType) (at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, e := range f.events {
		if e.Type == t && (at.IsZero() || f.at[i].Before(at)) {
			at = f.at[i]
		}
	}
	return at
}

// worst are the greatest lags of windows published before and after a moment, until the traffic ended:
// what is left then is closed by the clock, ten seconds later. Those of the past are left out, and
// the first ten seconds of the present.
func (f *fleet) worst(moment, ended time.Time) (before, after time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	present := slices.IndexFunc(f.lags, func(l lag) bool { return l.after < 8*time.Second })
	if present < 0 {
		return 0, 0
	}
	for _, l := range f.lags[present:] {
		switch {
		case l.at.After(ended) || l.at.Before(f.lags[present].at.Add(10*time.Second)):
		case l.at.Before(moment):
			before = max(before, l.after)
		default:
			after = max(after, l.after)
		}
	}
	return before, after
}

// TestOneCounterAPartition stops the processor that counts a partition until another has
// taken it over, and lets it go on then, as if nothing had been: it writes no pane any more,
// and every request is in the windows once.
func TestOneCounterAPartition(t *testing.T) {
	const lease, partition = "partition.3", 3
	f := startFleet(t, 2)
	g, at := f.traffic(), time.Now().Add(-time.Minute)
	send := func(seconds int) {
		for range seconds {
			at = at.Add(time.Second)
			g.send(at)
		}
	}
	send(10)
	first, old := f.owner(lease), f.of(lease)
	until(t, "the first counter has published", func() bool { return len(f.panesOf(partition)) > 1 })
	if err := old.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	send(10) // some of these it has been given, and not counted
	until(t, "another has the partition", func() bool { return f.owner(lease) != first && f.owner(lease) != "" })
	claims := len(f.revisions(partition))
	if err := old.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the new one has claimed the log of panes", func() bool { return claims > 1 || len(f.revisions(partition)) > 1 })
	send(10)
	g.beat(at.Add(5 * time.Minute))
	until(t, "all requests are in the windows", func() bool { return f.requests() >= float64(g.sent) })
	if f.requests() != float64(g.sent) {
		t.Errorf("%.0f requests in the windows, %d were sent", f.requests(), g.sent)
	}
	for p := range schemas.Partitions {
		last, seen := uint64(0), make(map[string]uint64)
		for _, m := range f.panesOf(p) {
			if m.Revision < last {
				t.Errorf("partition %d: panes of the revision %d after those of %d: two counters have written", p, m.Revision, last)
			}
			last = m.Revision
			for _, pane := range m.Panes {
				key := fmt.Sprint(pane.Site, " ", pane.Second)
				if by, twice := seen[key]; twice {
					t.Errorf("partition %d: the pane %s was written under the revisions %d and %d", p, key, by, m.Revision)
				}
				seen[key] = m.Revision
			}
		}
	}
	if n := len(f.revisions(partition)); n < 2 {
		t.Errorf("partition %d was counted under %d revision: nothing was taken over", partition, n)
	}
	old.end(t)
	if text := old.log.String(); !strings.Contains(text, "lost") && !strings.Contains(text, "counted by another") {
		t.Errorf("the processor that was stopped does not say that it has lost the partition:\n%s", text)
	}
}

// panesOf are the messages of a partition's panes so far.
func (f *fleet) panesOf(partition int) (all []*schemas.Panes) {
	f.t.Helper()
	subject := schemas.SubjectPanes(partition)
	newest, _, err := f.bus.Last(f.t.Context(), schemas.StreamPanes, subject)
	if err != nil {
		f.t.Fatal(err)
	}
	if newest == 0 {
		return nil
	}
	ctx, done := context.WithCancel(f.t.Context())
	defer done()
	err = f.bus.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamPanes, Subjects: []string{subject}, Reader: "test-panes", CaughtUp: done}, func(_ context.Context, m *bus.Message) error {
		p, err := schemas.DecodePanes(m.Data())
		if err != nil {
			return err
		}
		all = append(all, p)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// revisions are those under which a partition was counted.
func (f *fleet) revisions(partition int) (all []uint64) {
	for _, m := range f.panesOf(partition) {
		if !slices.Contains(all, m.Revision) {
			all = append(all, m.Revision)
		}
	}
	return all
}
