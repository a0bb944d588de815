package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/grpcplugin"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"

	"github.com/weir-project/weir/internal/embedded"
)

// The real thing, once for all tests: an attack that weir simulate made and weir replay
// stored, weir run on it with its ClickHouse and its NATS, and the plugin's binary,
// started as Grafana starts it.
type fixture struct {
	dir     string
	log     string // that weir run follows
	address string // of weir's HTTP
	nats    string
	token   string
	config  string
	plugin  *started
	late    bool // a line of the past was sent: the rule on lag fires for minutes
}

const (
	site = "shop.example.org"
	uid  = "weir"
)

// program builds a command of the project, without the race detector: as it is used.
func program(dir, name, path string) (string, error) {
	out := filepath.Join(dir, name)
	if text, err := exec.Command("go", "build", "-o", out, path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %s", path, text)
	}
	return out, nil
}

var (
	once   sync.Once
	shared *fixture
	broken error
	ended  []func()
)

func TestMain(m *testing.M) {
	code := m.Run()
	for i := range ended {
		ended[len(ended)-1-i]()
	}
	os.Exit(code)
}

// ready is the fixture, which the first test makes.
func ready(t testing.TB) *fixture {
	t.Helper()
	if _, err := embedded.FindLibrary(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	once.Do(func() { shared, broken = setUp() })
	if broken != nil {
		t.Fatal(broken)
	}
	return shared
}

func setUp() (*fixture, error) {
	dir, err := os.MkdirTemp("", "weir-grafana-")
	if err != nil {
		return nil, err
	}
	ended = append(ended, func() { _ = os.RemoveAll(dir) })
	f := &fixture{dir: dir, log: filepath.Join(dir, "live.log"), token: strings.Repeat("t0ken", 8)}
	weir, err := program(dir, "weir", "github.com/weir-project/weir/cmd/weir")
	if err != nil {
		return nil, err
	}
	binary, err := program(dir, "gpx_weir", "github.com/weir-project/weir/dashboards/plugin")
	if err != nil {
		return nil, err
	}
	store := filepath.Join(dir, "data")
	past := filepath.Join(dir, "past.log")
	for _, args := range [][]string{
		{"simulate", past, "--format", "combined", "--site", site, "--hours", "2", "--tail", "1m", "--seed", "7"},
		{"replay", "-q", "--data", store, site + "=" + past},
	} {
		if text, err := exec.Command(weir, args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("weir %s: %w: %s", args[0], err, text)
		}
	}
	if err := f.start(weir, store); err != nil {
		return nil, err
	}
	f.plugin, err = startPlugin(binary)
	if err != nil {
		return nil, err
	}
	ended = append(ended, f.plugin.client.Kill)
	return f, f.plugin.settle(f.settings())
}

// start runs weir on what was replayed.
func (f *fixture) start(weir, store string) error {
	var err error
	if f.address, err = freeAddress(); err != nil {
		return err
	}
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	f.nats = "nats://" + listen
	secret := filepath.Join(f.dir, "token")
	f.config = filepath.Join(f.dir, "weir.yaml")
	config := fmt.Sprintf("data: %s\nhttp: {listen: %q, sql_token_file: %s}\nnats: {listen: %q}\nedge: {name: edge-1}\nsources: [{file: %s, site: %s, format: weir}]\n", store, f.address, secret, listen, f.log, site)
	if err := errors.Join(os.WriteFile(secret, []byte(f.token), 0o600), os.WriteFile(f.log, nil, 0o600), os.WriteFile(f.config, []byte(config), 0o600)); err != nil {
		return err
	}
	run := exec.Command(weir, "--config", f.config, "run")
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() { _ = run.Wait(); close(gone) }()
	ended = append(ended, func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		select {
		case <-gone:
		case <-time.After(time.Minute):
			_ = run.Process.Kill()
			<-gone
		}
	})
	return eventually(func() error {
		select {
		case <-gone:
			return fmt.Errorf("weir run ended: %s", out.String())
		default:
		}
		c, err := net.Dial("tcp", f.address)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = fmt.Fprintf(c, "GET /readyz HTTP/1.0\r\n\r\n")
		var answer bytes.Buffer
		_, _ = answer.ReadFrom(c)
		if !strings.Contains(answer.String(), " 200 ") {
			return errors.Join(err, errors.New(answer.String()))
		}
		return err
	})
}

