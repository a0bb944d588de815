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
	"strconv"
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
	_, err = c.each(ctx, path, func(e *schemas.Event) error {
		events = append(events, *e)
		return nil
	})
	return events, err
}

// silence is how long an answer may bring nothing before it is given up.
const silence = 15 * time.Second

// each asks for a list and hands over one event after another, as they come: as long as they
// do, there is no limit to the time. total is of how many these are the newest, -1 where the answer
// does not say it.
func (c *controlClient) each(ctx context.Context, path string, take func(*schemas.Event) error) (total int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(silence, func() { cancel(fmt.Errorf("weir run has said nothing for %s", silence)) })
	defer idle.Stop()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	patient := *c
	patient.http.Timeout = 0
	response, err := patient.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if total, err = strconv.Atoi(response.Header.Get(totalHeader)); err != nil {
		total = -1
	}
	decoder := json.NewDecoder(heard{response.Body, idle})
	if _, err := decoder.Token(); err != nil {
		return total, err
	}
	for decoder.More() {
		var e schemas.Event
		if err := decoder.Decode(&e); err != nil {
			return total, err
		}
		if err := take(&e); err != nil {
			return total, err
		}
	}
	_, err = decoder.Token() // a list that is cut off has no end
	return total, err
}

// heard puts off the end of the waiting whenever something is read.
type heard struct {
	io.Reader
	idle *time.Timer
}

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.idle.Reset(silence)
	}
	return n, err
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
	response, err := c.ask(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(io.LimitReader(response.Body, 1<<30))
}

// ask returns an answer that says yes; its body is to be closed.
func (c *controlClient) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://weir"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("data directory %s: %w", c.data, errNotRunning)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("data directory %s: weir runs there as another user, whom alone it obeys: permission denied; try again with sudo", c.data)
	}
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	return nil, err
}
