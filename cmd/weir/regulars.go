package main

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// The pace at which edges are told who the sites' regulars are: where that has changed,
// and once a day so that the message does not come of age.
const (
	regularsEvery = time.Minute
	regularsAgain = 24 * time.Hour
)

// tellRegulars is one partition's part of it: counter -> weir.edges.regulars.p -> edges.
func (c *counting) tellRegulars() func(context.Context) {
	var book *processor.RegularsBook
	var last []byte
	var told time.Time
	var one sync.Mutex // at a time
	subject := schemas.SubjectRegulars(c.partition)
	return func(ctx context.Context) {
		one.Lock()
		defer one.Unlock()
		if book == nil { // as the one before has told it
			_, data, err := c.bus.Last(ctx, schemas.StreamEdges, subject)
			if err != nil {
				return
			}
			book = new(processor.RegularsBook)
			if r, err := schemas.DecodeRegulars(data); err == nil && r.Partition == c.partition {
				book.Told(r.Sites)
			}
		}
		c.mu.Lock()
		if len(c.closings) > 0 || c.ended != nil || c.position.Sequence < c.past {
			c.mu.Unlock()
			return
		}
		r := &schemas.Regulars{Partition: c.partition, Sites: c.counter.Regulars(book)}
		c.mu.Unlock()
		same, err := schemas.EncodeRegulars(r)
		if err == nil && bytes.Equal(same, last) && time.Since(told) < regularsAgain {
			return
		}
		r.Token, r.Time = c.token, time.Now()
		message, err := schemas.EncodeRegulars(r)
		if err == nil {
			err = c.bus.Publish(ctx, subject, "", message)
		}
		if err != nil {
			if ctx.Err() == nil {
				c.log.Warn("edges were not told who the regulars are", "partition", c.partition, "error", err)
			}
			return
		}
		last, told = same, time.Now()
	}
}

// followRegulars tells this machine's edges who the sites' regulars are: nginx by site, the
// others, which cannot tell sites, all together.
func (r *enforcing) followRegulars(ctx context.Context) error {
	b, err := r.bus.open()
	if err != nil {
		return err
	}
	var tokens [schemas.Partitions]uint64
	var all *schemas.RegularSet
	return b.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamEdges, Subjects: []string{schemas.SubjectRegularsAll}, Reader: "regulars"},
		func(_ context.Context, m *bus.Message) error {
			list, err := schemas.DecodeRegulars(m.Data())
			if err != nil || m.Subject() != schemas.SubjectRegulars(list.Partition) || list.Token < tokens[list.Partition] {
				r.log.Warn("a list of regulars was passed over", "sequence", m.Sequence(), "error", err)
				return nil
			}
			tokens[list.Partition] = list.Token
			if r.enforcer != nil {
				r.enforcer.Regulars(list.Partition, list.Sites)
			}
			all = all.With(list.Partition, list.Sites)
			if r.firewall != nil {
				r.firewall.Regulars(all)
			}
			if r.haproxy != nil {
				r.haproxy.Regulars(all)
			}
			r.bouncers.Regulars(all)
			return nil
		})
}
