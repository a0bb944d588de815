package simulate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server answers as the resources say, after a fixed time, and counts.
type server struct {
	mu      sync.Mutex
	begun   time.Time
	kinds   map[Kind]int
	answers map[int]int
	takes   time.Duration
	status  int // instead of the resource's
}

func (s *server) send(ctx context.Context, actor Actor, q *Request) Answer {
	a := Answer{Status: q.Resource().Status}
	if s.status != 0 {
		a.Status = s.status
	}
	timer := time.NewTimer(s.takes)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		a.Status = 0
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[actor.Kind]++
	s.answers[a.Status]++
	return a
}

func played(t *testing.T, ctx context.Context, speed float64, s *server) error {
	t.Helper()
	s.kinds, s.answers, s.begun = map[Kind]int{}, map[int]int{}, time.Now()
	c := small(1)
	c.Ordinary, c.Tail, c.Plain = time.Minute, time.Minute, true
	c.Sites = c.Sites[:1]
	return Play(ctx, c, speed, s.send)
}

func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{takes: 50 * ms}
		if err := played(t, t.Context(), 1, s); err != nil {
			t.Fatal(err)
		}
		if s.kinds[Bot] != 1500 || s.kinds[Person] < 50 || s.kinds[Tool] == 0 || s.answers[404] < 1000 {
			t.Errorf("%v, %v", s.kinds, s.answers)
		}
		// A minute, ninety seconds of attack, a minute.
		if took := time.Since(s.begun); took < 209*time.Second || took > 211*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestPlayFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{takes: ms}
		if err := played(t, t.Context(), 10, s); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(s.begun); took < 20*time.Second || took > 22*time.Second || s.kinds[Bot] != 1500 {
			t.Errorf("took %s for %v", took, s.kinds)
		}
	})
}

// TestPlayHangsUp: nobody waits for ever; people try again, and then they leave.
func TestPlayHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{takes: time.Hour}
		if err := played(t, t.Context(), 1, s); err != nil {
			t.Fatal(err)
		}
		if s.answers[200] != 0 || s.answers[0] < 1500 {
			t.Errorf("%v", s.answers)
		}
		if took := time.Since(s.begun); took > 6*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

// TestPlayRefused: who is refused goes away.
func TestPlayRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused, served := &server{takes: ms, status: 403}, &server{takes: ms}
		if err := errors.Join(played(t, t.Context(), 1, refused), played(t, t.Context(), 1, served)); err != nil {
			t.Fatal(err)
		}
		if refused.kinds[Person]*3 > served.kinds[Person] || refused.kinds[Bot] != served.kinds[Bot] {
			t.Errorf("refused %v, served %v", refused.kinds, served.kinds)
		}
	})
}

func TestPlayStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
		defer stop()
		s := &server{takes: 50 * ms}
		err := played(t, ctx, 1, s)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(s.begun) > 91*time.Second {
			t.Errorf("after %s: %v", time.Since(s.begun), err)
		}
	})
	if err := Play(t.Context(), Default(), 0, nil); err == nil || err.Error() != "simulate: speed 0; give more than 0, at most 1000000" {
		t.Error(err)
	}
}
