package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"github.com/weir-project/weir/internal/embedded"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// sqlDoor lets whoever shows the token read the embedded ClickHouse, by ClickHouse's own
// protocol over HTTP, at /api/sql. The child itself is reached by nobody else, and trusts
// whoever reaches it.
type sqlDoor struct {
	token string
	home  func() embedded.Home
	log   *slog.Logger

	transport *http.Transport
	proxy     *httputil.ReverseProxy
}

// doorPath is where it is.
const doorPath = "/api/sql"

// doorSettings are the parameters that a reader may give: how the answer is written, and
// settings that only make a query smaller.
var doorSettings = []string{
	"query_id", "default_format", "client_protocol_version", "compress", "enable_http_compression",
	"max_execution_time", "max_result_rows", "max_result_bytes", "max_threads", "max_rows_to_read", "result_overflow_mode",
}

// newSQLDoor is nil where the configuration has no token.
func newSQLDoor(path string, home func() embedded.Home, log *slog.Logger) (*sqlDoor, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("http.sql_token_file: %w", err)
	}
	d := &sqlDoor{token: strings.TrimSpace(string(text)), home: home, log: log}
	if len(d.token) < minToken {
		return nil, usagef("http.sql_token_file: the token in %s has %d characters, want at least %d: openssl rand -hex 32", path, len(d.token), minToken)
	}
	d.transport = &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return d.home().Dial(ctx, embedded.HTTP) },
		MaxIdleConnsPerHost: 8, MaxConnsPerHost: 32, DisableCompression: true,
	}
	d.proxy = &httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, Transport: d.transport, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the embedded ClickHouse does not answer: "+err.Error(), http.StatusBadGateway)
		},
	}
	return d, nil
}

// ServeHTTP answers one query.
func (d *sqlDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+d.token)) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "want Authorization: Bearer and the token of http.sql_token_file", http.StatusUnauthorized)
		return
	}
	query, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	access, err := d.home().Access(r.Context())
	if err != nil {
		http.Error(w, "ClickHouse is not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	ask := func(statement string) (io.ReadCloser, error) {
		answer, err := d.transport.RoundTrip(d.request(r.Context(), access, url.Values{"default_format": {"TSVRaw"}}, []byte(statement)))
		if err != nil {
			return nil, err
		}
		if answer.StatusCode != http.StatusOK {
			defer answer.Body.Close()
			text, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
			return nil, errors.New(strings.TrimSpace(string(text)))
		}
		return answer.Body, nil
	}
	if err := clickhouse.OnlyReads(string(query), ask); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	d.proxy.ServeHTTP(w, d.request(r.Context(), access, r.URL.Query(), query))
}

// maxRefusal bounds an error's text, in bytes.
const maxRefusal = 4096

// request is a query as the child takes it: as the user who only reads, with nothing of
// the request's own but what doorSettings names.
func (d *sqlDoor) request(ctx context.Context, access embedded.Access, given url.Values, query []byte) *http.Request {
	values := url.Values{"readonly": {"1"}, "implicit_select": {"0"}, "cancel_http_readonly_queries_on_client_close": {"1"}}
	for _, name := range doorSettings {
		if given.Has(name) {
			values.Set(name, given.Get(name))
		}
	}
	header := http.Header{"X-Clickhouse-User": {embedded.Reader}}
	for name, value := range access.Headers() {
		header.Set(name, value)
	}
	r := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: "store", Path: "/", RawQuery: values.Encode()}, Host: "store",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(query)), ContentLength: int64(len(query)),
	}
	return r.WithContext(ctx)
}

// register adds the door to the listener's routes.
func (d *sqlDoor) register(mux *http.ServeMux) { mux.Handle("POST "+doorPath, d) }
