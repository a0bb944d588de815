package simulate

import (
	"math/rand/v2"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Record is one line of the log and the truth about it.
type Record struct {
	Request
	Actor     Actor
	Sent      time.Time // when the request reached nginx
	Time      time.Time // when nginx logged it: Sent and Duration
	Status    int
	Bytes     int           // of the body
	Duration  time.Duration // $request_time
	Upstream  time.Duration // $upstream_response_time, -1 where nginx answered itself
	RequestID [16]byte
	Action    schemas.Action // of the edge; "" is allow
}

// Attack reports whether the request is the attack's.
func (r *Record) Attack() bool { return r.Actor.Kind == Bot && !r.warm }

// WouldSucceed reports whether the site, were it not overwhelmed, answers the
// request with a status below 400: what a visitor loses who is blocked. A visitor
// who got 499, 502 or 504 in the attack, and would have got the page without it,
// counts: an edge that stops the attack brings the page back.
func (r *Record) WouldSucceed() bool { return r.resource.Status < 400 }

// story runs the visits of a Traffic against applications.
type story struct {
	traffic *Traffic
	apps    map[*Site]*application
	r       *rand.Rand
	losing  *rand.Rand
	events  queue[event]
	emit    func(*Record) error
	judge   func(*Request, time.Time) schemas.Action // nil: no edge
	end     time.Duration
}

// event is a request to be sent (record nil) or an answer to be logged.
type event struct {
	stay   *stay
	index  int
	record *Record
}

// stay is a visit in progress.
type stay struct {
	visit   *Visit
	step    Step
	answers []Answer
	open    int // requests of the step without an answer
}

// Run makes the log: emit is called once a line in the order of the log, with a
// Record that is its own to keep; its error ends the run and is returned. Memory
// depends on how many visits go on at once and on the attack's addresses, not on
// the log's length.
func Run(c Config, emit func(*Record) error) error { return Closed(c, nil, emit) }

// Closed is Run behind an edge: judge is asked about every request when it is sent, after
// all that was logged until then was emitted, and what it does not allow is refused: the
// application never sees it, and visitors and bots meet the refusal.
func Closed(c Config, judge func(q *Request, sent time.Time) schemas.Action, emit func(*Record) error) error {
	traffic, err := NewTraffic(c)
	if err != nil {
		return err
	}
	s := &story{traffic: traffic, apps: map[*Site]*application{}, emit: emit, end: c.End(), judge: judge}
	s.r, s.losing = stream(c.Seed, label("request ids")), stream(c.Seed, label("lost"))
	for _, site := range traffic.sites {
		s.apps[site] = newApplication(site, c.Seed)
	}
	return s.run()
}

func (s *story) run() error {
	coming := s.traffic.Next()
	for {
		at, ok := s.events.next()
		if coming.Start < s.end && (!ok || coming.Start <= time.Duration(at)) {
			s.advance(&stay{visit: coming}, coming.Start, nil)
			coming = s.traffic.Next()
			continue
		}
		if !ok {
			return nil
		}
		_, e := s.events.pop()
		if e.record == nil {
			s.send(e, time.Duration(at))
		} else if err := s.finish(e, time.Duration(at)); err != nil {
			return err
		}
	}
}

// advance puts the visit's next step, if it has one, among the events.
func (s *story) advance(v *stay, at time.Duration, answers []Answer) {
	step, ok := v.visit.Next(answers)
	if !ok {
		return
	}
	v.step, v.open = step, len(step.Requests)
	v.answers = make([]Answer, len(step.Requests))
	for i := range step.Requests {
		s.events.push(int64(at+step.After+step.Requests[i].Delay), event{stay: v, index: i})
	}
}

func (s *story) send(e event, at time.Duration) {
	if at >= s.end {
		return // and with it the rest of the visit
	}
	if lost := e.stay.visit.Site.lost; lost > 0 && chance(s.losing, lost) {
		return // likewise
	}
	q := &e.stay.step.Requests[e.index]
	if change := e.stay.visit.Site.change; change != nil {
		q.resource = change(q.resource)
	}
	if s.judge != nil && s.stopped(e, q, at) {
		return
	}
	o := s.apps[e.stay.visit.Site].answer(at, q)
	o.duration = o.duration.Truncate(ms) // as nginx knows it
	e.record = &Record{
		Request: *q, Actor: e.stay.visit.Actor,
		Sent: s.traffic.config.Start.Add(at), Time: s.traffic.config.Start.Add(at + o.duration),
		Status: o.status, Bytes: o.bytes, Duration: o.duration, Upstream: o.upstream,
	}
	s.events.push(int64(at+o.duration), e)
}

// stopped lets the edge answer a request, where it does not allow it.
func (s *story) stopped(e event, q *Request, at time.Duration) bool {
	sent := s.traffic.config.Start.Add(at)
	action := s.judge(q, sent)
	if action.Severity() == 0 {
		return false
	}
	e.record = &Record{
		Request: *q, Actor: e.stay.visit.Actor, Sent: sent, Time: sent, Status: 403, Bytes: 150, Upstream: -1, Action: action,
	}
	if action == schemas.Throttle {
		e.record.Status = 429
	}
	s.events.push(int64(at), e)
	return true
}

func (s *story) finish(e event, at time.Duration) error {
	v := e.stay
	v.answers[e.index] = Answer{Status: e.record.Status}
	v.open--
	if at >= 0 {
		s.identify(e.record)
		if err := s.emit(e.record); err != nil {
			return err
		}
	}
	if v.open == 0 {
		s.advance(v, at, v.answers)
	}
	return nil
}

func (s *story) identify(r *Record) {
	for i := 0; i < len(r.RequestID); i += 8 {
		x := s.r.Uint64()
		for j := range 8 {
			r.RequestID[i+j] = byte(x >> (8 * j))
		}
	}
}
