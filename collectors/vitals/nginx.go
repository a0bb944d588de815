package vitals

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// status is what stub_status answers (ngx_http_stub_status_module).
type status struct {
	active, reading, writing, waiting int64
	accepts, handled, requests        uint64
}

// Bounds of asking nginx. One that does not answer in time has no worker to spare, which
// is itself worth knowing.
const (
	statusWait  = 500 * time.Millisecond
	statusBytes = 4096
)

// newStatusClient makes what asks nginx, on a connection of its own that it keeps. A URL
// that begins with http://unix:PATH: is of a socket, and is changed for the client.
func newStatusClient(location *string) (*http.Client, error) {
	if *location == "" {
		return nil, nil
	}
	transport := &http.Transport{MaxIdleConns: 1, DisableCompression: true, ResponseHeaderTimeout: statusWait}
	if rest, ok := strings.CutPrefix(*location, "http://unix:"); ok {
		path, target, ok := strings.Cut(rest, ":")
		if !ok || path == "" {
			return nil, fmt.Errorf("%q: want http://unix:/path/of/the/socket:/nginx_status", *location)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
		*location = "http://localhost/" + strings.TrimPrefix(target, "/")
	}
	u, err := url.Parse(*location)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q: want such as http://127.0.0.1/nginx_status", *location)
	}
	return &http.Client{
		Transport: transport, Timeout: statusWait,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// readNginx asks nginx.
func (r *Reader) readNginx(ctx context.Context, v *schemas.Vitals, after *counts) {
	v.Nginx = &schemas.NginxVitals{}
	now, err := r.ask(ctx)
	r.complain("nginx", err)
	if err != nil {
		after.nginx = r.before.nginx // the next answer's counts are since the last one
		return
	}
	after.nginx = now
	*v.Nginx = schemas.NginxVitals{Answered: true, Active: now.active, Reading: now.reading, Writing: now.writing, Waiting: now.waiting}
	if before := r.before.nginx; before != nil {
		v.Nginx.Accepted = since(before.accepts, now.accepts)
		v.Nginx.Handled = since(before.handled, now.handled)
		v.Nginx.Requests = since(before.requests, now.requests)
	}
}

func (r *Reader) ask(ctx context.Context) (*status, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.o.NginxStatus, nil)
	if err != nil {
		return nil, err
	}
	answer, err := r.status.Do(q)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, statusBytes))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", r.o.NginxStatus, answer.Status)
	}
	return parseStatus(string(body))
}

// parseStatus reads
//
//	Active connections: 291
//	server accepts handled requests
//	 16630948 16630948 31070465
//	Reading: 6 Writing: 179 Waiting: 106
func parseStatus(text string) (*status, error) {
	var s status
	fields := strings.Fields(text)
	want := []any{"Active", "connections:", &s.active, "server", "accepts", "handled", "requests",
		&s.accepts, &s.handled, &s.requests, "Reading:", &s.reading, "Writing:", &s.writing, "Waiting:", &s.waiting}
	if len(fields) < len(want) {
		return nil, errors.New("it is no stub_status: too short")
	}
	for i, w := range want {
		if word, ok := w.(string); ok {
			if fields[i] != word {
				return nil, fmt.Errorf("it is no stub_status: %.20q where %q was wanted", fields[i], word)
			}
			continue
		}
		if n, err := fmt.Sscan(fields[i], w); n != 1 || err != nil {
			return nil, fmt.Errorf("it is no stub_status: %.20q is no number", fields[i])
		}
	}
	if s.active < 0 || s.reading < 0 || s.writing < 0 || s.waiting < 0 {
		return nil, errors.New("it is no stub_status: a number below 0")
	}
	return &s, nil
}
