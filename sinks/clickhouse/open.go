// Package clickhouse keeps requests, signals, incidents and decisions in
// ClickHouse, and answers SQL about them. The server may be anywhere: what is
// needed of it is a DSN or a way to dial.
//
//	batches ─▶ Writer (follows a stream, exactly once) ─┐
//	batches ─▶ Direct (a replay, exactly once) ─────────┼─▶ blocks ─▶ ClickHouse
//	events  ─▶ RecordEvents, RecordSignals ─────────────┘
//	people  ─▶ Query ─▶ any of ClickHouse's formats
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Options say where ClickHouse is. Either DSN or Dial is set.
type Options struct {
	// DSN is clickhouse://user:password@host:9000/database?secure=true (native
	// protocol) or http://, https://; what clickhouse-go takes. Query needs HTTP as
	// well: with a native DSN that is port 8123 (8443 where secure) of the same host,
	// or the one that the DSN's http_port names.
	DSN string
	// Dial connects to a server by the protocol "native" or "http".
	Dial func(ctx context.Context, protocol string) (net.Conn, error)
	// Reader is the user as whom Query reads where Dial is set; "" is default.
	Reader string
	// HTTPOnly says that Dial knows only "http".
	HTTPOnly bool
	// Headers are what each request over HTTP must carry at that moment; nil is nothing.
	Headers func(ctx context.Context) (map[string]string, error)
	// Gone reports of an error of Dial that no later Dial can succeed: what waits for the
	// server then ends with that error. nil is never.
	Gone func(error) bool

	Logger  *slog.Logger          // nil is none
	Metrics prometheus.Registerer // nil is none
}

// Bounds on talking to the server.
const (
	dialTimeout   = 10 * time.Second
	insertTimeout = 2 * time.Minute // of one attempt to insert one block
	maxConns      = 16
	idleLifetime  = 30 * time.Minute
)

// DB is an open connection pool. Its methods may be called concurrently.
type DB struct {
	conn      driver.Conn // native where possible: small inserts and queries
	http      driver.Conn // for Query that writes
	reader    driver.Conn // for Query that reads
	transport transport   // of blocks
	where     string      // for messages, without the password
	log       *slog.Logger
	metrics   *metrics
	privacy   Privacy // of what is written

	tokenBlocks int64                 // tokenBlocks but in tests
	gone        atomic.Pointer[error] // why the server can never be reached again
}

// Open connects and asks the server for its version, so that a wrong address or
// password is known at once: the error is one line. Close the DB before the
// server that it dials is stopped.
func Open(ctx context.Context, o Options) (*DB, error) {
	db := &DB{where: "the embedded ClickHouse", log: o.Logger, tokenBlocks: tokenBlocks}
	if dial := o.Dial; dial != nil && o.Gone != nil {
		o.Dial = func(ctx context.Context, protocol string) (net.Conn, error) {
			c, err := dial(ctx, protocol)
			if err != nil && o.Gone(err) {
				db.gone.Store(&err)
			}
			return c, err
		}
	}
	native, http, reader, err := o.drivers()
	if err != nil {
		return nil, err
	}
	db.metrics = newMetrics(o.Metrics)
	main := native
	if main == nil {
		main = http
	}
	if o.DSN != "" {
		db.where = "ClickHouse at " + strings.Join(main.Addr, ", ")
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	for conn, options := range map[*driver.Conn]*driver.Options{&db.conn: main, &db.http: http, &db.reader: reader} {
		if *conn, err = driver.Open(options); err != nil { // dials nothing yet
			return nil, fmt.Errorf("%s: %w", db.where, err)
		}
	}
	db.transport = &httpTransport{conn: db.conn}
	if native != nil {
		db.transport = newNativeTransport(native)
	}
	if err := db.conn.Ping(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s does not answer: %s: check its address, user and password", db.where, oneLine(err))
	}
	return db, nil
}

// Gone is why the server can never be reached again; nil while it may be.
func (db *DB) Gone() error {
	if gone := db.gone.Load(); gone != nil {
		return fmt.Errorf("%s: %w", db.where, *gone)
	}
	return nil
}

// Close closes all connections.
func (db *DB) Close() error {
	return errors.Join(db.transport.close(), db.conn.Close(), db.http.Close(), db.reader.Close())
}

// drivers are clickhouse-go's options for the native protocol, nil where there is
// none, and for queries over HTTP, of which reader only reads.
func (o *Options) drivers() (native, http, reader *driver.Options, err error) {
	switch {
	case (o.DSN == "") == (o.Dial == nil):
		return nil, nil, nil, errors.New("open ClickHouse: want either a DSN or a dialer")
	case o.Dial == nil:
		return o.parsed()
	}
	if !o.HTTPOnly {
		native = o.dialled("native", "")
	}
	return native, o.dialled("http", ""), o.dialled("http", o.Reader), nil
}

// parsed are the options that the DSN gives.
func (o *Options) parsed() (native, http, reader *driver.Options, err error) {
	dsn, httpPort, err := cutHTTPPort(o.DSN)
	if err != nil {
		return nil, nil, nil, err
	}
	if native, err = o.parse(dsn); err != nil {
		return nil, nil, nil, err
	}
	overHTTP := dsn
	if native.Protocol != driver.HTTP {
		if overHTTP, err = httpDSN(dsn, httpPort, native.TLS != nil); err != nil {
			return nil, nil, nil, err
		}
	}
	for _, d := range []**driver.Options{&http, &reader} {
		if *d, err = o.parse(overHTTP); err != nil {
			return nil, nil, nil, err
		}
	}
	if native.Protocol == driver.HTTP {
		return nil, http, reader, nil
	}
	http.Compression, reader.Compression = nil, nil
	return native, http, reader, nil
}

func (o *Options) parse(dsn string) (*driver.Options, error) {
	d, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("the ClickHouse DSN is not valid: %w", withoutURL(err))
	}
	o.common(d)
	return d, nil
}

