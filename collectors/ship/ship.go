// Package ship carries the lines of one followed log to the request stream, each
// exactly once: it parses them, divides them among the partitions, packs them
// into batches and publishes these.
//
// What it is about to publish it writes to its journal first: the range of the
// input, and all else that the batches are made from. A restart makes the same
// batches from the same range, under the same ids and numbers, so that the stream
// (and, after the stream's window, a reader that goes by numbers) drops those
// that had arrived.
package ship

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// Publisher takes messages to the stream.
type Publisher interface {
	// Publish returns nil when the stream has the message for good, or had one
	// with this id already. An empty id is no id. It is called by several
	// goroutines at once, and keeps nothing of data. After an error Ship calls
	// again with the same, until its context ends.
	Publish(ctx context.Context, subject, id string, data []byte) error
}

// Input gives the lines of one source in order, and any range of them again. It
// serves one goroutine. tail.Follower is one; another may count what it has
// in its positions' offsets, or name it by their cursors.
type Input interface {
	// Resume goes to a position that a Piece had, with what Past gave then; false where
	// lines between it and what there is now are gone, which it logs.
	Resume(at tail.Position, past []tail.Mark) (complete bool)
	// Next gives the lines that are there by now and were not given yet, without
	// waiting for any; no data where there are none. An error is logged, and Next
	// called again.
	Next() (tail.Piece, error)
	// Reread gives the bytes between two positions of one piece again, the same bytes;
	// after a restart, before Resume. An error that wraps tail.ErrGone says that they
	// exist no more.
	Reread(from, to tail.Position) ([]byte, error)
	// Wait returns when there may be more, or after d, or with ctx's error.
	Wait(ctx context.Context, d time.Duration) error
	Past() []tail.Mark
	Skipped() uint64
	Close() error
}

// Looker is an Input that can tell, without memory to read into, whether Next has anything
// to do.
type Looker interface {
	// Look does what Next does before it reads. Where ready is false, Next would give no
	// data, the same position, and the same error.
	Look() (at tail.Position, ready bool, err error)
}

// Releaser is an Input that keeps what it gave until it is done with.
type Releaser interface {
	// Release says that all before a position is published, and that no restart will
	// ask for it.
	Release(tail.Position)
}

// Rememberer is an Input that remembers more than Past holds.
type Rememberer interface {
	// Ledger gives what it remembers, nil where that is nothing yet; what it gave is
	// never changed.
	Ledger() []byte
	// Recall takes what Ledger gave, before Resume.
	Recall(ledger []byte)
}

// Options say what to ship; Path (or Open and Source), Edge and a Journal are needed.
type Options struct {
	Path   string           // the log
	Open   func() Input     // of another input than a log; nil follows Path
	Edge   string           // this server's name
	Source string           // the input's name, the same over restarts; "" is Path
	Site   string           // the site of all requests; "" leaves what the log says
	Format accesslog.Format // Auto finds it from the first lines
	// Resolve sets the client of a request that came through proxies; nil leaves what
	// the log says. It is called by one goroutine.
	Resolve func(*schemas.Request)
	Follow  tail.FollowOptions

	Linger time.Duration // between two batches of a trickle; 0 is 150 ms
	Beat   time.Duration // a partition without rows gets a watermark this often; 0 is 1 s
	// Delay is how long a line may lie in the server's buffer: an idle log's
	// watermark is so far behind the clock. 0 is 1 s.
	Delay time.Duration
	Rows  int // of one batch at most; 0 is 4096
	// First is the number of the first batch where the journal knows none. 0 takes it
	// from the clock, far above what the same source can have used before: a journal
	// that was lost must not make readers take new batches for old ones.
	First uint64

	// SampleAfter is how far behind the clock what is sent may be before, while it does
	// not catch up, only the requests of a part of the clients are sent; 0 is any.
	SampleAfter time.Duration
	// SampleKey tells which; a secret, the same for all Ships of a process, so that a
	// client is kept by all or by none.
	SampleKey uint64

	Works      *Works                // shared with other Ships; nil makes one
	Registerer prometheus.Registerer // nil for none
	Logger     *slog.Logger          // nil is slog.Default
}

