package embedded

import (
	"errors"
	"net"
	"syscall"
)

// conn is a connection to the child that stop can close: the engine waits for its
// connections before it ends.
type conn struct {
	net.Conn
	of *process
}

func (p *process) track(c net.Conn) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		c.Close()
		return nil, errors.New("the store is closing")
	}
	tracked := &conn{Conn: c, of: p}
	p.conns[tracked] = struct{}{}
	return tracked, nil
}

// Close closes the connection.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// closeConns closes what dial returned and makes it return no more.
func (p *process) closeConns() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close() // its user learns of it at the next read or write
	}
}

// SyscallConn lets clickhouse-go see that a pooled connection has died.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	raw, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return raw.SyscallConn()
}

// CloseWrite ends what is sent, for whoever copies from elsewhere.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
