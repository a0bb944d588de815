package ship

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// pour is an Input whose lines come at given moments of a fake clock.
type pour struct {
	at    []time.Time // of each line, ascending
	line  func(n int) string
	given int
}

func (p *pour) Resume(at tail.Position, _ []tail.Mark) bool { p.given = int(at.Offset); return true }

func (p *pour) Next() (piece tail.Piece, err error) {
	var data strings.Builder
	from := p.given
	for p.given < len(p.at) && !p.at[p.given].After(time.Now()) && data.Len() < 2<<20 {
		data.WriteString(p.line(p.given))
		p.given++
	}
	return tail.Piece{From: tail.Position{Offset: int64(from)}, To: tail.Position{Offset: int64(p.given)}, Data: []byte(data.String())}, nil
}

func (p *pour) Reread(from, to tail.Position) ([]byte, error) {
	var data strings.Builder
	for n := from.Offset; n < to.Offset; n++ {
		data.WriteString(p.line(int(n)))
	}
	return []byte(data.String()), nil
}

func (p *pour) Wait(ctx context.Context, d time.Duration) error {
	if p.given < len(p.at) {
		d = min(d, time.Until(p.at[p.given]))
	}
	return sleep(ctx, d)
}

func (p *pour) Past() []tail.Mark { return nil }
func (p *pour) Skipped() uint64   { return 0 }
func (p *pour) Close() error      { return nil }

// kept is a Journal in memory.
type kept struct{ state State }

func (k *kept) Load() (State, error) { return k.state, nil }
func (k *kept) Save(s State) error   { k.state = s; return nil }

// landed is what a publisher that takes its time was given.
type landed struct {
	mu      sync.Mutex
	takes   func(rows int) time.Duration // for a batch of so many
	batches []int
	paths   map[string]time.Time
	clients map[netip.Addr]int // requests
	weights map[uint32]int     // of requests
	total   float64            // requests that the rows stand for
	few     map[netip.Addr]float64
	latest  time.Duration // how late the newest row was
}

func newLanded(takes func(rows int) time.Duration) *landed {
	return &landed{takes: takes, paths: map[string]time.Time{}, clients: map[netip.Addr]int{}, weights: map[uint32]int{}, few: map[netip.Addr]float64{}}
}

func (l *landed) Publish(ctx context.Context, subject, _ string, data []byte) error {
	b, err := schemas.DecodeBatch(data)
	if err != nil {
		return err
	}
	if err := sleep(ctx, l.takes(len(b.Time))); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(b.Time) > 0 {
		l.batches = append(l.batches, len(b.Time))
	}
	var rows schemas.Rows
	var r schemas.Request
	for rows.Reset(b); rows.Next(&r); {
		l.paths[string(r.Path)] = time.Now()
		l.clients[r.Client]++
		l.weights[r.Stands()]++
		l.total += float64(r.Stands())
		l.few[r.Client] = max(l.few[r.Client], float64(r.Stands()))
		l.latest = time.Since(time.UnixMilli(r.Time))
	}
	return nil
}

// ships runs a Ship on the fake clock until so much time has passed.
func ships(t *testing.T, o Options, journal Journal, to Publisher, d time.Duration) {
	t.Helper()
	o.Edge, o.Source, o.Logger = "edge1", "poured", slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := New(o, journal, to)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// A request leaves within 200 ms of its line, be it alone or in a trickle.
func TestLoneRequestsLeaveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		p := &pour{line: line}
		for at := time.Now().Add(time.Second); len(p.at) < 400; {
			pause := time.Duration(random.IntN(3000)) * time.Millisecond
			if len(p.at) > 100 { // a trickle
				pause /= 30
			}
			at = at.Add(pause)
			p.at = append(p.at, at)
		}
		to := newLanded(func(int) time.Duration { return 5 * time.Millisecond })
		ships(t, Options{Open: func() Input { return p }}, &kept{}, to, time.Until(p.at[len(p.at)-1])+time.Second)
		for n, at := range p.at {
			left, ok := to.paths[fmt.Sprint("/", n)]
			if !ok {
				t.Fatalf("line %d has not left", n)
			}
			if d := left.Sub(at); d > 200*time.Millisecond {
				t.Errorf("line %d left after %v", n, d)
			}
		}
	})
}

