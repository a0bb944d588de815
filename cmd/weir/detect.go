package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Pace of detecting.
const (
	detectSaved   = 10 * time.Second // between two snapshots, or twenty times what one takes, but no more than savedLatest
	savedLatest   = time.Minute      // what is not saved by then is worked out anew by whoever takes over
	fileSaved     = 30 * time.Second // between two writings of the state file
	knowledgeTick = time.Minute      // between two snapshots of what counters need
	snapshotTick  = time.Minute      // between two snapshots of the decisions in force
	// waitAtMost is how long a partition that lags holds detection up: longer than it takes
	// to take over a dead counter's.
	waitAtMost = 10 * time.Second
	// maxWaiting bounds the panes that wait for others: memory before order.
	maxWaiting = 200_000
	// lateAtMost is how late panes may be, in seconds of event time, that are still added to
	// the windows: those of an hour, all at once, would look like a flood.
	lateAtMost = 60
)

const detectorLease = "detector"

// detecting is the elected detector.
//
//	weir.panes.0 ... 7 -> by second -> detector -> desk -> WEIR_INCIDENTS, WEIR_DECISIONS
//	                                       |
//	                                       +-> signals, knowledge, snapshots
//
// Beside it the edges' vitals are judged, see edgeWatch.
//
// A second is judged when every partition has closed it. Whoever is elected next loads the
// last snapshot, fills its windows from the panes before it, and comes from the panes since
// to the same events, under the same ids: those that were published are not stored twice.
type detecting struct {
	*processing
	token uint64

	mu       sync.Mutex // all that follows
	detector *processor.Detector
	seconds  processor.Seconds
	filling  processor.Seconds // of seconds that were closed when the state was saved
	at       detectorPosition
	past     uint64 // messages up to here were read before the snapshot
	live     bool
	sets     [schemas.Partitions]paneSet   // of which parts are missing
	behind   [schemas.Partitions]time.Time // since when a partition lags, zero where it does not
	heard    bool                          // anything at all
	pending  []schemas.Event               // emitted, on their way to the desk
	signals  []schemas.SignalRow
	known    map[knownOf]schemas.ListPart // on their way to the edges
	dirty    bool
	steps    int64      // number of the last ten seconds whose steps were saved
	stepping sync.Mutex // held while they are
}

// paneSet is the parts of a set of panes that have come.
type paneSet struct {
	panes []*processor.Pane
	parts uint32
	first uint64 // sequence of the first
}

// detectorPosition is how far the panes have been judged.
type detectorPosition struct {
	Read      uint64                     `json:"read"` // sequence of the panes' stream, the last message read
	Stream    string                     `json:"stream"`
	Secret    secret                     `json:"secret"`
	Closed    [schemas.Partitions]int64  `json:"closed"`    // by each partition
	Revisions [schemas.Partitions]uint64 `json:"revisions"` // the greatest seen of each
	Marks     []secondMark               `json:"marks"`     // where the panes of recent seconds begin
}

// secondMark says that the panes of seconds after one are not before a message.
type secondMark struct {
	Second   int64  `json:"second"`
	Sequence uint64 `json:"sequence"`
}