// httpDSN is the same server by HTTP: clickhouse-go takes the scheme of the addresses
// that it asks from the DSN alone.
func httpDSN(dsn, port string, secure bool) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("the ClickHouse DSN is not valid: %w", withoutURL(err))
	}
	u.Scheme = "http"
	if secure {
		u.Scheme = "https"
	}
	if port == "" {
		port = map[bool]string{false: "8123", true: "8443"}[secure]
	}
	hosts := strings.Split(u.Host, ",")
	for i, addr := range hosts {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return "", fmt.Errorf("the ClickHouse DSN is not valid: %w: want host:port", err)
		}
		hosts[i] = net.JoinHostPort(host, port)
	}
	u.Host = strings.Join(hosts, ",")
	return u.String(), nil
}

func (o *Options) dialled(protocol, user string) *driver.Options {
	d := &driver.Options{Addr: []string{"store:0"}, Protocol: driver.Native, Auth: driver.Auth{Username: user}}
	if protocol == "http" {
		d.Protocol = driver.HTTP
	}
	d.DialContext = func(ctx context.Context, _ string) (net.Conn, error) { return o.Dial(ctx, protocol) }
	o.common(d)
	return d
}

func (o *Options) common(d *driver.Options) {
	d.MaxOpenConns, d.MaxIdleConns, d.ConnMaxLifetime = maxConns, maxConns, idleLifetime
	if d.DialTimeout == 0 {
		d.DialTimeout = dialTimeout
	}
	if o.Headers != nil {
		d.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) { return &headed{t, o.Headers}, nil }
	}
	d.ClientInfo.Products = append(d.ClientInfo.Products, struct{ Name, Version string }{"weir", "1"})
}

// headed puts headers on requests that may be others for the next request: a store that was
// started again has another secret.
type headed struct {
	http.RoundTripper
	headers func(context.Context) (map[string]string, error)
}

// RoundTrip implements http.RoundTripper.
func (h *headed) RoundTrip(r *http.Request) (*http.Response, error) {
	headers, err := h.headers(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as RoundTrip must
		}
		return nil, err
	}
	if len(headers) > 0 {
		r = r.Clone(r.Context())
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	}
	return h.RoundTripper.RoundTrip(r)
}

// cutHTTPPort takes the parameter out that is weir's and not clickhouse-go's.
func cutHTTPPort(dsn string) (rest, port string, err error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", "", fmt.Errorf("the ClickHouse DSN is not valid: %w", withoutURL(err))
	}
	if u.Host == "" {
		return "", "", errors.New("the ClickHouse DSN is not valid: want clickhouse://user:password@host:9000/database")
	}
	values := u.Query()
	if !values.Has("http_port") {
		return dsn, "", nil
	}
	port = values.Get("http_port")
	values.Del("http_port")
	u.RawQuery = values.Encode()
	return u.String(), port, nil
}

// withoutURL keeps a DSN's password out of messages.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// oneLine is an error's text without line breaks, cut.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	return text[:min(len(text), 600)]
}
