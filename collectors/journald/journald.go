package journald

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-project/weir/collectors/intake"
	"github.com/weir-project/weir/collectors/tail"
)

// Options say what to take; Units are needed.
type Options struct {
	Units     []string        // whose messages are lines: nginx.service
	Directory string          // of the journal; "" is this machine's own
	Command   string          // "" is journalctl
	Metrics   *intake.Metrics // nil counts for nobody
	Logger    *slog.Logger    // nil is slog.Default
}

// Bounds of what is read ahead, and given at once.
const (
	readAhead  = 256     // entries
	pieceBytes = 1 << 20 // of lines
)

// Input is the ship.Input of a journal. Its positions have the cursor of the last entry
// before them.
type Input struct {
	o       Options
	entries chan line
	trouble atomic.Pointer[string] // why reading is interrupted; nil while it is not
	held    *line
	at      tail.Position
	lines   []byte
	stop    context.CancelFunc
	reading sync.WaitGroup
}

// line is an entry's, without a text where it was refused.
type line struct {
	cursor string
	text   []byte
	reason intake.Reason
}

// New makes an Input. It reads from Resume on.
func New(o Options) *Input {
	if o.Command == "" {
		o.Command = "journalctl"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Input{o: o, entries: make(chan line, readAhead)}
}

// arguments are journalctl's, to give what comes after a cursor; "" is everything.
func (in *Input) arguments(after string, follow bool) []string {
	args := []string{"--output=export", "--quiet", "--no-pager", "--all"}
	if in.o.Directory != "" {
		args = append(args, "--directory="+in.o.Directory)
	}
	for _, unit := range in.o.Units {
		args = append(args, "--unit="+unit)
	}
	if after != "" {
		args = append(args, "--after-cursor="+after)
	}
	if follow {
		args = append(args, "--follow", "--no-tail")
	}
	return args
}

// Resume implements ship.Input.
func (in *Input) Resume(at tail.Position, _ []tail.Mark) (complete bool) {
	in.at = at
	in.at.Inode = 1 // so that it is a known one
	ctx, stop := context.WithCancel(context.Background())
	in.stop = stop
	in.reading.Go(func() { in.follow(ctx, at.Cursor) })
	return true
}

// Pauses before journalctl is started again.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
)

// follow reads on and on.
func (in *Input) follow(ctx context.Context, cursor string) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		err := in.read(ctx, in.arguments(cursor, true), func(l line) error {
			select {
			case in.entries <- l:
			case <-ctx.Done():
				return ctx.Err()
			}
			cursor, pause = l.cursor, firstPause
			in.trouble.Store(nil)
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("journalctl has ended")
		}
		text := err.Error()
		in.trouble.Store(&text)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// maxComplaint bounds what is kept of journalctl's standard error, in bytes.
const maxComplaint = 1000

// read runs journalctl and hands over its entries, until it ends or handle fails.
func (in *Input) read(ctx context.Context, args []string, handle func(line) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := exec.CommandContext(ctx, in.o.Command, args...)
	command.WaitDelay = time.Second
	complaint := &limited{most: maxComplaint}
	command.Stderr = complaint
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return err
	}
	d := newDecoder(out)
	for {
		e, err := d.next()
		if err == nil {
			err = handle(lineOf(e))
		}
		if err == nil {
			continue
		}
		cancel()
		waited := command.Wait()
		if !errors.Is(err, io.EOF) {
			return err
		}
		if text := strings.TrimSpace(complaint.String()); text != "" {
			return errors.New(text)
		}
		return waited
	}
}

// limited keeps the beginning of what is written to it.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.most - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// lineOf is an entry's line.
func lineOf(e *entry) line {
	l := line{cursor: string(e.cursor)}
	text := bytes.TrimRight(e.message, "\r\n\x00")
	switch {
	case e.long:
		l.reason = intake.TooLong
	case len(bytes.TrimSpace(text)) == 0:
		l.reason = intake.Empty
	case bytes.IndexByte(text, '\n') >= 0:
		l.reason = intake.Broken
	default:
		l.text = append(bytes.Clone(text), '\n')
	}
	return l
}

// Next implements ship.Input.
func (in *Input) Next() (tail.Piece, error) {
	piece := tail.Piece{From: in.at, To: in.at}
	in.lines = in.lines[:0]
	for len(in.lines) < pieceBytes {
		l := in.take()
		if l == nil {
			break
		}
		in.count(l)
		in.lines = append(in.lines, l.text...)
		piece.To.Cursor = l.cursor
		piece.To.Offset++
	}
	in.at, piece.Data = piece.To, in.lines
	if why := in.trouble.Load(); why != nil && len(piece.Data) == 0 {
		return piece, fmt.Errorf("journal: %s", *why)
	}
	return piece, nil
}

// take is the next entry that was read, nil where there is none yet.
func (in *Input) take() *line {
	if l := in.held; l != nil {
		in.held = nil
		return l
	}
	select {
	case l := <-in.entries:
		return &l
	default:
		return nil
	}
}

func (in *Input) count(l *line) {
	switch {
	case in.o.Metrics == nil:
	case l.reason != intake.Taken:
		in.o.Metrics.Refuse(l.reason)
	default:
		in.o.Metrics.Took(1, len(l.text))
	}
}

// rereadWait bounds how long reading a range again may take.
const rereadWait = time.Minute

// errReread ends a read.
var errReread = errors.New("all is read again")

// Reread implements ship.Input.
func (in *Input) Reread(from, to tail.Position) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rereadWait)
	defer cancel()
	var lines []byte
	n := from.Offset
	err := in.read(ctx, in.arguments(from.Cursor, false), func(l line) error {
		if n++; n > to.Offset {
			return tail.ErrGone // it did not come where it should have
		}
		lines = append(lines, l.text...)
		if l.cursor == to.Cursor && n == to.Offset {
			return errReread
		}
		return nil
	})
	if errors.Is(err, errReread) {
		return lines, nil
	}
	return nil, fmt.Errorf("journal, entries %d to %d: %w", from.Offset+1, to.Offset, tail.ErrGone)
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
	case l := <-in.entries:
		in.held = &l
	}
	return nil
}

// Past implements ship.Input: entries have cursors.
func (in *Input) Past() []tail.Mark { return nil }

// Skipped implements ship.Input: what the journal has dropped cannot be counted.
func (in *Input) Skipped() uint64 { return 0 }

// Close implements ship.Input.
func (in *Input) Close() error {
	if in.stop != nil {
		in.stop()
		in.reading.Wait()
	}
	return nil
}
