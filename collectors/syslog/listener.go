package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/weir-project/weir/collectors/intake"
)

// Options say where to listen and how much is taken; Network and Address are needed.
type Options struct {
	Network string // "udp", "tcp", "tls", "unixgram" (datagrams) or "unix" (a stream)
	Address string // host:port, or the path of a socket
	Plain   bool   // lines without headers; in a stream each ends with a newline
	TLS     *tls.Config
	Group   string // that may write to a unix socket, besides its owner; "" is the process's own

	MaxMessage     int     // bytes; 0 is 128 KiB
	MaxConnections int     // open at once; 0 is 256
	Rate           float64 // lines a second; 0 is 200,000
	// Stalled is how long a stream may stop within a message; 0 is 30 s.
	Stalled time.Duration

	Metrics *intake.Metrics // nil counts for nobody
	Logger  *slog.Logger    // nil is slog.Default
}

func (o *Options) defaults() {
	if o.MaxMessage <= 0 {
		o.MaxMessage = 128 << 10
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 256
	}
	if o.Rate <= 0 {
		o.Rate = 200_000
	}
	if o.Stalled <= 0 {
		o.Stalled = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("listener", o.Network+"://"+o.Address)
}

// Listener takes what is sent to one address.
type Listener struct {
	o       Options
	lines   intake.Lines
	metrics *intake.Metrics
	limiter *rate.Limiter
	packets net.PacketConn // of datagrams
	streams net.Listener   // of streams
}

// grace is how long what was received is still brought to safety when a listener ends.
const grace = 5 * time.Second

// New makes a Listener. It opens nothing.
func New(o Options, lines intake.Lines) (*Listener, error) {
	o.defaults()
	switch o.Network {
	case "udp", "tcp", "unix", "unixgram":
	case "tls":
		if o.TLS == nil {
			return nil, fmt.Errorf("listener tls://%s: needs a certificate", o.Address)
		}
	default:
		return nil, fmt.Errorf("listener %s://%s: want udp, tcp, tls, unixgram or unix", o.Network, o.Address)
	}
	if o.Metrics == nil {
		var err error
		if o.Metrics, err = intake.NewMetrics(nil, ""); err != nil {
			return nil, err
		}
	}
	return &Listener{
		o: o, lines: lines, metrics: o.Metrics, limiter: rate.NewLimiter(rate.Limit(o.Rate), int(max(o.Rate, 1))),
	}, nil
}

// Open takes the address, so that one in use is said before anything runs. Run does it
// where it was not done.
func (l *Listener) Open() (err error) {
	if l.packets != nil || l.streams != nil {
		return nil
	}
	where := l.o.Network + "://" + l.o.Address
	if l.o.Network == "unix" || l.o.Network == "unixgram" {
		if err := clearSocket(l.o.Network, l.o.Address); err != nil {
			return fmt.Errorf("listener %s: %w", where, err)
		}
	}
	switch l.o.Network {
	case "udp", "unixgram":
		l.packets, err = net.ListenPacket(l.o.Network, l.o.Address)
	case "unix":
		l.streams, err = net.Listen("unix", l.o.Address)
	default:
		l.streams, err = net.Listen("tcp", l.o.Address)
	}
	if err == nil && (l.o.Network == "unix" || l.o.Network == "unixgram") {
		err = intake.Permit(l.o.Address, l.o.Group)
	}
	if n := queueLength(); err == nil && l.o.Network == "unixgram" && n < fewDatagrams {
		l.o.Logger.Warn("more datagrams than may wait for this socket are lost by senders that do not wait, such as nginx: raise the sysctl net.unix.max_dgram_qlen and start again, or send by UDP",
			"may_wait", n)
	}
	if err != nil {
		l.close()
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return fmt.Errorf("listener %s: %w", where, err)
	}
	return nil
}

// Addr is where it listens; nil while it does not.
func (l *Listener) Addr() net.Addr {
	switch {
	case l.packets != nil:
		return l.packets.LocalAddr()
	case l.streams != nil:
		return l.streams.Addr()
	}
	return nil
}

// Run takes what comes until ctx ends, and returns nil once what had come is safe.
func (l *Listener) Run(ctx context.Context) error {
	if err := l.Open(); err != nil {
		return err
	}
	defer l.close()
	if l.packets != nil {
		return l.runPackets(ctx)
	}
	return l.runStreams(ctx)
}

func (l *Listener) close() {
	if l.packets != nil {
		_ = l.packets.Close()
		if l.o.Network == "unixgram" {
			_ = os.Remove(l.o.Address) // net removes those of streams only
		}
	}
	if l.streams != nil {
		_ = l.streams.Close()
	}
	l.packets, l.streams = nil, nil
}

// clearSocket removes a socket that nobody listens on any more, and nothing else.
func clearSocket(network, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return errors.New("there is something there that is no socket: name another path")
	}
	if c, err := net.DialTimeout(network, path, time.Second); err == nil {
		_ = c.Close()
		return errors.New("another process listens there: stop it, or name another path")
	}
	return os.Remove(path)
}

// fewDatagrams is how many must be able to wait for a socket while its reader is not
// running for a moment.
const fewDatagrams = 256

// queueLength is how many datagrams may wait for a unix socket (unix(7)), as far as it
// is known.
func queueLength() int {
	text, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		return fewDatagrams
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fewDatagrams
	}
	return n
}
