package httpin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Times of a connection.
const (
	readHeader = 5 * time.Second
	readAll    = 30 * time.Second
	idle       = 2 * time.Minute
	grace      = 5 * time.Second
)

// maxConnections bounds the connections that are open at once.
const maxConnections = 512

// Server is a Handler at an address.
type Server struct {
	address string
	tls     *tls.Config // nil is plain HTTP
	handler *Handler
	l       net.Listener
}

// NewServer makes a Server. It opens nothing.
func NewServer(address string, secure *tls.Config, h *Handler) *Server {
	return &Server{address: address, tls: secure, handler: h}
}

// Open takes the address. Run does it where it was not done.
func (s *Server) Open() error {
	if s.l != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return fmt.Errorf("listener http://%s: %w", s.address, err)
	}
	s.l = l
	return nil
}

// Addr is where it listens; nil while it does not.
func (s *Server) Addr() net.Addr {
	if s.l == nil {
		return nil
	}
	return s.l.Addr()
}

// Run answers until ctx ends, and returns nil once what was being answered is.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Open(); err != nil {
		return err
	}
	l := netutil.LimitListener(s.l, maxConnections)
	s.l = nil
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: readHeader, ReadTimeout: readAll, IdleTimeout: idle, MaxHeaderBytes: 16 << 10,
		ErrorLog:  log.New(io.Discard, "", 0), // of strangers' handshakes and broken requests
		ConnState: s.count,
	}
	stop := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if server.Shutdown(ending) != nil {
			_ = server.Close() // what has not ended by now is cut off, and comes again
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listener http://%s: %w", s.address, err)
	}
	return nil
}

func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.handler.o.Metrics.Connections.Inc()
	case http.StateClosed, http.StateHijacked:
		s.handler.o.Metrics.Connections.Dec()
	}
}