// detect is the work of the detector's lease.
func (r *processing) detect(ctx context.Context, _ string, token uint64) error {
	d := &detecting{processing: r, token: token}
	if err := d.begin(ctx); err != nil {
		return ctxDone(ctx, err)
	}
	if err := r.desk.fence(ctx, token); err != nil {
		return ctxDone(ctx, err)
	}
	r.meters.leader.Set(1)
	defer r.meters.leader.Set(0)
	r.log.Info("detecting", "token", token, "closed", time.Unix(d.detector.Closed(), 0).UTC(), "from", d.from())
	r.elected(d)
	defer r.elected(nil)

	following, stop := context.WithCancelCause(ctx)
	var aside sync.WaitGroup
	defer aside.Wait()
	defer stop(nil)
	if err := d.hearPeople(following, &aside); err != nil {
		return ctxDone(ctx, err)
	}
	d.saveKnowledge(ctx)
	if err := r.bus.Publish(ctx, schemas.SubjectKnowledge, "", knowledgeMessage(token, 0, nil)); err != nil {
		return ctxDone(ctx, err)
	}
	aside.Go(func() { every(following, idleTick, d.tick) })
	aside.Go(func() { every(following, time.Second, d.saveWhenDue()) })
	aside.Go(func() { every(following, time.Second, d.saveSteps) })
	aside.Go(func() { every(following, knowledgeTick, d.saveKnowledge) })
	aside.Go(func() { every(following, snapshotTick, d.snapshot) })
	aside.Go(func() {
		_ = retry(following, func() error { return d.hearEdges(following) }, func(err error) { d.log.Warn("the edges' vitals are not judged", "error", err) })
	})
	subjects := make([]string, schemas.Partitions)
	for p := range subjects {
		subjects[p] = schemas.SubjectPanes(p)
	}
	err := r.bus.Follow(following, bus.FollowOptions{
		Stream: schemas.StreamPanes, Subjects: subjects, From: d.from(), Reader: "detect", CaughtUp: d.caughtUp,
	}, d.message)
	stop(nil)
	aside.Wait()
	if errors.Is(context.Cause(ctx), cluster.ErrLost) {
		return nil
	}
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = errors.Join(ctxDone(ctx, err), d.save(saving, true))
	d.saveSteps(saving)
	return err
}

