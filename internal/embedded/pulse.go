package embedded

import (
	"context"
	"fmt"
	"io"
	"time"
)

// A child that is alive and does not answer, because something stopped it or its engine stands
// still, is asked for its pulse every pulseEvery; after pulseMisses questions in a row without an
// answer, a minute, it is killed and the next one started. A busy one answers in time: the
// question needs nothing of the store.
const (
	pulseEvery  = 10 * time.Second
	pulseMisses = 6
)

// pulse returns why a child is to be given up, or nil when ctx ends.
func (s *Store) pulse(ctx context.Context, child *process) error {
	every := s.options.pulse
	if every == 0 {
		every = pulseEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := child.ping(ctx, every)
		if err == nil || ctx.Err() != nil {
			missed = 0
			continue
		}
		if missed++; missed == pulseMisses {
			return fmt.Errorf("the store's process %d gave no answer %d times in %v and was killed: %w", child.pid(), missed, (pulseMisses * every).Round(time.Second), err)
		}
	}
}

// ping asks for any answer at all.
func (p *process) ping(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := p.connect(ctx, p.settings.httpPort)
	if err != nil {
		return err
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	if err := c.SetDeadline(end); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET /ping HTTP/1.1\r\nHost: store\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}
