package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/weir-project/weir/collectors/intake"
)

// Bounds of what is received and not safe yet.
const (
	packetMemory = 4 << 20 // bytes of lines, twice: gathered, and on their way
	kernelMemory = 8 << 20 // bytes asked of the kernel's queue, which may grant less
	maxPacket    = 64 << 10
	dropsTick    = time.Second // how often the kernel's losses are looked at
)

// pending are lines between the goroutine that reads datagrams, which must not wait,
// and the one that brings them to safety.
type pending struct {
	mu    sync.Mutex
	lines blocks
	ready chan struct{} // holds one where there are lines
}

// runPackets reads datagrams until ctx ends.
func (l *Listener) runPackets(ctx context.Context) error {
	if c, ok := l.packets.(syscall.Conn); ok {
		growQueue(c)
	}
	p := &pending{ready: make(chan struct{}, 1)}
	reading := make(chan error, 1)
	go func() { reading <- l.readPackets(p) }()
	stop := context.AfterFunc(ctx, func() { _ = l.packets.SetReadDeadline(time.Now().Add(draining)) })
	defer stop()
	drops := newDrops(l) // whatever was dropped since the socket was opened counts
	tick := time.NewTicker(dropsTick)
	defer tick.Stop()
	safely, cancel := outlive(ctx)
	defer cancel()
	var mine blocks
	for {
		var err error
		ended := false
		select {
		case err = <-reading:
			ended = true
		case <-p.ready:
		case <-tick.C:
			drops.count()
			continue
		}
		mine = l.deliver(safely, p, mine)
		if ended {
			drops.count()
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// deliver brings the lines that are pending to safety, with empty in their place.
func (l *Listener) deliver(ctx context.Context, p *pending, empty blocks) (used blocks) {
	p.mu.Lock()
	full := p.lines
	p.lines = empty
	p.mu.Unlock()
	lost, err := l.append(ctx, &full)
	if lost > 0 {
		l.metrics.Drop(intake.Full, lost)
		l.o.Logger.Error("lines that were sent were lost", "lines", lost, "error", err)
	}
	return full
}

// readPackets reads datagrams as fast as they come. A datagram is a message.
func (l *Listener) readPackets(p *pending) error {
	buffer := make([]byte, maxPacket)
	var m message
	for {
		n, _, err := l.packets.ReadFrom(buffer)
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return nil // ctx has ended, and all that had come is read
			}
			return fmt.Errorf("listener %s://%s: %w", l.o.Network, l.o.Address, err)
		}
		if n > l.o.MaxMessage {
			l.metrics.Refuse(intake.TooLong)
			continue
		}
		if reason := l.parse(&m, buffer[:n]); reason != intake.Taken {
			l.metrics.Refuse(reason)
			continue
		}
		if !l.limiter.Allow() {
			l.metrics.Drop(intake.Rate, 1)
			continue
		}
		if !p.add(&m) {
			l.metrics.Drop(intake.Full, 1)
		}
	}
}

// add takes a message's line; false where there is no room.
func (p *pending) add(m *message) bool {
	p.mu.Lock()
	taken := p.lines.bytes+len(m.line) < packetMemory && p.lines.add(m)
	p.mu.Unlock()
	select {
	case p.ready <- struct{}{}:
	default:
	}
	return taken
}

// drops counts what the kernel dropped because its queue was full.
type drops struct {
	listener *Listener
	raw      syscall.RawConn
	before   uint32
}

func newDrops(l *Listener) *drops {
	d := &drops{listener: l}
	if c, ok := l.packets.(syscall.Conn); ok {
		d.raw, _ = c.SyscallConn() // without it the kernel's losses are not known
	}
	return d
}

func (d *drops) count() {
	now := d.total()
	if n := now - d.before; n > 0 { // it wraps, and so does the difference
		d.listener.metrics.Drop(intake.Kernel, int(n))
	}
	d.before = now
}

func (d *drops) total() (n uint32) {
	if d.raw == nil {
		return 0
	}
	n = d.before
	_ = d.raw.Control(func(fd uintptr) {
		if dropped, ok := socketDrops(fd); ok {
			n = dropped
		}
	})
	return n
}
