package main

import (
	"context"
	"errors"
	"net/netip"

	"github.com/weir-project/weir/schemas"
)

// counted reports whether a partition is counted here, and a message of it has been. One
// that nobody counts waits for its counter.
func (r *processing) counted(partition int, sequence uint64) bool {
	c, ok := r.counters.Load(partition)
	return ok && c.(*counting).has(sequence)
}

func (c *counting) has(sequence uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.oldest(c.position.Sequence) >= sequence && len(c.closings) == 0
}

// forget drops a client from all counters and the detector, and saves each twice: there
// are two places for a snapshot, by turns.
func (r *processing) forget(ctx context.Context, client netip.Addr) error {
	newest := uint64(0)
	for p := range schemas.Partitions {
		c, ok := r.counters.Load(p)
		if !ok {
			return errors.New("a partition is not counted here, or not yet")
		}
		last, err := c.(*counting).forget(ctx, client)
		if err != nil {
			return err
		}
		newest = max(newest, last)
	}
	d := r.current.Load()
	if d == nil {
		return errors.New("no detector is at work here, or not yet")
	}
	return d.forget(ctx, client, newest)
}

// forget returns the sequence of a message of panes after which none names the client.
func (c *counting) forget(ctx context.Context, client netip.Addr) (last uint64, err error) {
	err = await(ctx, func() (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.ended != nil {
			return false, c.ended
		}
		open := c.counter.Forget(client)
		if open || len(c.closings) > 0 || c.position.Sequence < c.past || c.counter.Closed() > c.told {
			return false, nil
		}
		data, err := c.claim() // the newest message of panes is none that is to be removed
		if err != nil {
			return false, err
		}
		err = c.append(ctx, data)
		last = c.last
		return true, err
	})
	for range 2 {
		if err == nil {
			err = c.save(ctx)
		}
	}
	return last, err
}

func (r *processing) retellRegulars(ctx context.Context) {
	r.counters.Range(func(_, c any) bool {
		c.(*counting).regulars(ctx)
		return true
	})
}

// names reports whether a message of panes tells of a client.
func (d *detecting) names(p *schemas.Panes, client netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.detector.Names(p, client)
}

// forget drops a client once the panes up to a message are judged.
func (d *detecting) forget(ctx context.Context, client netip.Addr, newest uint64) error {
	err := await(ctx, func() (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.live || d.at.Read < newest {
			return false, nil
		}
		told := int64(0)
		for _, closed := range d.at.Closed {
			told = max(told, closed)
		}
		if d.detector.Closed() < told {
			return false, nil
		}
		d.detector.Forget(client, d.emit)
		d.dirty = true
		if err := d.flush(ctx); err != nil {
			return false, err
		}
		d.tell(ctx)
		return true, nil
	})
	for range 2 {
		if err == nil {
			d.mu.Lock()
			d.dirty = true
			d.mu.Unlock()
			err = d.save(ctx, true)
		}
		if err == nil {
			d.saveKnowledge(ctx)
		}
	}
	return err
}
