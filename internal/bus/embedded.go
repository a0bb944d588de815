package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	defaultMaxBytes = 4 << 30
	defaultReserve  = 64 << 20
	// maxPayload is NATS's own default, so that what fits here fits a cluster.
	maxPayload = 1 << 20
	// syncInterval is how much a power cut may cost. A killed process costs
	// nothing: the kernel has what was acknowledged.
	syncInterval = 10 * time.Second
	// Each stream has its own bound on disk; a bound on all of them would only
	// stand in the way of making them smaller.
	serverStore  = 1 << 60
	serverMemory = 64 << 20
)

// embedded is a nats-server in this process.
type embedded struct {
	server   *server.Server
	lock     *os.File
	log      *serverLog
	reviving sync.Mutex
}

func startEmbedded(ctx context.Context, o Options) (*embedded, error) {
	fail := func(err error) (*embedded, error) {
		return nil, fmt.Errorf("embedded nats in %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return fail(err)
	}
	options, err := serverOptions(o)
	if err != nil {
		lock.Close()
		return fail(err)
	}
	s, err := server.NewServer(options)
	if err != nil {
		lock.Close()
		return fail(err)
	}
	log := &serverLog{log: o.Logger.With("part", "nats-server")}
	s.SetLoggerV2(log, false, false, false)
	e := &embedded{server: s, lock: lock, log: log}
	s.Start()
	deadline, _ := ctx.Deadline()
	if !s.ReadyForConnections(time.Until(deadline)) || !s.JetStreamEnabled() {
		reason := errors.New("it did not start in time; look for a full or a slow disk")
		if fatal := log.fatal.Load(); fatal != nil {
			reason = errors.New(*fatal)
		}
		return fail(errors.Join(reason, e.stop()))
	}
	return e, nil
}

func serverOptions(o Options) (*server.Options, error) {
	options := &server.Options{
		ServerName:             "weir",
		DontListen:             o.Listen == "",
		NoSigs:                 true,
		NoSystemAccount:        true,
		MaxPayload:             maxPayload,
		JetStream:              true,
		StoreDir:               o.Dir,
		SyncInterval:           syncInterval,
		JetStreamMaxStore:      serverStore,
		JetStreamMaxMemory:     serverMemory,
		DisableJetStreamBanner: true,
	}
	if o.Listen == "" {
		return options, nil
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen %q: want host:port, such as 127.0.0.1:4222", o.Listen)
	}
	if options.Port, err = strconv.Atoi(port); err != nil || options.Port < 0 || options.Port > 65535 {
		return nil, fmt.Errorf("listen %q: %q is no port", o.Listen, port)
	}
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	options.Host = host
	if o.TLS.Cert == "" && !loopback(host) {
		return nil, fmt.Errorf("listen %q: other machines could publish and read everything; give nats.tls a ca, a cert and a key, or listen on 127.0.0.1", o.Listen)
	}
	if o.TLS.Cert != "" {
		if options.TLSConfig, err = serverTLS(o.TLS); err != nil {
			return nil, err
		}
		options.TLSVerify, options.TLSTimeout = true, 5
	}
	// The server only logs that a port is taken, and waits: ask first.
	probe, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen %q: %w: choose another nats.listen or stop what uses it", o.Listen, err)
	}
	return options, probe.Close()
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// serverTLS demands of every client a certificate of the authority.
func serverTLS(files TLS) (*tls.Config, error) {
	if files.CA == "" {
		return nil, errors.New("tls: listening with a certificate needs a ca too, which signed the clients' certificates")
	}
	pool, err := readCA(files.CA)
	if err != nil {
		return nil, err
	}
	pair, err := readPair(files)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
	}, nil
}

func readCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls: ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: ca: no certificate in %s: want PEM", path)
	}
	return pool, nil
}

func readPair(files TLS) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return pair, fmt.Errorf("tls: cert %q and key %q: %w", files.Cert, files.Key, err)
	}
	return pair, nil
}

// lockDir keeps a second process out: two servers on one store would ruin it.
// The lock goes with the process, however that ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		holder, _ := io.ReadAll(io.LimitReader(f, 20))
		return nil, fmt.Errorf("in use by the process %s: stop that one, or choose another directory", strings.TrimSpace(string(holder)))
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (e *embedded) stop() error {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	return e.lock.Close()
}

// room fails where the embedded server's disk is all but full. A nats-server that meets a
// full disk writes to the streams that met it no more until JetStream is started again, or
// switches all of it off, so it should never come to that; others may fill what is held
// in reserve.
func (b *Bus) room() error {
	if b.server == nil {
		return nil
	}
	reserve := b.options.Reserve
	if reserve <= 0 {
		reserve = defaultReserve
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(b.options.Dir, &disk); err != nil {
		return b.where(err)
	}
	free := int64(disk.Bavail) * disk.Bsize
	if free < reserve {
		return b.where(fmt.Errorf("%w: %d MiB free, want %d: make room; nothing is lost meanwhile", ErrDiskFull, free>>20, reserve>>20))
	}
	return b.revive()
}

// revive switches JetStream on again after the server gave up on its disk, or on a stream.
func (b *Bus) revive() error {
	e := b.server
	if e.server.JetStreamEnabled() && !e.log.full.Load() {
		return nil
	}
	e.reviving.Lock()
	defer e.reviving.Unlock()
	if e.log.full.Swap(false) && e.server.JetStreamEnabled() {
		if err := e.server.DisableJetStream(); err != nil {
			e.log.full.Store(true)
			return b.where(fmt.Errorf("JetStream met a full disk, and could not be switched off: %w", err))
		}
	}
	if e.server.JetStreamEnabled() {
		return nil // another has done it meanwhile
	}
	b.log.Warn("switching JetStream on again", "dir", b.options.Dir)
	err := e.server.EnableJetStream(&server.JetStreamConfig{
		StoreDir: b.options.Dir, MaxStore: serverStore, MaxMemory: serverMemory, SyncInterval: syncInterval,
	})
	if err != nil {
		return b.where(fmt.Errorf("JetStream was switched off: %w", err))
	}
	return nil
}

// serverLog hands the server's log lines to slog, notices as debug: they are
// about the server, not about what weir does.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string]
	full  atomic.Bool // a stream met a full disk since JetStream was switched on
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	if strings.Contains(line, syscall.ENOSPC.Error()) || strings.Contains(line, syscall.EDQUOT.Error()) {
		l.full.Store(true)
	}
	l.log.Error(line)
}
func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

// Fatalf is called before the server gives up; it does not return to a caller
// that could be told, so the reason is kept for Open.
func (l *serverLog) Fatalf(format string, v ...any) {
	reason := fmt.Sprintf(format, v...)
	l.fatal.CompareAndSwap(nil, &reason)
	l.log.Error(reason)
}
