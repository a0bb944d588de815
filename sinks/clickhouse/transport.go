package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// transport inserts one block by one statement. Settings are the server's, by name.
type transport interface {
	insert(ctx context.Context, statement string, settings map[string]string, input proto.Input) error
	close() error
}

// insertInto is the statement for the columns of a block.
func insertInto(table string, input proto.Input) string {
	names := make([]string, len(input))
	for i, column := range input {
		names[i] = column.Name
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ")"
}

// nativeTransport speaks the native protocol by ch-go, on which clickhouse-go stands:
// clickhouse-go itself makes its columns anew for every insert.
type nativeTransport struct {
	dial    func(ctx context.Context) (net.Conn, error)
	options ch.Options
	idle    chan *ch.Client
}

func newNativeTransport(d *driver.Options) *nativeTransport {
	t := &nativeTransport{idle: make(chan *ch.Client, maxConns), options: ch.Options{
		Database: d.Auth.Database, User: d.Auth.Username, Password: d.Auth.Password, TLS: d.TLS,
		ClientName: "weir", ReadTimeout: insertTimeout, DialTimeout: d.DialTimeout,
	}}
	if c := d.Compression; c != nil && c.Method != driver.CompressionNone {
		t.options.Compression = ch.CompressionLZ4
		if c.Method == driver.CompressionZSTD {
			t.options.Compression = ch.CompressionZSTD
		}
	}
	t.dial = func(ctx context.Context) (net.Conn, error) { return dialAny(ctx, d) }
	return t
}

// dialAny connects to the first of the addresses that answers.
func dialAny(ctx context.Context, d *driver.Options) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.DialTimeout)
	defer cancel()
	for _, addr := range d.Addr {
		if d.DialContext != nil {
			c, err = d.DialContext(ctx, addr)
		} else {
			c, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
		if err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (t *nativeTransport) client(ctx context.Context) (*ch.Client, error) {
	select {
	case c := <-t.idle:
		return c, nil
	default:
	}
	o := t.options
	o.Dialer = dialer(t.dial) // ch-go wraps what it returns in TLS where that is wanted
	return ch.Dial(ctx, o)
}

type dialer func(ctx context.Context) (net.Conn, error)

// DialContext dials the address that is known already.
func (d dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return d(ctx) }

func (t *nativeTransport) insert(ctx context.Context, statement string, settings map[string]string, input proto.Input) error {
	c, err := t.client(ctx)
	if err != nil {
		return err
	}
	q := ch.Query{Body: statement + " VALUES", Input: input}
	for name, value := range settings {
		q.Settings = append(q.Settings, ch.Setting{Key: name, Value: value, Important: true})
	}
	if err := c.Do(ctx, q); err != nil {
		_ = c.Close() // the next attempt has a fresh connection
		return err
	}
	select {
	case t.idle <- c:
		return nil
	default:
		return c.Close()
	}
}

func (t *nativeTransport) close() (err error) {
	for {
		select {
		case c := <-t.idle:
			err = errors.Join(err, c.Close())
		default:
			return err
		}
	}
}

// httpTransport posts blocks in the Native format.
type httpTransport struct {
	conn driver.Conn
}

func (t *httpTransport) insert(ctx context.Context, statement string, settings map[string]string, input proto.Input) error {
	var b proto.Buffer
	block := proto.Block{Columns: len(input), Rows: input[0].Data.Rows()}
	if err := block.EncodeRawBlock(&b, 0, input); err != nil {
		return err
	}
	all := driver.Settings{}
	for name, value := range settings {
		all[name] = value
	}
	return t.conn.InsertFormat(driver.Context(ctx, driver.WithSettings(all)), "Native", statement, io.Reader(bytes.NewReader(b.Buf)))
}

func (t *httpTransport) close() error { return nil } // its connections are the DB's
