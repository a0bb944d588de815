package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/weir-project/weir/collectors/intake"
)

// Times of a stream.
const (
	handshake = 10 * time.Second
	keepAlive = 15 * time.Second
	// draining is how long what a sender had sent is still read when the listener ends.
	draining = 200 * time.Millisecond
)

// runStreams accepts connections until ctx ends.
func (l *Listener) runStreams(ctx context.Context) error {
	var open sync.WaitGroup
	defer open.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.streams.Close() })
	defer stop()
	slots := make(chan struct{}, l.o.MaxConnections)
	for pause := time.Millisecond; ; {
		c, err := l.streams.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("listener %s://%s: %w", l.o.Network, l.o.Address, err)
			}
			l.o.Logger.Warn("cannot accept a connection; trying again", "error", err) // out of files, mostly
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		select {
		case slots <- struct{}{}:
		default:
			l.metrics.Refuse(intake.Limit)
			_ = c.Close()
			continue
		}
		l.metrics.Connections.Inc()
		open.Go(func() {
			defer func() { _ = c.Close(); l.metrics.Connections.Dec(); <-slots }()
			l.serve(ctx, c)
		})
	}
}

// serve reads one connection to its end.
func (l *Listener) serve(ctx context.Context, c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 3})
	}
	log := l.o.Logger.With("peer", c.RemoteAddr())
	if l.o.Network == "tls" {
		secure := tls.Server(c, l.o.TLS)
		hurry, cancel := context.WithTimeout(ctx, handshake)
		err := secure.HandshakeContext(hurry)
		cancel()
		if err != nil {
			l.metrics.Refuse(intake.Token)
			log.Warn("a connection was refused", "error", err)
			return
		}
		c = secure
	}
	r := &reading{listener: l, conn: c, framer: framer{source: c, most: l.o.MaxMessage}}
	if l.o.Plain {
		r.framer.mode = newline
	}
	stop := context.AfterFunc(ctx, r.drain)
	defer stop()
	if err := r.run(ctx); err != nil {
		log.Warn("a connection ended", "error", err)
	}
}

// reading is one connection being read.
type reading struct {
	listener *Listener
	conn     net.Conn
	framer   framer
	gathered blocks
	since    time.Time // when the message that is there in part began
	mu       sync.Mutex
	ending   bool // the listener ends
}

// drain lets what was sent be read, and no more.
func (r *reading) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	_ = r.conn.SetReadDeadline(time.Now().Add(draining))
}

func (r *reading) run(ctx context.Context) error {
	for {
		ended, err := r.take(ctx)
		if err != nil {
			return err
		}
		// Before waiting for more, what there is is brought to safety.
		if err := r.flush(ctx); err != nil || ended {
			return err
		}
		r.limitWait()
		if err := r.framer.fill(); err != nil {
			return r.end(ctx, err)
		}
	}
}

// take takes the messages that were read; ended says that none can follow.
func (r *reading) take(ctx context.Context) (ended bool, err error) {
	l := r.listener
	var m message
	for {
		text, reason, err := r.framer.next()
		if errors.Is(err, errMore) {
			return false, nil
		}
		if reason == intake.Taken {
			reason = r.listener.parse(&m, text)
		}
		if reason != intake.Taken {
			if l.metrics.Refuse(reason); reason == intake.Unframed {
				return true, nil
			}
			continue
		}
		if !r.gathered.add(&m) { // too many streams at once
			if err := r.flush(ctx); err != nil {
				return true, err
			}
			r.gathered.add(&m)
		}
		if r.gathered.bytes >= blockBytes {
			if err := r.flush(ctx); err != nil {
				return true, err
			}
		}
	}
}

func (l *Listener) parse(m *message, text []byte) intake.Reason {
	if l.o.Plain {
		return m.plain(text)
	}
	return m.parse(text)
}

// flush brings what was gathered to safety, and waits for as long as there is no room
// or the rate is exceeded: the sender's own buffers fill meanwhile, and it waits, too.
func (r *reading) flush(ctx context.Context) error {
	lines := 0
	for i := range r.gathered.all[:r.gathered.used] {
		lines += r.gathered.all[i].lines
	}
	if lines == 0 {
		return nil
	}
	l := r.listener
	for rest := lines; rest > 0 && ctx.Err() == nil; rest -= l.limiter.Burst() {
		_ = l.limiter.WaitN(ctx, min(rest, l.limiter.Burst())) // it fails only when ctx ends
	}
	safely, cancel := outlive(ctx)
	defer cancel()
	lost, err := l.append(safely, &r.gathered)
	if err != nil {
		return fmt.Errorf("%d lines that were sent were lost: %w", lost, err)
	}
	return nil
}

// outlive ends grace after ctx.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// limitWait bounds how long a sender may stop within a message. Between messages it may
// be silent for as long as it lives.
func (r *reading) limitWait() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ending:
	case !r.framer.inside():
		r.since = time.Time{}
		_ = r.conn.SetReadDeadline(time.Time{})
	case r.since.IsZero():
		r.since = time.Now()
		_ = r.conn.SetReadDeadline(r.since.Add(r.listener.o.Stalled))
	}
}

// end takes what a connection ended with.
func (r *reading) end(ctx context.Context, cause error) error {
	l := r.listener
	text, reason := r.framer.rest()
	stalled := errors.Is(cause, os.ErrDeadlineExceeded)
	if stalled && ctx.Err() == nil {
		l.metrics.Refuse(intake.Idle)
		return errors.New("it stopped within a message")
	}
	if reason == intake.Taken && errors.Is(cause, io.EOF) {
		var m message
		if reason = l.parse(&m, text); reason == intake.Taken {
			r.gathered.add(&m)
		}
	}
	if reason != intake.Taken && reason != intake.Empty {
		l.metrics.Refuse(reason)
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if errors.Is(cause, io.EOF) || stalled {
		return nil
	}
	return cause
}