// hearPeople takes what people said of incidents, and goes on aside with what they say.
func (d *detecting) hearPeople(ctx context.Context, aside *sync.WaitGroup) error {
	known, failed := make(chan struct{}), make(chan error, 1)
	take := func(c processor.Correction, revision uint64) error { return d.correct(ctx, c, revision) }
	aside.Go(func() {
		failed <- d.corrections(ctx, known, take)
		_ = retry(ctx, func() error { return d.corrections(ctx, nil, take) }, func(err error) { d.log.Warn("what people say of incidents is not heard", "error", err) })
	})
	select {
	case <-known:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// correct takes a person's word. From which second on it counts is decided by the detector that first hears of
// it, and kept with it before that second is judged: the next one may judge the same seconds again, and hears of
// it before them.
func (d *detecting) correct(ctx context.Context, c processor.Correction, revision uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.From == 0 && len(c.Decisions) == 0 { // what decisions are not to be counts at once
		c.From = d.detector.Closed() + 1
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		_, err = d.bus.State().Update(ctx, correctionKey(&c), text, revision)
		if errors.Is(err, jetstream.ErrKeyExists) { // it was decided meanwhile, and comes again
			return nil
		}
		if err != nil {
			return fmt.Errorf("nats: what somebody said of %s: %w", c.Incident, err)
		}
	}
	d.detector.Correct(c)
	return nil
}

// from is the first message of panes that is needed.
func (d *detecting) from() uint64 {
	from := d.at.Read + 1
	for _, m := range d.at.Marks {
		from = min(from, m.Sequence)
	}
	return from
}

// message takes one message of panes.
func (d *detecting) message(ctx context.Context, m *bus.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.Sequence() > d.past {
		d.goLive()
		d.at.Read = m.Sequence()
	}
	p, err := schemas.DecodePanes(m.Data())
	var panes []*processor.Pane
	if err == nil {
		panes, err = d.detector.Unpack(p)
	}
	if err != nil {
		d.log.Error("a message of panes was passed over", "sequence", m.Sequence(), "error", err)
		d.meters.malformed.Inc()
		return nil
	}
	set := &d.sets[p.Partition]
	if p.Part == 1 {
		d.detector.Release(set.panes)
		*set = paneSet{first: m.Sequence()}
	}
	if p.Part != set.parts+1 { // the rest of one whose beginning was not read
		d.detector.Release(panes)
		return nil
	}
	set.panes, set.parts = append(set.panes, panes...), p.Part
	if p.Part < p.Parts {
		return nil
	}
	d.take(int(p.Partition), p, set.panes, set.first)
	*set = paneSet{}
	if !d.live {
		return nil
	}
	return d.advance(ctx, time.Now())
}

// take notes what a partition has closed.
func (d *detecting) take(n int, p *schemas.Panes, panes []*processor.Pane, sequence uint64) {
	if !d.live { // read before: windows and what was not judged yet
		for _, pane := range panes {
			if pane.Second > d.detector.Closed() {
				d.seconds.Add(n, []*processor.Pane{pane})
			} else {
				d.filling.Add(n, []*processor.Pane{pane})
			}
		}
		return
	}
	if p.Revision < d.at.Revisions[n] {
		d.meters.fenced.Inc()
		d.detector.Release(panes)
		return
	}
	d.at.Revisions[n] = p.Revision
	if p.Closed <= d.at.Closed[n] { // told before, or a claim
		d.meters.replaced.Add(float64(len(panes)))
		d.detector.Release(panes)
		return
	}
	d.at.Closed[n], d.behind[n] = p.Closed, time.Time{}
	d.heard, d.dirty = true, true
	d.mark(p.Closed, sequence)
	d.meters.merged.Add(float64(len(panes)))
	kept := panes[:0]
	for _, pane := range panes {
		if late := d.detector.Closed() - pane.Second; d.detector.Closed() > 0 && late >= 0 {
			d.meters.late.Add(float64(pane.Counts[window.Requests]))
			if late > lateAtMost {
				d.detector.Release([]*processor.Pane{pane})
				continue
			}
			pane.Counts[window.Late] = pane.Counts[window.Requests]
			pane.Second = d.detector.Closed() + 1
			if merged := d.seconds.AddLate(pane); merged != nil {
				d.detector.Release([]*processor.Pane{merged})
			}
			continue
		}
		kept = append(kept, pane)
	}
	replaced := d.seconds.Add(n, kept)
	d.meters.replaced.Add(float64(len(replaced)))
	d.detector.Release(replaced)
}

// mark notes where a partition's panes lie in the stream, for as long as windows reach
// back.
func (d *detecting) mark(closed int64, sequence uint64) {
	marks := d.at.Marks
	if len(marks) > 0 && marks[len(marks)-1].Second >= closed-1 {
		return
	}
	marks = append(marks, secondMark{closed, sequence})
	oldest := min(d.detector.Closed(), closed) - processor.FillSeconds - waitSeconds
	for len(marks) > 1 && marks[1].Second < oldest {
		marks = marks[1:]
	}
	d.at.Marks = append([]secondMark(nil), marks...)
}

// waitSeconds is how far partitions may be apart.
const waitSeconds = int64(waitAtMost / time.Second)

// goLive ends the reading of what was read before.
func (d *detecting) goLive() {
	if d.live {
		return
	}
	d.live = true
	if closed := d.detector.Closed(); closed > 0 && d.past > 0 {
		for s := closed - processor.FillSeconds + 1; s <= closed; s++ {
			d.detector.Fill(s, d.filling.Take(s))
		}
	}
	d.filling = processor.Seconds{}
	d.detector.Filled()
}

// caughtUp is when all that the stream held has been read.
func (d *detecting) caughtUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.goLive()
}

// tick lets go of a partition that holds the others up.
func (d *detecting) tick(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live {
		_ = d.advance(ctx, time.Now()) // it fails only when ctx ends
	}
}

// until is the last second that every partition has closed, but for those that are behind
// the others and have not come on for too long.
func (d *detecting) until(now time.Time) int64 {
	newest := int64(0)
	for _, closed := range d.at.Closed {
		newest = max(newest, closed)
	}
	until := newest
	for n, closed := range d.at.Closed {
		if closed >= newest-1 {
			d.behind[n] = time.Time{}
		} else if d.behind[n].IsZero() {
			d.behind[n] = now
		}
		if (d.behind[n].IsZero() || now.Sub(d.behind[n]) < waitAtMost) && d.seconds.Len() < maxWaiting {
			until = min(until, closed)
		}
	}
	return until
}

// advance judges the seconds that are complete.
func (d *detecting) advance(ctx context.Context, now time.Time) error {
	until := d.until(now)
	if until <= d.detector.Closed() || until == 0 {
		return nil
	}
	d.meters.detectorLag.Set(now.Sub(time.Unix(until+1, 0)).Seconds())
	if d.detector.Closed() == 0 {
		d.detector.Skip(d.seconds.First(0, until) - 1)
	}
	for d.detector.Closed() < until {
		if next := d.seconds.First(d.detector.Closed(), until+1); next > d.detector.Closed()+1 && d.detector.Skip(next-1) {
			continue
		}
		second := d.detector.Closed() + 1
		d.detector.Close(second, d.seconds.Take(second), d.emit)
		if err := d.flush(ctx); err != nil {
			return err
		}
		if len(d.signals) >= signalRows { // a backlog brings days of them within seconds
			d.sendSignals(ctx)
		}
	}
	d.sendSignals(ctx)
	d.tell(ctx)
	return nil
}

func (d *detecting) emit(e schemas.Event) { d.pending = append(d.pending, e) }

func (d *detecting) takeSignals(end time.Time, site string, signals []schemas.Signal) {
	d.signals = appendSignals(d.signals, end, site, signals)
}

// flush publishes the events of one second.
func (d *detecting) flush(ctx context.Context) error {
	d.sendKnown(ctx)
	if len(d.pending) == 0 {
		return nil
	}
	for _, e := range d.pending {
		logEvent(d.log, e)
	}
	if err := d.desk.publishAs(ctx, d.token, d.pending); err != nil {
		return err
	}
	d.pending = d.pending[:0]
	return nil
}

// sendSignals publishes the signals of the windows that have ended, a message or more for
// each second: the same again are dropped by their ids.
func (d *detecting) sendSignals(ctx context.Context) {
	for rows := d.signals; len(rows) > 0; {
		n := 1
		for n < len(rows) && rows[n].Time.Equal(rows[0].Time) {
			n++
		}
		d.sendSignalsOf(ctx, rows[0].Time, rows[:n])
		rows = rows[n:]
	}
	d.signals = d.signals[:0]
}

func (d *detecting) sendSignalsOf(ctx context.Context, at time.Time, rows []schemas.SignalRow) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	part := 0
	for i, row := range rows {
		if err := encoder.Encode(row); err != nil {
			d.log.Warn("a signal was left out", "site", row.Site, "signal", row.Name, "error", err)
		}
		if body.Len() < schemas.MaxMessage/2 && i < len(rows)-1 {
			continue
		}
		id := fmt.Sprintf("signals/%s/%d/%d", d.stream, at.UnixMilli(), part)
		part++
		if err := d.bus.Publish(ctx, schemas.SubjectSignals, id, body.Bytes()); err != nil && ctx.Err() == nil {
			d.log.Warn("signals were not published", "error", err)
		}
		body.Reset()
	}
}

// tell publishes what was learned for the counters, and by when.
func (d *detecting) tell(ctx context.Context) {
	changes := d.detector.Knowledge().Changes()
	if len(changes) == 0 {
		changes = [][]byte{nil}
	}
	for i, change := range changes {
		closed := int64(0)
		if i == len(changes)-1 { // all of it is known now
			closed = d.detector.Closed()
		}
		if err := d.bus.Publish(ctx, schemas.SubjectKnowledge, "", knowledgeMessage(d.token, closed, change)); err != nil && ctx.Err() == nil {
			d.log.Warn("what was learned was not published; counters learn it with the next snapshot", "error", err)
		}
	}
}
