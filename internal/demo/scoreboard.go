package demo

import (
	"strconv"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// TicketHeader is the request header that carries a request's ticket through
// nginx to the application.
const TicketHeader = "X-Demo-Ticket"

// maxRecords bounds what a scoreboard keeps: about 100 bytes each.
const maxRecords = 400_000

// Ticket is the number of one request on a scoreboard.
type Ticket uint32

// String is the ticket as TicketHeader carries it.
func (t Ticket) String() string { return strconv.FormatUint(uint64(t), 10) }

// Sent is a request as it leaves.
type Sent struct {
	Actor  simulate.Actor
	Method string
	URI    string
	Page   bool // the application has work with it: no file that it hands out at once
	Absent bool // the site has no such page, or answers with an error of its own: nobody loses it
}

// Answered is what came of a request.
type Answered struct {
	Status int  // 0 where there was no answer
	Closed bool // the connection was closed without an answer (nginx: 444)
	HungUp bool // the client had waited long enough
}

// record is one request's whole story, times on the plan's timeline.
type record struct {
	Sent
	Answered
	at      time.Duration
	wait    time.Duration
	done    bool
	reached bool
}

// outcome is what became of a request, by truth.
type outcome uint8

const (
	open    outcome = iota // no answer yet, and not at the application
	reached                // the application had it
	stopped                // answered, or its connection closed, before the application
	failed                 // neither: nginx's own errors, and no answer in time
)

func (r *record) outcome() outcome {
	switch {
	case r.reached:
		return reached
	case !r.done:
		return open
	case r.Closed, r.Status > 0 && r.Status < 500:
		return stopped
	}
	return failed
}

// refused is a request that weir's measures stopped, seen by who sent it. What
// nginx itself answers to a request that is none (400, 405) is not.
func (r *record) refused() bool {
	return r.outcome() == stopped && (r.Closed || r.Status == 403 || r.Status == 429)
}

// lost is a refused request that the site would have served: what a visitor loses.
func (r *record) lost() bool { return r.refused() && !r.Absent }

// blocked is a lost request of whom nothing was asked: a challenge is answered 429 where no browser solves it.
func (r *record) blocked() bool { return r.lost() && r.Status != 429 }

// failed is a request that a visitor got nothing from.
func (r *record) failed() bool {
	return r.done && !r.refused() && (r.Status == 0 || r.Status >= 500)
}

func (r *record) bot() bool { return r.Actor.Kind == simulate.Bot }

// visitor is who must never be refused: everybody but the bots and the scanners
// that every site has in its log.
func (r *record) visitor() bool { return !r.bot() && r.Actor.Kind != simulate.Scanner }

// Scoreboard keeps account of every request of a demo. It is for concurrent use.
type Scoreboard struct {
	plan Plan

	mu      sync.Mutex
	began   time.Time
	records []record
	over    int       // requests beyond maxRecords
	noticed time.Time // zero: not yet
	decided time.Time
}

// NewScoreboard makes one; its time begins with Begin.
func NewScoreboard(plan Plan) *Scoreboard { return &Scoreboard{plan: plan} }

// Begin is the story's zero.
func (s *Scoreboard) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = time.Now()
}

// Elapsed is how much of the story has passed; 0 before Begin.
func (s *Scoreboard) Elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.elapsed()
}

func (s *Scoreboard) elapsed() time.Duration {
	if s.began.IsZero() {
		return 0
	}
	return s.plan.story(time.Since(s.began))
}

// AttackEnd is when, by the clock, the plan's attack ends.
func (s *Scoreboard) AttackEnd() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began.Add(s.plan.wall(s.plan.Before + s.plan.Attack))
}

// Noticed tells when weir opened its first incident; only the first call counts.
func (s *Scoreboard) Noticed(at time.Time) { s.first(&s.noticed, at) }

// Decided tells when weir took its first decision; only the first call counts.
func (s *Scoreboard) Decided(at time.Time) { s.first(&s.decided, at) }

func (s *Scoreboard) first(what *time.Time, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if what.IsZero() {
		*what = at
	}
}

// Send opens the record of a request that is about to leave. Where the
// scoreboard is full, ticket 0 stands for the request and the verdict fails.
func (s *Scoreboard) Send(q Sent) Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.records) >= maxRecords {
		s.over++
		return 0
	}
	s.records = append(s.records, record{Sent: q, at: s.elapsed()})
	return Ticket(len(s.records)) // from 1
}

// Reached marks a request as arrived at the application. A ticket that this
// scoreboard did not give is ignored.
func (s *Scoreboard) Reached(ticket string) {
	n, err := strconv.ParseUint(ticket, 10, 32)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.at(Ticket(n)); r != nil {
		r.reached = true
	}
}

// Answer closes the record of a request; the wait is the time since Send.
func (s *Scoreboard) Answer(ticket Ticket, a Answered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.at(ticket); r != nil && !r.done {
		r.Answered, r.done = a, true
		r.wait = s.elapsed() - r.at
	}
}

// at is a ticket's record; nil for none.
func (s *Scoreboard) at(t Ticket) *record {
	if t == 0 || int(t) > len(s.records) {
		return nil
	}
	return &s.records[t-1]
}
