// Package pipe takes access-log lines from a named pipe that a server writes its log to,
// or from standard input. Who writes waits while there is no room: nothing is dropped.
package pipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/weir-project/weir/collectors/intake"
)

// Options say what to read; Path is needed.
type Options struct {
	Path    string          // of the pipe, which is made where it is missing; "-" is standard input
	Group   string          // that may write to it, besides its owner; "" is the process's own
	Stdin   *os.File        // what "-" reads; nil is os.Stdin
	Metrics *intake.Metrics // nil counts for nobody
	Logger  *slog.Logger    // nil is slog.Default
}

// Pipe reads one pipe.
type Pipe struct {
	o     Options
	lines intake.Lines
	file  *os.File
}

// New makes a Pipe. It opens nothing.
func New(o Options, lines intake.Lines) (*Pipe, error) {
	if o.Path == "" {
		return nil, errors.New("pipe: needs a path")
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		var err error
		if o.Metrics, err = intake.NewMetrics(nil, ""); err != nil {
			return nil, err
		}
	}
	return &Pipe{o: o, lines: lines}, nil
}

// Open makes the pipe where it is missing, and opens it. Run does it where it was not
// done.
func (p *Pipe) Open() error {
	if p.file != nil {
		return nil
	}
	if p.o.Path == "-" {
		p.file = p.o.Stdin
		return nil
	}
	if err := p.open(); err != nil {
		return fmt.Errorf("pipe %s: %w", p.o.Path, bare(err))
	}
	return nil
}

func (p *Pipe) open() error {
	err := syscall.Mkfifo(p.o.Path, 0o600)
	if made := err == nil; made {
		err = intake.Permit(p.o.Path, p.o.Group)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(p.o.Path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeNamedPipe == 0 {
		return errors.New("there is something there that is no pipe: name another path, or follow it as a file")
	}
	// For writing, too, so that the pipe does not end when the last writer leaves it: a
	// server that is started again goes on (fifo(7), Linux allows it).
	p.file, err = os.OpenFile(p.o.Path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	return err
}

func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Bounds of reading.
const (
	readBytes = 256 << 10
	grace     = 5 * time.Second // for what was read, when it ends
)

// Run takes lines until ctx ends. Where standard input ends it waits for that: the
// rest of the program goes on.
func (p *Pipe) Run(ctx context.Context) error {
	if err := p.Open(); err != nil {
		return err
	}
	file := p.file
	p.file = nil
	stop := context.AfterFunc(ctx, func() {
		if file.SetReadDeadline(time.Now()) != nil {
			_ = file.Close() // a terminal or a file: a read of it ends by itself
		}
	})
	defer stop()
	err := p.read(ctx, file)
	if p.o.Path != "-" {
		_ = file.Close()
	}
	switch {
	case ctx.Err() != nil && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, fs.ErrClosed)):
		return nil
	case errors.Is(err, io.EOF):
		p.o.Logger.Info("standard input has ended")
		<-ctx.Done()
		return nil
	}
	return fmt.Errorf("pipe %s: %w", p.o.Path, bare(err))
}

// read takes whole lines, as many at once as there are.
func (p *Pipe) read(ctx context.Context, file io.Reader) error {
	buffer := make([]byte, readBytes)
	n, long := 0, false
	for {
		m, err := file.Read(buffer[n:])
		n += m
		end := bytes.LastIndexByte(buffer[:n], '\n') + 1
		if err != nil {
			end = n // a last line without its newline is one
		}
		if end > 0 {
			if taken := p.take(ctx, buffer[:end], &long); taken != nil {
				return taken
			}
			n = copy(buffer, buffer[end:n])
		}
		if n > intake.MaxLine {
			if !long {
				p.o.Metrics.Refuse(intake.TooLong)
			}
			n, long = 0, true
		}
		if err != nil {
			return err
		}
	}
}

// take brings lines to safety; the first may be the rest of one that was too long.
func (p *Pipe) take(ctx context.Context, data []byte, long *bool) error {
	if *long {
		_, data, *long = cutLine(data)
	}
	var kept []byte // data itself, unless something of it is left out
	count := 0
	for rest := data; len(rest) > 0; {
		line, after, _ := cutLine(rest)
		rest = after
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			p.o.Metrics.Refuse(intake.Empty)
		case len(line) > intake.MaxLine:
			p.o.Metrics.Refuse(intake.TooLong)
		default:
			kept = append(append(kept, line...), '\n')
			count++
		}
	}
	if count == 0 {
		return nil
	}
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	if err := p.lines.Append(longer, intake.Stream{}, kept); err != nil {
		return fmt.Errorf("%d lines that were read were lost: %w", count, err)
	}
	p.o.Metrics.Took(count, len(kept))
	return nil
}

// cutLine takes the first line off; open says that it has no newline.
func cutLine(data []byte) (line, rest []byte, open bool) {
	at := bytes.IndexByte(data, '\n')
	if at < 0 {
		return data, nil, true
	}
	return data[:at], data[at+1:], false
}
