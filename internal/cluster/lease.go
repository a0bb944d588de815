package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Why a lease's work is ended.
var (
	// ErrLost says that the lease is another's by now, or may be: nothing is to be
	// written any more.
	ErrLost = errors.New("the lease is lost")
	// ErrHandOver says that another shall have the lease: what it needs is to be saved.
	ErrHandOver = errors.New("the lease is handed over")
)

// Work is done under a lease until ctx ends. context.Cause(ctx) is ErrLost, ErrHandOver,
// or that of the program's end, which is a handing over too.
type Work func(ctx context.Context, name string, token uint64) error

// Quota is how many of so many leases a member may hold, given its place among the
// members.
type Quota func(leases, members, place int) int

// Evenly shares leases out; what does not divide goes to the first.
func Evenly(leases, members, place int) int {
	n := leases / members
	if place < leases%members {
		n++
	}
	return n
}

// Elected lets each hold what it gets: one lease, which stays where it is.
func Elected(leases, _, _ int) int { return leases }

// shares is what a Share keeps of its leases.
type shares struct {
	m     *Member
	names []string
	work  Work
	held  map[string]*holding
	ended chan string
	pause map[string]time.Time // work that failed is not begun again before
}

type holding struct {
	revision uint64
	cancel   context.CancelCauseFunc
	ending   bool
	err      error
}

// retryAfter is how long a lease is left to others after its work has failed here.
const retryAfter = 2 * time.Second

// Share does the work of the leases that this member holds, each in a goroutine of its
// own, and takes, hands over and gives up leases as members come and go, until ctx ends
// and all work has. It needs Run beside it.
func (m *Member) Share(ctx context.Context, names []string, quota Quota, work Work) error {
	s := &shares{
		m: m, names: names, work: work, held: make(map[string]*holding),
		ended: make(chan string, len(names)), pause: make(map[string]time.Time),
	}
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(m.o.Beat / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			for name := range s.held {
				s.end(name, ErrHandOver)
			}
			for len(s.held) > 0 {
				s.finish(context.WithoutCancel(ctx), <-s.ended)
			}
			return nil
		case name := <-s.ended:
			s.finish(ctx, name)
		case <-tick.C:
		}
		s.step(ctx, &running, quota)
	}
}

// step compares what is held with what should be.
func (s *shares) step(ctx context.Context, running *sync.WaitGroup, quota Quota) {
	now := time.Now()
	holds := 0
	for name, h := range s.held {
		switch {
		case !s.m.holds(name, h.revision, now):
			s.end(name, ErrLost)
		case !h.ending:
			holds++
		}
	}
	free, members, place := s.m.survey(s.names, now)
	if members == 0 || ctx.Err() != nil {
		return
	}
	want := quota(len(s.names), members, place)
	for _, name := range s.names {
		if holds <= want {
			break
		}
		if h := s.held[name]; h != nil && !h.ending {
			s.end(name, ErrHandOver)
			holds--
		}
	}
	for name, revision := range free {
		if holds >= want {
			return
		}
		if s.held[name] != nil || now.Before(s.pause[name]) {
			continue
		}
		if token, at, ok := s.m.acquire(ctx, name, revision); ok {
			s.begin(ctx, running, name, token, at)
			holds++
		}
	}
}

// survey tells which leases are free, each with the revision of its last holder's (0
// for none), and this member's place among the members; 0 members where it cannot tell.
func (m *Member) survey(names []string, now time.Time) (free map[string]uint64, members, place int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.well(now) {
		return nil, 0, 0
	}
	free = make(map[string]uint64)
	for _, name := range names {
		if e, ok := m.entries[leasePrefix+name]; !ok || !m.alive(e.value, now) {
			free[name] = e.revision
		}
	}
	ids := m.members(now)
	for i, id := range ids {
		if id == m.o.ID {
			place = i
		}
	}
	return free, len(ids), place
}

// holds reports whether a lease is still this member's beyond doubt: nobody has it, and
// nobody can have taken this member for dead.
func (m *Member) holds(name string, revision uint64, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.acked) > m.o.Gone*3/4 {
		return false
	}
	e, ok := m.entries[leasePrefix+name]
	return !ok || e.revision <= revision // not yet seen, or ours
}

// acquire takes a lease that is free.
func (m *Member) acquire(ctx context.Context, name string, last uint64) (token, revision uint64, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, m.o.Gone)
	defer cancel()
	var err error
	if last == 0 {
		revision, err = m.o.Bucket.Create(ctx, leasePrefix+name, []byte(m.o.ID))
	} else {
		revision, err = m.o.Bucket.Update(ctx, leasePrefix+name, []byte(m.o.ID), last)
	}
	if err != nil {
		if !errors.Is(err, jetstream.ErrKeyExists) && ctx.Err() == nil {
			m.log.Debug("cluster: a lease was not taken", "lease", name, "error", err)
		}
		return 0, 0, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[leasePrefix+name]; e.revision < revision { // the watch comes later
		m.entries[leasePrefix+name] = entry{m.o.ID, revision, time.Now()}
	}
	return m.epoch + revision, revision, true
}

func (s *shares) begin(ctx context.Context, running *sync.WaitGroup, name string, token, revision uint64) {
	// The work's end is told to it one by one, also that of the program.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	h := &holding{revision: revision, cancel: cancel}
	s.held[name] = h
	s.m.log.Info("cluster: took a lease", "lease", name, "token", token)
	running.Go(func() {
		h.err = s.work(ctx, name, token)
		s.ended <- name
	})
}

func (s *shares) end(name string, why error) {
	h := s.held[name]
	if !h.ending {
		s.m.log.Info("cluster: ends a lease", "lease", name, "reason", why)
	}
	h.ending = true
	h.cancel(why) // the first reason counts
}

// finish gives a lease back after its work has ended.
func (s *shares) finish(ctx context.Context, name string) {
	h := s.held[name]
	delete(s.held, name)
	if h.err != nil {
		s.m.log.Error("cluster: the work of a lease failed", "lease", name, "error", h.err)
		s.pause[name] = time.Now().Add(retryAfter)
	}
	h.cancel(nil)
	ctx, cancel := context.WithTimeout(ctx, s.m.o.Gone)
	defer cancel()
	// Where it is another's by now, this fails, as it should.
	if err := s.m.o.Bucket.Delete(ctx, leasePrefix+name, jetstream.LastRevision(h.revision)); err != nil {
		s.m.log.Debug("cluster: a lease was not given back", "lease", name, "error", err)
	}
}