// eventually tries until it works, for at most a minute and a half.
func eventually(try func() error) error {
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("not within a minute and a half: %w", err)
		case <-tick.C:
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (f *fixture) settings() *backend.DataSourceInstanceSettings {
	return instance(map[string]any{
		"clickhouse": "http://" + f.address + "/api/sql", "nats": f.nats, "metrics": "http://" + f.address + "/metrics",
	}, map[string]string{"clickhousePassword": f.token})
}

func instance(public map[string]any, secrets map[string]string) *backend.DataSourceInstanceSettings {
	text, err := json.Marshal(public)
	if err != nil {
		panic(err)
	}
	return &backend.DataSourceInstanceSettings{ID: 1, UID: uid, Type: pluginID, Name: "weir", JSONData: text, DecryptedSecureJSONData: secrets, Updated: time.Unix(1, 0)}
}

// started is a plugin's process, with what Grafana calls.
type started struct {
	client      *goplugin.Client
	data        grpcplugin.DataClient
	stream      grpcplugin.StreamClient
	resource    grpcplugin.ResourceClient
	diagnostics grpcplugin.DiagnosticsClient
	context     backend.PluginContext
}

// startPlugin does what Grafana does.
func startPlugin(binary string) (*started, error) {
	client := goplugin.NewClient(&goplugin.ClientConfig{
		Cmd: exec.Command(binary),
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: grpcplugin.ProtocolVersion, MagicCookieKey: grpcplugin.MagicCookieKey, MagicCookieValue: grpcplugin.MagicCookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{grpcplugin.ProtocolVersion: {
			"data": &grpcplugin.DataGRPCPlugin{}, "stream": &grpcplugin.StreamGRPCPlugin{}, "resource": &grpcplugin.ResourceGRPCPlugin{}, "diagnostics": &grpcplugin.DiagnosticsGRPCPlugin{},
		}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(), SyncStdout: os.Stderr, SyncStderr: os.Stderr,
	})
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, err
	}
	s := &started{client: client}
	for name, take := range map[string]func(any) bool{
		"data":        func(v any) (ok bool) { s.data, ok = v.(grpcplugin.DataClient); return ok },
		"stream":      func(v any) (ok bool) { s.stream, ok = v.(grpcplugin.StreamClient); return ok },
		"resource":    func(v any) (ok bool) { s.resource, ok = v.(grpcplugin.ResourceClient); return ok },
		"diagnostics": func(v any) (ok bool) { s.diagnostics, ok = v.(grpcplugin.DiagnosticsClient); return ok },
	} {
		found, err := protocol.Dispense(name)
		if err != nil || !take(found) {
			client.Kill()
			return nil, fmt.Errorf("the plugin's %s: %T %w", name, found, err)
		}
	}
	return s, nil
}

// as is the plugin with other settings and another user.
func (s *started) as(settings *backend.DataSourceInstanceSettings, login, role string) *started {
	other := *s
	other.context = backend.PluginContext{PluginID: pluginID, PluginVersion: "0.1.0", DataSourceInstanceSettings: settings}
	if login != "" {
		other.context.User = &backend.User{Login: login, Name: login, Role: role}
	}
	return &other
}

// settle waits until the data source is healthy.
func (s *started) settle(settings *backend.DataSourceInstanceSettings) error {
	*s = *s.as(settings, "alice", "Editor")
	return eventually(func() error {
		health, err := s.health(context.Background())
		if err == nil && health.Status != backend.HealthStatusOk {
			err = errors.New(health.Message)
		}
		return err
	})
}

func (s *started) health(ctx context.Context) (*backend.CheckHealthResult, error) {
	answer, err := s.diagnostics.CheckHealth(ctx, &pluginv2.CheckHealthRequest{PluginContext: backend.ToProto().PluginContext(s.context)})
	if err != nil {
		return nil, err
	}
	return backend.FromProto().CheckHealthResponse(answer), nil
}

// attack ends in the middle of the simulated one, which always is at the same time.
func attack() backend.TimeRange {
	end := time.Date(2026, 11, 21, 5, 18, 0, 0, time.UTC)
	return backend.TimeRange{From: end.Add(-2 * time.Hour), To: end}
}

// ask is one query by gRPC.
func (s *started) ask(ctx context.Context, span backend.TimeRange, queries ...string) (backend.Responses, error) {
	request := &backend.QueryDataRequest{PluginContext: s.context}
	for i, text := range queries {
		request.Queries = append(request.Queries, backend.DataQuery{RefID: string(rune('A' + i)), MaxDataPoints: 100, TimeRange: span, JSON: []byte(text)})
	}
	answer, err := s.data.QueryData(ctx, backend.ToProto().QueryDataRequest(request))
	if err != nil {
		return nil, err
	}
	response, err := backend.FromProto().QueryDataResponse(answer)
	if err != nil {
		return nil, err
	}
	return response.Responses, nil
}

// one is a query's only frame.
func (s *started) one(t testing.TB, span backend.TimeRange, text string) *data.Frame {
	t.Helper()
	answers, err := s.ask(t.Context(), span, text)
	if err != nil {
		t.Fatal(err)
	}
	a := answers["A"]
	if a.Error != nil || len(a.Frames) != 1 {
		t.Fatalf("%s: %d frames, %v", text, len(a.Frames), a.Error)
	}
	return a.Frames[0]
}
