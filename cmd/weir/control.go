package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weir-project/weir/schemas"
)

// errNotRunning says that no `weir run` has the data directory open.
var errNotRunning = errors.New("weir run is not running on it")

// controlClient talks to the `weir run` that has a data directory open.
type controlClient struct {
	data string
	http http.Client
}

func newControlClient(data string) *controlClient {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(data, controlSocket))
	}
	return &controlClient{data: data, http: http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 15 * time.Second}}
}

// events asks for a list. The error wraps errNotRunning where nobody answers.
func (c *controlClient) events(ctx context.Context, path string) (events []schemas.Event, err error) {
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return events, json.Unmarshal(body, &events)
}

// post hands over events of decisions.
func (c *controlClient) post(ctx context.Context, events []schemas.Event) error {
	body, err := json.Marshal(events)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPost, "/api/events", body)
	return err
}

// forget has a running weir erase an address from what it holds.
func (c *controlClient) forget(ctx context.Context, address netip.Addr) (done forgotten, err error) {
	patient := *c
	patient.http.Timeout = forgetAtMost + 30*time.Second
	body, err := patient.do(ctx, http.MethodPost, "/api/forget/"+address.Unmap().String(), nil)
	if err != nil {
		return done, err
	}
	return done, json.Unmarshal(body, &done)
}

func (c *controlClient) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://weir"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("data directory %s: %w", c.data, errNotRunning)
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<30))
	if err == nil && response.StatusCode/100 != 2 {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	return answer, err
}
