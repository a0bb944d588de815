package demo

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/weir-project/weir/internal/simulate"
)

// serveOnce answers one connection with what a function writes to it, then
// closes it.
func serveOnce(t *testing.T, answer func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		if _, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
			answer(connection)
		}
	}()
	return listener.Addr().String()
}

func TestExchange(t *testing.T) {
	q := &simulate.Request{Method: "GET", URI: "/", Protocol: "HTTP/1.1", Site: "www.example.org"}
	hangUp, cancel := context.WithCancel(t.Context())
	for _, x := range []struct {
		name   string
		ctx    context.Context
		answer func(net.Conn)
		want   Answered
	}{
		{"an answer", t.Context(), func(c net.Conn) { io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno") }, Answered{Status: 403}},
		{"closed, nginx's 444", t.Context(), func(net.Conn) {}, Answered{Closed: true}},
		{"reset", t.Context(), func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }, Answered{Closed: true}},
		{"no HTTP", t.Context(), func(c net.Conn) { io.WriteString(c, "220 smtp.example.org\r\n\r\n") }, Answered{}},
		{"nobody waits any more", hangUp, func(c net.Conn) { cancel(); io.Copy(io.Discard, c) }, Answered{HungUp: true}},
		{"nobody waited from the first", hangUp, nil, Answered{HungUp: true}},
	} {
		if got := exchange(x.ctx, dialAsOurselves, serveOnce(t, x.answer), q, "1"); got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if got := exchange(t.Context(), dialAsOurselves, listener.Addr().String(), q, "1"); got != (Answered{}) {
		t.Errorf("nobody there: %+v", got)
	}
}
