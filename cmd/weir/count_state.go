package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// begin takes up where the partition's last counter was, and makes itself the only one
// who can write its panes.
func (c *counting) begin(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	for {
		if err := c.readClosings(ctx); err != nil {
			return err
		}
		data, err := c.claim()
		if err != nil {
			return err
		}
		sequence, err := c.bus.PublishAfter(ctx, schemas.SubjectPanes(c.partition), c.last, data)
		if errors.Is(err, bus.ErrNotLast) {
			continue // the one before was not dead yet: read what it has said
		}
		if err != nil {
			return err
		}
		c.last = sequence
		return nil
	}
}

// claim is a message of panes that says no more than the one before.
func (c *counting) claim() ([]byte, error) {
	claim := &schemas.Panes{Partition: uint32(c.partition), Revision: c.token, Sequence: c.position.Sequence, Closed: c.told, Part: 1, Parts: 1}
	if n := len(c.closings); n > 0 {
		claim.Sequence, claim.Level = c.closings[n-1].sequence, c.closings[n-1].level
	} else {
		claim.Level = c.counter.Level()
	}
	return schemas.EncodePanes(nil, claim)
}

// load takes up the partition's snapshot, or begins at the beginning.
func (c *counting) load(ctx context.Context) error {
	data, err := c.snapshots.Load(ctx, partitionLease(c.partition))
	if err == nil {
		if err = c.restore(data); err == nil {
			return nil
		}
		c.log.Error("a partition's snapshot cannot be used; counting from its last panes on", "partition", c.partition, "error", err)
	} else if !errors.Is(err, cluster.ErrNoSnapshot) {
		return err
	}
	c.position = position{Stream: c.stream, Numbers: make(map[string]uint64)}
	c.counter, err = c.newCounter(c.partition)
	return err
}

func (c *counting) restore(data []byte) error {
	in := bufio.NewReader(bytes.NewReader(data))
	line, err := in.ReadBytes('\n')
	if err != nil {
		return errors.New("it is cut short")
	}
	var was position
	if err := json.Unmarshal(line, &was); err != nil {
		return err
	}
	if was.Stream != c.stream {
		return fmt.Errorf("it is of the stream %s, this is %s", was.Stream, c.stream)
	}
	counter := c.parts.Counter(schemas.Partitions)
	if err := counter.Load(in); err != nil {
		counter.Leave()
		return err
	}
	c.counter, c.position, c.last, c.told, c.restored = counter, was, was.Panes, was.Told, true
	if c.position.Numbers == nil {
		c.position.Numbers = make(map[string]uint64)
	}
	for key, source := range was.Sources {
		c.order.promise(key, source)
	}
	if was.Clock != nil {
		c.order.orderClock = *was.Clock
	} else {
		c.order.Front = counter.Level()
	}
	c.past, c.waiting = was.Sequence, make(map[uint64]heldRows, len(was.Waiting))
	for text, rows := range was.Waiting {
		sequence, err := strconv.ParseUint(text, 10, 64)
		if err != nil || sequence == 0 || sequence > c.past {
			return fmt.Errorf("rows of the message %q wait", text)
		}
		c.waiting[sequence] = rows
		c.position.Sequence = min(c.position.Sequence, sequence-1)
	}
	return nil
}

// readClosings reads what the partition's panes say since the snapshot.
func (c *counting) readClosings(ctx context.Context) error {
	subject := schemas.SubjectPanes(c.partition)
	newest, _, err := c.bus.Last(ctx, schemas.StreamPanes, subject)
	if err != nil {
		return err
	}
	if newest <= c.last {
		return nil
	}
	reading, done := context.WithCancel(ctx)
	defer done()
	err = c.bus.Follow(reading, bus.FollowOptions{
		Stream: schemas.StreamPanes, Subjects: []string{subject}, From: c.last + 1, Reader: "closings-" + strconv.Itoa(c.partition), CaughtUp: done,
	}, func(_ context.Context, m *bus.Message) error {
		c.last = m.Sequence()
		p, err := schemas.DecodePanes(m.Data())
		if err != nil {
			c.log.Error("a message of panes was passed over", "sequence", m.Sequence(), "error", err)
			return nil
		}
		if p.Part == p.Parts && p.Closed > c.told { // half a set was not heard of: it is made anew
			c.closings = append(c.closings, closing{p.Sequence, p.Level, p.Closed})
			c.told = p.Closed
		}
		return nil
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !c.restored && len(c.closings) > 0 { // what was open then is not known any more
		newest := c.closings[len(c.closings)-1]
		c.order.Front = newest.level
		c.closings, c.position.Sequence = nil, newest.sequence
		c.counter.Advance(newest.level, func(int64, []*processor.Pane) {})
	}
	return nil
}

// saveWhenDue saves every now and then, and after much.
func (c *counting) saveWhenDue() func(context.Context) {
	saved := time.Now()
	return func(ctx context.Context) {
		c.mu.Lock()
		since := time.Since(saved)
		due := c.unsaved > countAtMost || c.unsaved > 0 && since >= countSaved || since >= countIdle
		c.mu.Unlock()
		if !due {
			return
		}
		if err := c.save(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("a partition was not saved", "partition", c.partition, "error", err)
		}
		saved = time.Now()
	}
}

// save stores where the partition is as of one moment.
func (c *counting) save(ctx context.Context) error {
	var state bytes.Buffer
	c.mu.Lock()
	if c.ended != nil || len(c.closings) > 0 || c.position.Sequence < c.past || c.counter.Closed() > c.told {
		c.mu.Unlock() // the snapshot before and the log say it all
		return nil
	}
	at := c.position
	at.Panes, at.Told, at.Sources, at.Waiting, at.Clock = c.last, c.told, c.order.promises(), make(map[string]heldRows), &c.order.orderClock
	for sequence, rows := range c.order.waiting() {
		at.Waiting[strconv.FormatUint(sequence, 10)] = rows
	}
	line, err := json.Marshal(at)
	if err == nil {
		state.Write(append(line, '\n'))
		err = c.counter.Save(&state)
	}
	c.unsaved = 0
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.saving.RLock()
	defer c.saving.RUnlock()
	return c.snapshots.Save(ctx, partitionLease(c.partition), c.token, state.Bytes())
}
