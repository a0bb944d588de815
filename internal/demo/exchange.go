package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// Dial connects a client to an address, host:port.
type Dial func(ctx context.Context, client netip.Addr, address string) (net.Conn, error)

func dialAsOurselves(ctx context.Context, _ netip.Addr, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// exchange sends one request to nginx on a connection of its own and reads the
// answer to its end.
//
// It speaks HTTP by hand because the traits are the demo: net/http's client adds
// headers of its own, knows no HTTP/1.0, and silently sends again what a closed
// connection lost, which would count twice.
func exchange(ctx context.Context, dial Dial, address string, q *simulate.Request, ticket string) Answered {
	connection, err := dial(ctx, q.Client, address)
	if err != nil {
		return Answered{HungUp: ctx.Err() != nil}
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { connection.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := connection.Write(head(q, ticket)); err != nil {
		return lost(ctx, err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: q.Method})
	if err != nil {
		return lost(ctx, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)); err != nil && ctx.Err() != nil {
		return Answered{Status: 0, HungUp: true}
	}
	return Answered{Status: answer.StatusCode}
}

// lost is what a connection without an answer means.
func lost(ctx context.Context, err error) Answered {
	switch {
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return Answered{HungUp: true}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Answered{Closed: true}
	}
	return Answered{}
}

// head is a request as it goes over the wire.
func head(q *simulate.Request, ticket string) []byte {
	protocol := "HTTP/1.1"
	if q.Protocol == "HTTP/1.0" {
		protocol = q.Protocol
	}
	header := q.Header()
	if header.Get("User-Agent") == "" {
		header.Del("User-Agent")
	}
	header.Set("X-Forwarded-For", q.Client.String())
	header.Set(TicketHeader, ticket)
	header.Set("Connection", "close")
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		header.Set("Content-Length", "0")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\n", oneWord(q.Method), oneWord(q.URI), protocol, oneWord(q.Site))
	header.Write(&b) // takes line breaks out of values; a Buffer never fails
	b.WriteString("\r\n")
	return b.Bytes()
}

// oneWord keeps a word from ending the request line before its time.
func oneWord(s string) string {
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f {
			return '_'
		}
		return c
	}, s)
}
