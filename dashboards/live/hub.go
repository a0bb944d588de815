// Package live hears NATS for whoever watches: what requests come in at this moment, and
// the signals of every window. One subscription serves all viewers, and there is none
// while nobody watches.
//
//	weir.requests.> ─▶ count, by site ─▶ a Tick every 250 ms ─┐
//	weir.panes.signals ─▶ the latest rows ────────────────────┼─▶ Watch, one a stream
//	connection lost ─▶ Tick.Known is false: not zero, unknown ┘
package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weir-project/weir/schemas"
)

// Every is the time between two ticks.
const Every = 250 * time.Millisecond

// window is how many ticks a rate is of.
const window = int(time.Second / Every)

// MaxSites bounds the sites that are told apart in one tick: their names come from
// whoever asks. What is beyond counts in the totals alone.
const MaxSites = 1000

// Rates are requests a second of the last second.
type Rates struct{ Served, Failed, Stopped float64 }

// All is every one of them.
func (r Rates) All() float64 { return r.Served + r.Failed + r.Stopped }

func (r *Rates) add(o Rates, n float64) {
	r.Served += o.Served * n
	r.Failed += o.Failed * n
	r.Stopped += o.Stopped * n
}

// Tick is what happened up to a time.
type Tick struct {
	Time time.Time
	// Known is false where NATS could not be heard in the last second: then nothing is
	// known of it, which is not the same as nothing having happened.
	Known bool
	Total Rates
	Sites map[string]Rates // not to be changed
	// Signals are the rows that came since the tick before.
	Signals []schemas.SignalRow
}

// Hub is one connection's hearing. Safe for concurrent use.
type Hub struct {
	conn *nats.Conn
	log  *slog.Logger

	mu       sync.Mutex
	watchers map[*Watch]struct{}
	running  chan struct{} // closed when run has ended; nil while nobody watches
	cancel   context.CancelFunc
	closed   bool
}

// New makes a hub on a connection, which may be lost and found.
func New(conn *nats.Conn, log *slog.Logger) *Hub {
	return &Hub{conn: conn, log: log, watchers: make(map[*Watch]struct{})}
}

// Watch is one stream's view of the ticks. A viewer that is too slow misses ticks, and
// holds nobody up.
type Watch struct {
	hub   *Hub
	ticks chan Tick
}

// Ticks hands over the ticks; it is closed when the hub is.
func (w *Watch) Ticks() <-chan Tick { return w.ticks }

// ErrClosed is returned by Watch once the hub is closed.
var ErrClosed = errors.New("the data source was changed or removed")

// Watch begins to watch; Close ends it.
func (h *Hub) Watch() (*Watch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	w := &Watch{hub: h, ticks: make(chan Tick, 8)}
	h.watchers[w] = struct{}{}
	if h.running == nil {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		h.running, h.cancel = done, cancel
		go func() {
			defer close(done)
			h.run(ctx)
		}()
	}
	return w, nil
}

// Close ends a watch; with the last one the subscriptions end.
func (w *Watch) Close() {
	h := w.hub
	h.mu.Lock()
	delete(h.watchers, w)
	done := h.running
	last := len(h.watchers) == 0 && done != nil
	if last {
		h.cancel()
		h.running = nil
	}
	h.mu.Unlock()
	if last {
		<-done
	}
}

// Watchers is how many streams watch.
func (h *Hub) Watchers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers)
}

// Close ends all watches.
func (h *Hub) Close() {
	h.mu.Lock()
	done := h.running
	if done != nil {
		h.cancel()
	}
	h.running, h.closed = nil, true
	h.mu.Unlock()
	if done != nil {
		<-done
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		close(w.ticks)
		delete(h.watchers, w)
	}
}

// pending bounds what waits in memory to be counted: messages of a subscription.
const pending = 4096