// A flood leaves in batches as large as they may be.
func TestFloodLeavesInFullBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pour{line: line}
		for n := range 40_000 { // in two seconds
			p.at = append(p.at, time.Now().Add(time.Duration(n)*50*time.Microsecond))
		}
		const rows = 50
		to := newLanded(func(int) time.Duration { return 20 * time.Millisecond })
		ships(t, Options{Open: func() Input { return p }, Rows: rows}, &kept{}, to, time.Minute)
		full, in := 0, 0
		for _, n := range to.batches {
			if n == rows {
				full++
				in += n
			}
		}
		if len(to.paths) != len(p.at) {
			t.Fatalf("%d of %d lines arrived", len(to.paths), len(p.at))
		}
		if share := float64(in) / float64(len(p.at)); share < 0.8 {
			t.Errorf("%.0f %% of the rows left in full batches (%d batches, %d full)", 100*share, len(to.batches), full)
		}
	})
}

// drawn are lines of so many clients, each of which makes one to many requests; their
// times are those at which they come.
func drawn(at []time.Time, clients int, seed uint64) (line func(int) string, of []netip.Addr) {
	random := rand.New(rand.NewPCG(seed, 1))
	of = make([]netip.Addr, len(at))
	for n := range of {
		c := uint32(float64(clients) * math.Pow(random.Float64(), 2))
		of[n] = netip.AddrFrom4([4]byte{198, byte(c >> 16), byte(c >> 8), byte(c)})
	}
	return func(n int) string {
		return fmt.Sprintf("%s - - [%s] \"GET /%d HTTP/1.1\" 200 5 \"-\" \"agent\"\n", of[n], at[n].UTC().Format("02/Jan/2006:15:04:05 -0700"), n)
	}, of
}

// A Ship whose stream is too slow sends all requests of a part of the clients, and
// what these stand for is what there was: no estimate is off by more than chance allows.
func TestOverloadIsSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := &pour{}
		for n := range 120_000 { // 1,000 a second, for two minutes
			p.at = append(p.at, began.Add(time.Duration(n)*time.Millisecond))
		}
		const clients = 20_000
		var of []netip.Addr
		p.line, of = drawn(p.at, clients, 5)
		registry := prometheus.NewRegistry()
		to := newLanded(func(rows int) time.Duration { return time.Duration(rows) * 16 * time.Millisecond })
		ships(t, Options{Open: func() Input { return p }, SampleAfter: 10 * time.Second, SampleKey: 77, Registerer: registry}, &kept{}, to, 3*time.Minute)

		if len(to.weights) < 2 {
			t.Fatalf("weights %v: nothing was sampled", to.weights)
		}
		if to.latest > time.Minute {
			t.Errorf("still %v behind at the end", to.latest)
		}
		if d := to.total/float64(len(p.at)) - 1; math.Abs(d) > 0.06 {
			t.Errorf("the rows stand for %.0f requests, there were %d (%+.1f %%)", to.total, len(p.at), 100*d)
		}
		got := gathered(t, registry)
		rows := 0
		for _, n := range to.clients {
			rows += n
		}
		if left := got["weir_collector_requests_left_out_total"]; int(left)+rows != len(p.at) || left == 0 {
			t.Errorf("%v left out and %d sent, of %d", left, rows, len(p.at))
		}
		if got["weir_collector_sample_weight"] != 1 {
			t.Errorf("a weight of %v after it was over", got["weir_collector_sample_weight"])
		}
		wholeClients(t, to, of)
	})
}

// wholeClients fails where a client was cut apart while it was sampled: whoever is kept at
// the greatest weight is kept at every weight, so all of its requests are there.
func wholeClients(t *testing.T, to *landed, of []netip.Addr) {
	t.Helper()
	all := map[netip.Addr]int{}
	for _, c := range of {
		all[c]++
	}
	most := 0.0
	for _, w := range to.few {
		most = max(most, w)
	}
	whole := 0
	for c, w := range to.few {
		if w == most {
			if whole++; to.clients[c] != all[c] {
				t.Fatalf("%d of %d requests of %s arrived, one that is kept", to.clients[c], all[c], c)
			}
		}
	}
	if whole == 0 {
		t.Error("no client was kept")
	}
}

