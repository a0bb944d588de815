package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/instancemgmt"
	"github.com/grafana/grafana-plugin-sdk-go/backend/resource/httpadapter"
	"github.com/nats-io/nats.go"

	"github.com/weir-project/weir/dashboards/live"
)

// source is one data source, as it is configured. Grafana makes a new one where its
// settings change, and disposes of the old.
type source struct {
	backend.CallResourceHandler
	settings settings
	wrong    error // with the settings: said by every answer
	log      *slog.Logger
	history  *history
	http     *http.Client

	mu    sync.Mutex
	conn  *nats.Conn // nil until it is first needed
	hub   *live.Hub
	state *live.State
}

// newSource dials nothing: a data source whose servers are away must still be there.
func newSource(_ context.Context, s backend.DataSourceInstanceSettings) (instancemgmt.Instance, error) {
	// Grafana reads what a plugin writes to standard error as its log.
	d := &source{log: slog.New(slog.NewTextHandler(os.Stderr, nil)), http: &http.Client{Timeout: 5 * time.Second}}
	d.settings, d.wrong = parseSettings(s)
	if d.wrong == nil {
		d.history, d.wrong = newHistory(&d.settings)
	}
	d.CallResourceHandler = httpadapter.New(d.routes())
	return d, nil
}

// Dispose ends the streams and the connections.
func (d *source) Dispose() {
	d.mu.Lock()
	conn, hub := d.conn, d.hub
	d.mu.Unlock()
	if hub != nil {
		hub.Close()
	}
	if conn != nil {
		conn.Close()
	}
	if d.history != nil {
		d.history.close()
	}
}

// nats is the connection, begun at its first use. It is kept trying for ever.
func (d *source) nats() (*live.Hub, *live.State, *nats.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wrong != nil {
		return nil, nil, nil, d.wrong
	}
	if d.conn != nil {
		return d.hub, d.state, d.conn, nil
	}
	options := []nats.Option{
		nats.Name("weir Grafana"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.Timeout(3 * time.Second),
		nats.ReconnectWait(500 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1), // what a person decides is stored now, or an error
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { d.log.Warn("NATS is lost; trying again for ever", "error", err) }),
		nats.ReconnectHandler(func(*nats.Conn) { d.log.Info("NATS is found again") }),
	}
	if d.settings.credentials != "" {
		options = append(options, nats.UserCredentialBytes([]byte(d.settings.credentials)))
	}
	if d.settings.CA != "" || d.settings.Cert != "" {
		files, err := d.settings.tls()
		if err != nil {
			return nil, nil, nil, err
		}
		options = append(options, nats.Secure(files))
	}
	conn, err := nats.Connect(d.settings.NATS, options...)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("NATS: %s", oneLine(err))
	}
	state, err := live.NewState(conn, d.log)
	if err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	d.conn, d.hub, d.state = conn, live.New(conn, d.log), state
	return d.hub, d.state, d.conn, nil
}

// maxError bounds an error's text, in bytes.
const maxError = 500

// oneLine is an error for a person, cut. An error of ClickHouse cites what a stranger sent: a
// text that is no UTF-8 would have gRPC refuse the answers to all queries of a request.
func oneLine(err error) string {
	text := clean(strings.Join(strings.Fields(err.Error()), " "))
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}
