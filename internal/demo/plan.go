package demo

import (
	"fmt"
	"time"
)

// Plan is the demo's timeline. Its durations are of the story; where Speed is
// not 1 the clock on the wall runs otherwise.
type Plan struct {
	Before time.Duration // ordinary visitors alone
	Attack time.Duration // visitors and botnet
	After  time.Duration // visitors alone again
	// Speed is how many seconds of the story pass in a second of the clock: 1
	// for everybody, more for tests. Service times, waits and pauses follow it.
	Speed float64
	// Workers is how many requests the application works on at once; 0: appWorkers.
	Workers int
	// Requests and Addresses are the botnet's in the whole attack; 0: botRequests, botAddresses.
	Requests, Addresses int
}

// DefaultPlan is two and a half minutes: half a minute of peace, 100 seconds of
// attack, 20 seconds afterwards.
func DefaultPlan() Plan {
	return Plan{Before: 30 * time.Second, Attack: 100 * time.Second, After: 20 * time.Second, Speed: 1}
}

// ClosedPlan is a closed loop's: the default's botnet at the same rate for six minutes, so that
// over 400 visitors come. Of 200, two are 1 %.
func ClosedPlan() Plan {
	p := ClosedPlanWithout()
	const longer = 6 * time.Minute
	p.Requests = int(botRequests * longer / p.Attack)
	p.Addresses = int(botAddresses * longer / p.Attack)
	p.Attack = longer
	return p
}

// ClosedPlanWithout is as much of it as shows what becomes of the application without weir.
func ClosedPlanWithout() Plan {
	p := DefaultPlan()
	p.Workers = closedWorkers
	return p
}

// firstMinute is how long after the attack's first request the verdict begins to
// count.
const firstMinute = time.Minute

// maxPlan bounds a demo.
const maxPlan = time.Hour

// Validate says what is wrong with a plan, in one line, or nil.
func (p Plan) Validate() error {
	switch {
	case p.Before < 0 || p.After < 0 || p.Attack < 0:
		return fmt.Errorf("demo: %s before, %s of attack, %s after; none may be negative", p.Before, p.Attack, p.After)
	case p.Attack <= firstMinute:
		return fmt.Errorf("demo: an attack of %s; give more than %s, what comes after that minute is judged", p.Attack, firstMinute)
	case p.Total() > maxPlan:
		return fmt.Errorf("demo: %s in all; give at most %s", p.Total(), maxPlan)
	case !(p.Speed >= 0.1 && p.Speed <= 100):
		return fmt.Errorf("demo: speed %v; give 0.1 to 100", p.Speed)
	}
	return nil
}

// Total is the story's length.
func (p Plan) Total() time.Duration { return p.Before + p.Attack + p.After }

// wall is how long a span of the story takes by the clock.
func (p Plan) wall(story time.Duration) time.Duration {
	return time.Duration(float64(story) / p.Speed)
}

// story is how much of the story passes in a span of the clock.
func (p Plan) story(wall time.Duration) time.Duration {
	return time.Duration(float64(wall) * p.Speed)
}

// Phase is a part of the story.
type Phase string

// The phases.
const (
	PhaseBefore Phase = "before"
	PhaseDuring Phase = "attack"
	PhaseAfter  Phase = "after"
)

// phase is the part that a moment of the story belongs to.
func (p Plan) phase(at time.Duration) Phase {
	switch {
	case at < p.Before:
		return PhaseBefore
	case at < p.Before+p.Attack:
		return PhaseDuring
	}
	return PhaseAfter
}
