package simulate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Send sends a request somewhere and says what the answer was. It is called from
// many goroutines; ctx ends when the visitor hangs up or the play is over. It
// must not keep q.
type Send func(ctx context.Context, actor Actor, q *Request) Answer

// Play lets the visits of a Config happen in real time, speed times as fast: the
// same traffic that Run logs, sent to a real server whose answers decide how it
// goes on. Visits that began before Config.Start do not take place. Play returns
// nil when the last visit within Config.End is over, or ctx's error when ctx ends
// first; either way nothing of it runs on.
func Play(ctx context.Context, c Config, speed float64, send Send) error {
	if !(speed > 0 && speed <= 1e6) {
		return fmt.Errorf("simulate: speed %v; give more than 0, at most 1000000", speed)
	}
	traffic, err := NewTraffic(c)
	if err != nil {
		return err
	}
	p := &player{speed: speed, send: send, begun: time.Now(), end: c.End()}
	defer p.visits.Wait()
	for {
		v := traffic.Next()
		if v.Start < 0 {
			continue
		}
		if v.Start >= p.end {
			return nil
		}
		if err := p.until(ctx, v.Start); err != nil {
			return err
		}
		p.visits.Go(func() { p.play(ctx, v) })
	}
}

type player struct {
	speed  float64
	send   Send
	begun  time.Time
	end    time.Duration
	visits sync.WaitGroup
}

// now is the story's time.
func (p *player) now() time.Duration { return time.Duration(float64(time.Since(p.begun)) * p.speed) }

// until waits for a moment of the story.
func (p *player) until(ctx context.Context, at time.Duration) error {
	timer := time.NewTimer(time.Until(p.begun.Add(time.Duration(float64(at) / p.speed))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ctx.Err()
	}
}

func (p *player) play(ctx context.Context, v *Visit) {
	at := v.Start
	var answers []Answer
	for {
		step, ok := v.Next(answers)
		if !ok {
			return
		}
		answers = make([]Answer, len(step.Requests))
		var open sync.WaitGroup
		for i := range step.Requests {
			q := &step.Requests[i]
			due := at + step.After + q.Delay
			if due >= p.end || p.until(ctx, due) != nil {
				open.Wait()
				return
			}
			open.Go(func() { answers[i] = p.ask(ctx, v.Actor, q) })
		}
		open.Wait()
		at = p.now()
	}
}

// ask sends one request, for as long as the visitor has patience.
func (p *player) ask(ctx context.Context, actor Actor, q *Request) Answer {
	ctx, hangUp := context.WithTimeout(ctx, time.Duration(float64(q.Patience)/p.speed))
	defer hangUp()
	a := p.send(ctx, actor, q)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Answer{Status: 499}
	}
	return a
}