func (o *Options) defaults() {
	if o.Source == "" {
		o.Source = o.Path
	}
	if o.Open == nil {
		o.Open = func() Input { return tail.NewFollower(o.Path, o.Follow) }
	}
	if o.Linger == 0 {
		o.Linger = 150 * time.Millisecond
	}
	if o.Beat == 0 {
		o.Beat = time.Second
	}
	if o.Delay == 0 {
		o.Delay = time.Second
	}
	if o.Works == nil {
		o.Works = NewWorks(0)
	}
	if o.Rows <= 0 || o.Rows > schemas.MaxRows {
		o.Rows = 4096
	}
	if o.First == 0 {
		o.First = uint64(max(time.Now().Unix(), 1)) << 16
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Follow.Logger == nil {
		o.Follow.Logger = o.Logger
	}
	o.Logger = o.Logger.With("source", o.Source)
}

// Ship ships one log. Several logs are several Ships, each with its journal.
type Ship struct {
	o         Options
	journal   Journal
	publisher Publisher
	metrics   *metrics
	state     State
	input     Input
	dead      deadLetters
	saved     bool // the journal holds state
	live      bool // the log's newest line is of now
	sent      [schemas.Partitions]time.Time
	rows      [schemas.Partitions]time.Time // when each last got some
	trouble   error
	skipped   uint64 // as the input said last
	sampler   sampler
	weight    int         // as it was said last
	sampling  time.Time   // since when
	retried   atomic.Bool // something had to be published again
	late      bool        // watermarks wait until fewer others are on their way
}

// New makes a Ship. It runs nothing.
func New(o Options, journal Journal, publisher Publisher) (*Ship, error) {
	o.defaults()
	o.Source = strings.ToValidUTF8(o.Source, "\uFFFD") // as batches want it
	if o.Source == "" || o.Edge == "" {
		return nil, errors.New("ship: needs the path of a log and the name of this edge")
	}
	if len(o.Edge) > schemas.MaxSite || len(o.Source) > schemas.MaxSource {
		return nil, fmt.Errorf("ship %.100s: the edge's name may have %d bytes, the source's %d", o.Source, schemas.MaxSite, schemas.MaxSource)
	}
	m, err := newMetrics(o.Registerer, o.Edge, o.Source)
	if err != nil {
		return nil, fmt.Errorf("ship %s: %w", o.Source, err)
	}
	return &Ship{o: o, journal: journal, publisher: publisher, metrics: m, live: true, weight: 1, sampler: sampler{after: o.SampleAfter}}, nil
}

// full is how much of the log, in bytes, makes it worthwhile to go on at once.
const full = 512 << 10

// Run ships until ctx ends, and then returns nil: what was not published is
// published by the next Run on the same journal. Other errors are of the journal
// and of the log.
func (s *Ship) Run(ctx context.Context) error {
	err := s.run(ctx)
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

func (s *Ship) run(ctx context.Context) (err error) {
	s.input = s.o.Open()
	defer s.input.Close()
	if err := s.o.Works.do(func() error {
		state, err := s.journal.Load()
		s.begin(state)
		return err
	}); err != nil {
		return err
	}
	if j, is := s.journal.(io.Closer); is {
		defer func() { err = errors.Join(err, j.Close()) }()
	}
	if len(s.state.Intents) > 0 {
		if err := s.recover(ctx); err != nil {
			return err
		}
	}
	if s.o.Format != accesslog.Auto {
		s.state.Format = s.o.Format.String()
	}
	if err := s.o.Works.do(func() error {
		if r, is := s.input.(Rememberer); is {
			r.Recall(s.state.Ledger)
		}
		s.input.Resume(s.state.Position, s.state.Past) // it logs what is lost
		return nil
	}); err != nil {
		return err
	}
	s.skipped = 0
	s.o.Works.ships.Add(1)
	defer s.o.Works.ships.Add(-1)
	return s.loop(ctx)
}

// loop makes batches of what comes. As long as there is much, those of further pieces are
// made while the ones before are being journaled and published: the slower that is, the
// more pieces are journaled at once after it.
func (s *Ship) loop(ctx context.Context) (err error) {
	var before, next *shipment // on its way, being made
	defer func() {
		if before != nil {
			err = errors.Join(err, s.land(before))
		}
		if next != nil {
			s.release(next)
		}
	}()
	land := func() error {
		if before == nil {
			return nil
		}
		landing := before
		before = nil
		return s.land(landing)
	}
	for ctx.Err() == nil {
		if next == nil {
			if at, ready := s.ready(); !ready {
				if err := land(); err != nil {
					return err
				}
				if err := s.rest(ctx, at); err != nil {
					return err
				}
				continue
			}
			bench := s.o.Works.spare()
			if bench == nil {
				if err := land(); err != nil {
					return err
				}
				if bench, err = s.o.Works.take(ctx); err != nil {
					return err
				}
			}
			next = newShipment(bench)
		}
		began := time.Now()
		var piece tail.Piece
		if err := s.o.Works.do(func() error {
			if piece = s.next(next.bench); len(piece.Data) == 0 {
				return nil
			}
			return s.gather(next, piece)
		}); err != nil {
			return err
		}
		more := len(piece.Data) >= full
		if more && before != nil && !before.landed() && !next.full() {
			continue
		}
		if err := land(); err != nil {
			return err
		}
		going := next
		next = nil
		switch {
		case going.pieces() == 0:
			s.release(going)
			err = s.rest(ctx, piece.To)
		case more:
			before = s.launch(ctx, going)
		default:
			s.detach(going)
			if err = s.landing(going, s.deliver(ctx, going)); err == nil {
				err = sleep(ctx, s.o.Linger-time.Since(began))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ready reports whether there may be something to read; where not, at is the position.
func (s *Ship) ready() (at tail.Position, ready bool) {
	looker, is := s.input.(Looker)
	if !is {
		return at, true
	}
	_ = s.o.Works.do(func() (err error) {
		if at, ready, err = looker.Look(); !ready {
			s.noted(err)
		}
		return nil
	})
	return at, ready
}

// rest notes that all there is has arrived, and waits for more.
func (s *Ship) rest(ctx context.Context, at tail.Position) error {
	if err := s.idle(ctx, at); err != nil {
		return err
	}
	return s.input.Wait(ctx, s.untilBeat())
}

// next gives what has come.
func (s *Ship) next(bench *bench) tail.Piece {
	if b, is := s.input.(Borrower); is {
		b.Lend(&bench.buffer)
	}
	piece, err := s.input.Next()
	s.noted(err)
	return piece
}

// noted takes over what the input knows after it has looked.
func (s *Ship) noted(err error) {
	s.complain(err)
	s.state.Past = s.input.Past()
	if r, is := s.input.(Rememberer); is {
		s.state.Ledger = r.Ledger()
	}
	skipped := s.input.Skipped()
	s.metrics.skipped.Add(float64(skipped - s.skipped))
	s.skipped = skipped
}

// complain logs an error of the log's, once for as long as it lasts.
func (s *Ship) complain(err error) {
	if err != nil && (s.trouble == nil || s.trouble.Error() != err.Error()) {
		s.o.Logger.Error("cannot read the log; trying again", "error", err)
	}
	s.trouble = err
}

// begin takes up the journal's state.
func (s *Ship) begin(state State) {
	s.state, s.saved = state, true
	for p := range s.state.Next {
		if s.state.Next[p] == 0 {
			s.state.Next[p] = s.o.First
		}
	}
}

// liveWithin is how old, in milliseconds, the newest line may be for a log to be
// one that is written now: only then does the clock move its watermark.
const liveWithin = 60_000

// save journals a state, and lets go of the input that it leaves behind.
func (s *Ship) save(state State) error {
	if err := s.journal.Save(state); err != nil {
		return err
	}
	if r, is := s.input.(Releaser); is {
		r.Release(state.Position)
	}
	return nil
}

// recover publishes again what the last Run may not have published to its end. The journal
// has it until what comes next is journaled.
func (s *Ship) recover(ctx context.Context) error {
	bench, err := s.o.Works.take(ctx)
	if err != nil {
		return err
	}
	defer s.o.Works.put(bench)
	intents := s.state.Intents
	s.o.Logger.Info("publishing again what may not have arrived", "from", intents[0].From.Offset, "to", intents[len(intents)-1].To.Offset)
	for _, intent := range intents {
		var data []byte
		if intent.To != intent.From {
			if data, err = s.input.Reread(intent.From, intent.To); err != nil {
				// Some of its batches may be in the stream. Empty ones take the place
				// of those that are not, so that the numbers have no gap and none is
				// used twice.
				s.o.Logger.Error("lines that were about to be published are gone", "error", err)
				data = nil
			}
		}
		t := newShipment(bench)
		if err = s.pack(t, intent, data); err == nil {
			err = s.publish(ctx, t.messages, t.memory)
		}
		if err != nil {
			return err
		}
		s.publishDead(ctx, t.packed)
		s.arrived(t)
	}
	return nil
}

// intend is the intent to go from one position to another now.
func (s *Ship) intend(from, to tail.Position, now time.Time) Intent {
	i := Intent{
		From: from, To: to, Format: s.state.Format, Found: s.o.Format == accesslog.Auto && s.state.Format != "", Clock: now.UnixMilli(), Beats: s.due(now),
		Rows: s.o.Rows, Site: s.o.Site, Level: s.sampler.level,
	}
	if i.Level > 0 {
		i.Key = s.o.SampleKey
	}
	return i
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
