// Package vitals reads how an edge is, once a second: nginx's stub_status, the queues of
// connections that wait to be accepted, conntrack, interfaces, load and pressure. They
// are published beside the requests, so that an attack that silences the log is seen.
package vitals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"

	"github.com/weir-project/weir/schemas"
)

// Publisher takes messages to those who want them. One that is lost is not missed for
// long: the next one is a second away.
type Publisher interface {
	Publish(ctx context.Context, subject, id string, data []byte) error
}

// Options say what to read; Edge is needed.
type Options struct {
	Edge string
	// NginxStatus is the URL of a location with stub_status, http://127.0.0.1/nginx_status
	// or http://unix:/run/nginx/status.sock:/nginx_status; "" is none.
	NginxStatus string
	Every       time.Duration // 0 is 1 s
	Proc        string        // where procfs is; "" is /proc
	// Listen gives the queues of listening sockets; nil asks the kernel.
	Listen func() ([]schemas.ListenQueue, error)

	Registerer prometheus.Registerer // nil for none
	Logger     *slog.Logger          // nil is slog.Default
}

// Reader reads vitals. It serves one goroutine.
type Reader struct {
	o       Options
	proc    procfs.FS
	status  *http.Client
	metrics *metrics
	before  counts
	trouble map[string]string // what could not be read, and why: said once
}

// counts are running counts, of which vitals are the differences.
type counts struct {
	at                           time.Time
	nginx                        *status
	overflows, drops, syncookies uint64
	interfaces                   map[string]schemas.InterfaceVitals
	haveNetstat                  bool
}

// New makes a Reader. It reads nothing yet.
func New(o Options) (*Reader, error) {
	if o.Edge == "" {
		return nil, errors.New("vitals: needs the name of this edge")
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Proc == "" {
		o.Proc = procfs.DefaultMountPoint
	}
	if o.Listen == nil {
		o.Listen = listenQueues
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	proc, err := procfs.NewFS(o.Proc)
	if err != nil {
		return nil, fmt.Errorf("vitals: %w", err)
	}
	r := &Reader{o: o, proc: proc, trouble: map[string]string{}}
	if r.status, err = newStatusClient(&r.o.NginxStatus); err != nil {
		return nil, fmt.Errorf("vitals: %w", err)
	}
	if r.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("vitals: %w", err)
	}
	return r, nil
}

// Run reads and publishes until ctx ends.
func (r *Reader) Run(ctx context.Context, p Publisher) error {
	tick := time.NewTicker(r.o.Every)
	defer tick.Stop()
	for {
		v := r.Read(ctx)
		message, err := schemas.EncodeVitals(v)
		if err != nil {
			return fmt.Errorf("vitals: %w", err)
		}
		hurry, cancel := context.WithTimeout(ctx, r.o.Every)
		r.complain("publish", p.Publish(hurry, schemas.SubjectVitals(r.o.Edge), "", message))
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Read reads everything once. What cannot be read is logged once, and absent.
func (r *Reader) Read(ctx context.Context) *schemas.Vitals {
	now := time.Now()
	v := &schemas.Vitals{Time: now.UTC(), Edge: r.o.Edge, Cores: runtime.NumCPU()}
	after := counts{at: now}
	if !r.before.at.IsZero() {
		v.Interval = now.Sub(r.before.at).Seconds()
	}
	if r.o.NginxStatus != "" {
		r.readNginx(ctx, v, &after)
	}
	var err error
	v.Listen, err = r.o.Listen()
	r.complain("listen queues", err)
	r.complain("netstat", r.readNetstat(v, &after))
	r.complain("interfaces", r.readInterfaces(v, &after))
	r.complain("sockets", r.readSockets(v))
	r.complain("conntrack", r.readConntrack(v))
	r.complain("load", r.readLoad(v))
	r.complain("memory", r.readMemory(v))
	r.complain("pressure", r.readPressure(v))
	r.before = after
	r.metrics.set(v)
	return v
}

// complain logs what cannot be read, once for as long as it lasts.
func (r *Reader) complain(what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && r.trouble[what] == "" {
		r.o.Logger.Warn("a part of the vitals is not known", "part", what, "error", text)
	}
	r.trouble[what] = text
}

// since is a running count's increase. One that went back began anew.
func since(before, now uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}