func (h *Hub) run(ctx context.Context) {
	c := newCounter()
	var subscriptions []*nats.Subscription
	hear := func(subject string, take func([]byte) error) {
		// The client subscribes again by itself where it connects again.
		s, err := h.conn.Subscribe(subject, func(m *nats.Msg) {
			if err := take(m.Data); err != nil {
				h.log.Debug("a message was passed over", "subject", m.Subject, "error", err)
			}
		})
		if err != nil {
			h.log.Error("live", "subject", subject, "error", err)
			return
		}
		_ = s.SetPendingLimits(pending, 256<<20) // the subscription is open
		subscriptions = append(subscriptions, s)
	}
	hear(schemas.SubjectRequestsAll, c.batch)
	hear(schemas.SubjectSignals, c.signals)
	defer func() {
		for _, s := range subscriptions {
			_ = s.Unsubscribe() // or the connection is closed
		}
	}()
	ticker := time.NewTicker(Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			h.send(c.tick(now, h.conn.IsConnected()))
		}
	}
}

func (h *Hub) send(t Tick) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		select {
		case w.ticks <- t:
		default: // it misses one
		}
	}
}

// counter counts by site, in a ring of ticks.
type counter struct {
	mu      sync.Mutex
	decoder schemas.BatchDecoder
	rows    schemas.Rows
	now     counts
	latest  []schemas.SignalRow

	ring  [window]counts
	next  int
	known int // ticks in a row in which NATS was heard, up to window
}

type counts struct {
	total Rates
	sites map[string]*Rates
}

func newCounter() *counter { return &counter{now: counts{sites: make(map[string]*Rates)}} }

// batch counts the requests of one message.
func (c *counter) batch(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch, err := c.decoder.Decode(message)
	if err != nil {
		return err
	}
	c.rows.Reset(batch)
	var r schemas.Request
	for c.rows.Next(&r) {
		n := outcome(&r)
		c.now.total.add(n, 1)
		rates := c.now.sites[string(r.Site)]
		if rates == nil {
			if len(c.now.sites) >= MaxSites {
				continue
			}
			rates = new(Rates)
			c.now.sites[string(r.Site)] = rates
		}
		rates.add(n, 1)
	}
	return nil
}

// outcome is what became of a request, by how many it stands for: as the store counts it.
func outcome(r *schemas.Request) (n Rates) {
	weight := float64(r.Stands())
	switch {
	case schemas.Action(r.Action).Severity() > 0:
		n.Stopped = weight
	case r.Status >= 500 || r.Status == 499:
		n.Failed = weight
	default:
		n.Served = weight
	}
	return n
}

// maxSignalRows bounds what one tick hands on.
const maxSignalRows = 50_000

func (c *counter) signals(message []byte) error {
	var rows []schemas.SignalRow
	for line := range bytes.Lines(message) {
		var row schemas.SignalRow
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("a signal: %w", err)
		}
		rows = append(rows, row)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.latest)+len(rows) <= maxSignalRows {
		c.latest = append(c.latest, rows...)
	}
	return nil
}

// tick ends one and sums up the last second.
func (c *counter) tick(now time.Time, connected bool) Tick {
	c.mu.Lock()
	c.ring[c.next] = c.now
	c.next = (c.next + 1) % window
	c.now = counts{sites: make(map[string]*Rates, len(c.now.sites))}
	signals := c.latest
	c.latest = nil
	if c.known++; !connected {
		c.known = 0
	}
	c.known = min(c.known, window)
	c.mu.Unlock()
	// Of the ring only this goroutine reads.
	t := Tick{Time: now, Known: c.known == window, Sites: make(map[string]Rates), Signals: signals}
	for i := range c.ring {
		t.Total.add(c.ring[i].total, 1/(float64(window)*Every.Seconds()))
		for site, n := range c.ring[i].sites {
			sum := t.Sites[site]
			sum.add(*n, 1/(float64(window)*Every.Seconds()))
			t.Sites[site] = sum
		}
	}
	return t
}
