package ship

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Bounds of the wait before a message is published again.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 5 * time.Second
)

// publish publishes all messages, those of one partition in their order, and
// returns when the stream has them. The error is ctx's.
func (s *Ship) publish(ctx context.Context, messages []message, memory []byte) error {
	var running sync.WaitGroup
	var failed [schemas.Partitions]error
	var of [schemas.Partitions]bool
	for _, m := range messages {
		of[m.partition] = true
	}
	for p, any := range of {
		if !any {
			continue
		}
		running.Add(1)
		if err := s.o.Works.send(ctx, func() {
			for _, m := range messages {
				if m.partition == p && failed[p] == nil {
					failed[p] = s.publishOne(ctx, m, memory[m.from:m.to])
				}
			}
		}, running.Done); err != nil {
			failed[p] = err
			running.Done()
		}
	}
	running.Wait()
	return errors.Join(failed[:]...)
}

// publishOne tries until it succeeds or ctx ends.
func (s *Ship) publishOne(ctx context.Context, m message, data []byte) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := s.publisher.Publish(ctx, schemas.SubjectRequests(m.partition), m.id, data)
		if err == nil {
			s.metrics.batches.Inc()
			s.metrics.bytes.Add(float64(len(data)))
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.metrics.retries.Inc()
		s.retried.Store(true)
		s.o.Logger.Warn("cannot publish; trying again", "batch", m.id, "in", wait, "error", err)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// deadLetters bounds how many refused lines are passed on: a bucket of tokens.
type deadLetters struct {
	tokens float64
	filled time.Time
}

// Bounds of the dead letters.
const (
	deadPerSecond = 10
	deadLine      = 4096 // bytes of a line that are kept
)

func (d *deadLetters) take(now time.Time) bool {
	d.tokens = min(deadPerSecond, d.tokens+now.Sub(d.filled).Seconds()*deadPerSecond)
	if d.filled = now; d.tokens < 1 {
		return false
	}
	d.tokens--
	return true
}

// DeadLetter is a line that no parser took, as it is published: a sample, at
// most once.
type DeadLetter struct {
	Edge   string `json:"edge"`
	Source string `json:"source"`
	Reason string `json:"reason"`
	Line   string `json:"line"` // cut to 4 KiB; what is no UTF-8 is replaced
}

// publishDead publishes a sample of the refused lines. A failure is a sample less.
func (s *Ship) publishDead(ctx context.Context, k *packed) {
	if len(k.samples) == 0 {
		return
	}
	done := make(chan struct{})
	if s.o.Works.send(ctx, func() { s.publishRefused(ctx, k) }, func() { close(done) }) == nil {
		<-done
	}
}

func (s *Ship) publishRefused(ctx context.Context, k *packed) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, refused := range k.samples {
		if !s.dead.take(time.Now()) {
			return
		}
		letter, err := json.Marshal(DeadLetter{
			Edge: s.o.Edge, Source: s.o.Source, Reason: refused.reason.String(),
			Line: string(refused.line),
		})
		if err == nil {
			err = s.publisher.Publish(ctx, schemas.SubjectDead(k.format.String()), "", letter)
		}
		if err != nil {
			s.o.Logger.Debug("cannot publish a refused line", "error", err)
			return
		}
	}
}