// What was about to be sent when the process died is sampled as it was then, whatever the
// Ship after it would do.
func TestSampledAgainAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pour{}
		for range 5000 {
			p.at = append(p.at, time.Now())
		}
		p.line, _ = drawn(p.at, 1000, 9)
		intent := Intent{To: tail.Position{Offset: 5000}, Format: "combined", Clock: time.Now().UnixMilli(), Rows: 100, Level: 3, Key: 1234}
		data, _ := p.Reread(tail.Position{}, intent.To)
		var state State
		for i := range state.Next {
			state.Next[i] = 1
		}
		k := newPacker()
		if err := k.pack(&Options{Edge: "edge1", Source: "poured"}, &state, &intent, data); err != nil {
			t.Fatal(err)
		}
		intent.Next = k.after.Next
		state.Intents = []Intent{intent}
		want := map[string]string{}
		for _, m := range k.messages {
			want[m.id] = string(k.memory[m.from:m.to])
		}
		if k.left < 3500 || k.left > 4900 {
			t.Errorf("%d of 5,000 requests were left out, with one client in eight kept", k.left)
		}
		var sent atomic.Int32
		to := publishFunc(func(_ context.Context, _, id string, data []byte) error {
			if want[id] != "" {
				if sent.Add(1); want[id] != string(data) {
					t.Errorf("batch %s is another than before", id)
				}
			}
			return nil
		})
		ships(t, Options{Open: func() Input { return p }, SampleAfter: time.Hour, SampleKey: 99, First: 1}, &kept{state}, to, time.Second)
		if int(sent.Load()) != len(want) {
			t.Errorf("%d of %d batches were sent again", sent.Load(), len(want))
		}
	})
}

// When a Ship samples: not with an old log, nor after an outage, as long as it catches up.
func TestSampler(t *testing.T) {
	clock := time.UnixMilli(1_700_000_000_000)
	type look struct {
		passes time.Duration
		gains  time.Duration // event time
		more   bool
		failed bool
		want   uint
	}
	for name, c := range map[string]struct {
		behind time.Duration
		looks  []look
	}{
		"far behind and falling back": {time.Minute, []look{{want: 0, more: true}, {6 * time.Second, 3 * time.Second, true, false, 1}, {6 * time.Second, 6 * time.Second, true, false, 2}, {6 * time.Second, 20 * time.Second, true, false, 2}}},
		"an old log":                  {9000 * time.Hour, []look{{want: 0, more: true}, {6 * time.Second, time.Hour, true, false, 0}, {6 * time.Second, time.Hour, true, false, 0}}},
		"an outage":                   {time.Minute, []look{{want: 0, more: true}, {time.Hour, 0, true, true, 0}, {6 * time.Second, time.Hour, true, false, 0}}},
		"near":                        {time.Second, []look{{want: 0, more: true}, {6 * time.Second, 6 * time.Second, true, false, 0}}},
		"too soon to tell":            {time.Minute, []look{{want: 0, more: true}, {time.Second, 0, true, false, 0}, {time.Second, 0, true, false, 0}}},
		"all of it sent":              {time.Minute, []look{{want: 0, more: true}, {6 * time.Second, 0, true, false, 1}, {6 * time.Second, 6 * time.Second, false, false, 0}}},
	} {
		s := sampler{after: 30 * time.Second}
		now, newest := clock, clock.Add(-c.behind)
		for i, l := range c.looks {
			now, newest = now.Add(l.passes), newest.Add(l.gains)
			if got := s.step(now, newest.UnixMilli(), l.more, l.failed); got != l.want {
				t.Errorf("%s: level %d at look %d, want %d", name, got, i, l.want)
			}
		}
	}
	off := sampler{}
	for i := range 9 {
		if off.step(clock.Add(time.Duration(i)*time.Minute), 0, true, false) != 0 {
			t.Fatal("sampled though nobody asked for it")
		}
	}
}
