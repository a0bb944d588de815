package demo

import (
	"context"
	"hash/fnv"
	"net/netip"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// Bounds on what goes on at once. Where they are reached, requests leave later
// than they were meant to; none is dropped.
const (
	maxVisits   = 8192 // visits, bots' among them
	maxVisitors = 512  // visitors' requests in flight
	maxBots     = 1024 // the botnet's
)

// DefaultPatience is the longest that anybody waits for an answer, unless
// TrafficOptions say otherwise. Many of the model's visitors hang up earlier.
const DefaultPatience = 10 * time.Second

// Visits are everybody's visits in the order in which they begin:
// *simulate.Traffic has them.
type Visits interface{ Next() *simulate.Visit }

// TrafficOptions are what a Traffic is made of.
type TrafficOptions struct {
	// Addresses are those of the nginx processes, host:port: each client goes to one.
	Addresses []string
	Visits    Visits // made of StoryConfig
	Plan      Plan
	Board     *Scoreboard
	Patience  time.Duration // of the story; 0 is DefaultPatience
	// Dial connects a client to one of the Addresses; nil: all of them come from this
	// machine's own address, and say who they are in X-Forwarded-For.
	Dial Dial
}

// Traffic lets visits happen in real time: the traffic that a simulated log has,
// sent to a real server whose answers decide how visits go on. Visits that began
// before the story are led up to it without being sent, so that it begins in the
// middle of things, as the log that the baseline was learned from does.
type Traffic struct {
	options        TrafficOptions
	send           func(ctx context.Context, q *simulate.Request, ticket string) Answered
	visits         chan struct{}
	visitors, bots chan struct{}
}

// NewTraffic makes a Traffic; nothing is sent yet.
func NewTraffic(o TrafficOptions) *Traffic {
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	t := &Traffic{
		options:  o,
		visits:   make(chan struct{}, maxVisits),
		visitors: make(chan struct{}, maxVisitors),
		bots:     make(chan struct{}, maxBots),
	}
	if o.Dial == nil {
		o.Dial = dialAsOurselves
	}
	t.send = func(ctx context.Context, q *simulate.Request, ticket string) Answered {
		return exchange(ctx, o.Dial, addressFor(o.Addresses, q.Client), q, ticket)
	}
	return t
}

// addressFor is where a client goes: always to the same, as with names in the DNS.
func addressFor(addresses []string, client netip.Addr) string {
	h := fnv.New32a()
	_, _ = h.Write(client.AsSlice()) // never fails
	return addresses[h.Sum32()%uint32(len(addresses))]
}

// Run begins the scoreboard's time and plays the whole plan. It returns nil when
// the plan is over and its last answer is there, at most the patience later, or
// the context's error where that ends first; nothing of it runs on.
func (t *Traffic) Run(ctx context.Context) error {
	t.options.Board.Begin()
	var open sync.WaitGroup
	defer open.Wait()
	end := t.options.Plan.Total()
	for {
		v := t.options.Visits.Next()
		if v == nil || v.Start >= end {
			break
		}
		if err := t.until(ctx, v.Start); err != nil {
			return err
		}
		if !take(ctx, t.visits) {
			return ctx.Err()
		}
		open.Go(func() {
			defer func() { <-t.visits }()
			t.play(ctx, v)
		})
	}
	return t.until(ctx, end)
}

// play lets one visit happen.
func (t *Traffic) play(ctx context.Context, v *simulate.Visit) {
	at := v.Start
	var answers []simulate.Answer
	for {
		step, ok := v.Next(answers)
		if !ok {
			return
		}
		if answers, at, ok = t.step(ctx, v, at+step.After, step.Requests); !ok {
			return
		}
	}
}

// step sends a step's requests, each at its time, and gives back the answers and
// when the last of them was there; false where the plan or the context is over.
func (t *Traffic) step(ctx context.Context, v *simulate.Visit, begin time.Duration, requests []simulate.Request) ([]simulate.Answer, time.Duration, bool) {
	answers := make([]simulate.Answer, len(requests))
	last := begin
	live := false
	var open sync.WaitGroup
	defer open.Wait()
	for i := range requests {
		q := &requests[i]
		due := begin + q.Delay
		if due < 0 { // before the story, when all was well
			answers[i] = simulate.Answer{Status: q.Resource().Status}
			last = max(last, due+q.Resource().Service)
			continue
		}
		if due >= t.options.Plan.Total() || t.until(ctx, due) != nil {
			return nil, 0, false
		}
		live = true
		open.Go(func() { answers[i] = t.ask(ctx, v, q) })
	}
	open.Wait()
	if live {
		last = t.options.Board.Elapsed()
	}
	return answers, last, true
}

// ask sends one request for as long as the visitor has patience, and has it on
// the scoreboard.
func (t *Traffic) ask(ctx context.Context, v *simulate.Visit, q *simulate.Request) simulate.Answer {
	lane := t.visitors
	if v.Actor.Kind == simulate.Bot {
		lane = t.bots
	}
	if !take(ctx, lane) {
		return simulate.Answer{}
	}
	defer func() { <-lane }()
	board := t.options.Board
	ticket := board.Send(Sent{Actor: v.Actor, Method: q.Method, URI: q.URI, Page: q.Resource().Service > 0, Absent: q.Resource().Status >= 400})
	patience := min(q.Patience, t.options.Patience)
	waiting, hangUp := context.WithTimeout(ctx, t.options.Plan.wall(patience))
	defer hangUp()
	a := t.send(waiting, q, ticket.String())
	board.Answer(ticket, a)
	if a.HungUp {
		return simulate.Answer{Status: 499}
	}
	return simulate.Answer{Status: a.Status}
}

// until waits for a moment of the story; at once where it has passed.
func (t *Traffic) until(ctx context.Context, at time.Duration) error {
	left := t.options.Plan.wall(at - t.options.Board.Elapsed())
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// take waits for a place.
func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
