// Package ingest reads lines that others published to a subject of NATS, and gives them
// to a ship: each message once, by its sequence in the stream. What a message holds is
// cut into lines as the body of an HTTP request is: lines, or JSON.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-project/weir/collectors/intake"
	"github.com/weir-project/weir/collectors/tail"
)

// Message is one message of the stream.
type Message interface {
	Sequence() uint64
	Data() []byte
}

// Follow hands over the messages of one subject, in the order of their sequences, from
// one on, until ctx ends, which is not an error, or handle returns one, which it returns.
type Follow func(ctx context.Context, from uint64, handle func(context.Context, Message) error) error

// Options are how to read.
type Options struct {
	Subject string // for logs
	Follow  Follow
	Metrics *intake.Metrics // nil counts for nobody
	Logger  *slog.Logger    // nil is slog.Default
}

// Bounds of what is read ahead, and given at once.
const (
	readAhead  = 16      // messages
	pieceBytes = 1 << 20 // of lines, or those of one message
)

// Input is the ship.Input of a subject. The offset of its positions is the sequence of
// the last message before them.
type Input struct {
	o        Options
	messages chan Message
	failed   chan error // of reading ahead, which has ended
	held     Message    // read, and not given yet
	at       tail.Position
	body     intake.Body
	lines    []byte
	stop     context.CancelFunc
	reading  sync.WaitGroup
}

// New makes an Input. It reads from Resume on.
func New(o Options) *Input {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Input{o: o, messages: make(chan Message, readAhead), failed: make(chan error, 1)}
}

// place is a position that the ship takes for a known one.
func place(sequence uint64) tail.Position {
	return tail.Position{Inode: 1, Offset: int64(sequence)}
}

// Resume implements ship.Input. What the stream has discarded before it was read, the
// Follow logs.
func (in *Input) Resume(at tail.Position, _ []tail.Mark) (complete bool) {
	in.at = place(uint64(at.Offset))
	ctx, stop := context.WithCancel(context.Background())
	in.stop = stop
	in.reading.Go(func() {
		in.failed <- in.o.Follow(ctx, uint64(at.Offset)+1, func(ctx context.Context, m Message) error {
			select {
			case in.messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	return true
}

// Next implements ship.Input: the lines of the messages that have come, those of one
// message never apart.
func (in *Input) Next() (tail.Piece, error) {
	piece := tail.Piece{From: in.at, To: in.at}
	in.lines = in.lines[:0]
	for len(in.lines) < pieceBytes {
		m := in.held
		if in.held = nil; m == nil {
			select {
			case m = <-in.messages:
			default:
			}
		}
		if m == nil {
			break
		}
		in.body.Split(m.Data())
		if len(in.lines) > 0 && len(in.lines)+len(in.body.Lines) > pieceBytes {
			in.held = m
			break
		}
		in.count()
		in.lines = append(in.lines, in.body.Lines...)
		piece.To = place(m.Sequence())
	}
	in.at, piece.Data = piece.To, in.lines
	if len(piece.Data) > 0 {
		return piece, nil
	}
	select {
	case err := <-in.failed:
		in.failed <- err // for the next look, too
		if err == nil {
			err = errors.New("reading has ended")
		}
		return piece, fmt.Errorf("%s: %w", in.o.Subject, err)
	default:
		return piece, nil
	}
}

// count counts what a message held.
func (in *Input) count() {
	if in.o.Metrics == nil {
		return
	}
	in.o.Metrics.Took(in.body.Count, len(in.body.Lines))
	for reason, n := range in.body.Refused {
		for range n {
			in.o.Metrics.Refuse(intake.Reason(reason))
		}
	}
}

// rereadWait bounds how long a range that should be in the stream is waited for.
const rereadWait = 30 * time.Second

// errReread ends a Follow.
var errReread = errors.New("all is read again")

// Reread implements ship.Input.
func (in *Input) Reread(from, to tail.Position) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rereadWait)
	defer cancel()
	var lines []byte
	next := uint64(from.Offset) + 1
	last := uint64(0)
	err := in.o.Follow(ctx, next, func(_ context.Context, m Message) error {
		if m.Sequence() <= uint64(to.Offset) {
			in.body.Split(m.Data())
			lines, last = append(lines, in.body.Lines...), m.Sequence()
		}
		if m.Sequence() >= uint64(to.Offset) {
			return errReread
		}
		return nil
	})
	if errors.Is(err, errReread) && last == uint64(to.Offset) {
		return lines, nil
	}
	return nil, fmt.Errorf("%s: messages %d to %d: %w", in.o.Subject, next, to.Offset, tail.ErrGone)
}

// Wait implements ship.Input.
func (in *Input) Wait(ctx context.Context, d time.Duration) error {
	if in.held != nil {
		return nil
	}
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case in.held = <-in.messages:
	}
	return nil
}

// Past implements ship.Input: messages have numbers.
func (in *Input) Past() []tail.Mark { return nil }

// Skipped implements ship.Input: the Follow counts.
func (in *Input) Skipped() uint64 { return 0 }

// Close implements ship.Input.
func (in *Input) Close() error {
	if in.stop != nil {
		in.stop()
		in.reading.Wait()
	}
	return nil
}
