package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"github.com/weir-project/weir/dashboards/query"
)

// history is ClickHouse. Every query reads only, and ends by itself after a time.
type history struct {
	conn    driver.Conn
	where   string
	seconds int
	rows    int
	turns   chan struct{} // as many as queries may run at once
}

// Queries at once, and how long one waits for its turn: fifty people who open a page ask
// hundreds of them, which two processors answer no sooner for being asked together.
const (
	mostRunning = 12
	turnWait    = time.Minute
)

// newHistory dials nothing yet.
func newHistory(s *settings) (*history, error) {
	u, err := url.Parse(s.ClickHouse)
	if err != nil {
		return nil, errors.New("the address of ClickHouse is not valid")
	}
	o := &clickhouse.Options{
		Addr: []string{u.Host}, DialTimeout: 5 * time.Second, ReadTimeout: s.timeLimit() + 10*time.Second,
		MaxOpenConns: 2 * mostRunning, MaxIdleConns: mostRunning, ConnMaxLifetime: 30 * time.Minute,
	}
	o.ClientInfo.Products = append(o.ClientInfo.Products, struct{ Name, Version string }{"weir-grafana", "1"})
	if s.CA != "" || s.Cert != "" || u.Scheme == "https" || u.Query().Get("secure") == "true" {
		if o.TLS, err = s.tls(); err != nil {
			return nil, err
		}
	}
	door := strings.HasSuffix(u.Path, "/api/sql")
	switch {
	case door:
		o.Protocol, o.HttpUrlPath = clickhouse.HTTP, u.Path
		o.HttpHeaders = map[string]string{"Authorization": "Bearer " + s.password}
		o.TLS = nil
		if u.Scheme == "https" {
			if o.TLS, err = s.tls(); err != nil {
				return nil, err
			}
		}
	case u.Scheme == "clickhouse":
		o.Auth = clickhouse.Auth{Database: strings.Trim(u.Path, "/"), Username: s.User, Password: s.password}
	default:
		o.Protocol = clickhouse.HTTP
		o.Auth = clickhouse.Auth{Database: strings.Trim(u.Path, "/"), Username: s.User, Password: s.password}
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: %s", oneLine(err))
	}
	return &history{conn: conn, where: u.Scheme + "://" + u.Host + u.Path, seconds: s.Seconds, rows: s.Rows, turns: make(chan struct{}, mostRunning)}, nil
}

func (s *settings) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(s.CA)) {
			return nil, errors.New("the authority's certificate (CA) is no PEM")
		}
	}
	if s.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(s.Cert), []byte(s.key))
		if err != nil {
			return nil, fmt.Errorf("the client's certificate and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (h *history) close() { _ = h.conn.Close() }

// ask runs one statement. more says that there were more rows than are answered. When ctx
// ends the statement ends in the server, too.
func (h *history) ask(ctx context.Context, p query.Plan) (frame *data.Frame, more bool, err error) {
	limit := min(p.Rows, h.rows)
	if p.Shape != query.Table {
		limit = min(p.Rows, mostRows)
	}
	ctx, done, err := h.turn(ctx)
	if err != nil {
		return nil, false, err
	}
	defer done()
	rows, err := h.conn.Query(h.limited(ctx), p.SQL)
	if err != nil {
		return nil, false, h.said(ctx, err)
	}
	defer func() { err = errors.Join(err, ignoreCancelled(ctx, rows.Close())) }()
	frame = data.NewFrame("")
	columns := rows.ColumnTypes()
	cells := make([]any, len(columns))
	for i, c := range columns {
		cells[i] = reflect.New(c.ScanType()).Interface()
		frame.Fields = append(frame.Fields, data.NewFieldFromFieldType(fieldType(c.ScanType()), 0))
		frame.Fields[i].Name = c.Name()
	}
	for n := 0; rows.Next(); n++ {
		if n == limit {
			return frame, true, nil
		}
		if err := rows.Scan(cells...); err != nil {
			return nil, false, h.said(ctx, err)
		}
		for i, f := range frame.Fields {
			f.Append(cell(f.Type(), cells[i]))
		}
	}
	return frame, false, h.said(ctx, rows.Err())
}

// turn waits until a query may run, and gives it the time that it may take from then on; done
// is to be called at its end.
func (h *history) turn(ctx context.Context) (running context.Context, done func(), err error) {
	late := time.NewTimer(turnWait)
	defer late.Stop()
	select {
	case h.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("ClickHouse: the query was cancelled: %w", ctx.Err())
	case <-late.C:
		return nil, nil, fmt.Errorf("ClickHouse: %d queries ran for all of %s: look at fewer panels, or at a shorter time", mostRunning, turnWait)
	}
	running, cancel := context.WithTimeout(ctx, time.Duration(h.seconds)*time.Second+5*time.Second)
	return running, func() { cancel(); <-h.turns }, nil
}

// limited has the server end a query after the time limit, and when ctx ends.
func (h *history) limited(ctx context.Context) context.Context {
	return clickhouse.Context(endless{ctx}, clickhouse.WithSettings(clickhouse.Settings{"readonly": 1, "max_execution_time": h.seconds}))
}

// endless hides a context's deadline from clickhouse-go, which would set a limit of its own
// by it, five seconds later. It is cancelled all the same.
type endless struct{ context.Context }

func (endless) Deadline() (time.Time, bool) { return time.Time{}, false }

func ignoreCancelled(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// What clickhouse-go puts around the server's own message.
var (
	before = regexp.MustCompile(`^(.*?\[HTTP \d+\] )?(response body: )?"?(code: \d+, message: )?`)
	after  = regexp.MustCompile(` \(version [0-9.]+\).*$`)
)

// said is an error for a person: what, where, and how to mend it.
func (h *history) said(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("ClickHouse: the query was cancelled: %w", ctx.Err())
	}
	text := after.ReplaceAllString(before.ReplaceAllString(oneLine(err), ""), "")
	switch {
	case strings.Contains(text, "TIMEOUT_EXCEEDED"):
		return fmt.Errorf("ClickHouse: not done within %d s: narrow the time or the sites down, or raise the time limit in the data source", h.seconds)
	case strings.Contains(text, "UNKNOWN_TABLE"), strings.Contains(text, "UNKNOWN_DATABASE"):
		return fmt.Errorf("ClickHouse at %s has no tables of weir: is it the right database, and has weir run on it? (%s)", h.where, text)
	case strings.Contains(text, "connection refused"), strings.Contains(text, "no such host"), strings.Contains(text, "i/o timeout"), strings.Contains(text, "EOF"):
		return fmt.Errorf("ClickHouse at %s does not answer: %s", h.where, text)
	case strings.Contains(text, "sql_token_file"), strings.Contains(text, "AUTHENTICATION_FAILED"), strings.Contains(text, "[HTTP 401]"):
		return fmt.Errorf("ClickHouse at %s refuses the user, password or token: %s", h.where, text)
	}
	return fmt.Errorf("ClickHouse: %s", text)
}

// caseOf looks an incident up.
func (h *history) caseOf(ctx context.Context, id string) (*query.Case, error) {
	ctx, done, err := h.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err := h.conn.Query(h.limited(ctx), query.CaseSQL(id))
	if err != nil {
		return nil, h.said(ctx, err)
	}
	defer rows.Close()
	var c query.Case
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, h.said(ctx, err)
		}
		return nil, fmt.Errorf("%w: the store knows no incident %q", query.ErrQuery, id[:min(len(id), 60)])
	}
	if err := rows.Scan(&c.Incident, &c.Sites, &c.Opened, &c.End); err != nil {
		return nil, h.said(ctx, err)
	}
	return &c, nil
}
