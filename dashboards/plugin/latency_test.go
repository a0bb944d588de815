package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// nginx starts a real one that logs, in weir's format, into the log that weir run follows,
// and returns its address.
func (f *fixture) nginx(b *testing.B) string {
	b.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			b.Skip("nginx is not installed: make setup")
		}
	}
	address, err := freeAddress()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(dir, "nginx.conf")
	config := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
    log_format weir escape=json '{"time":"$msec","host":"$host","client":"$remote_addr","method":"$request_method","uri":"$request_uri","protocol":"$server_protocol","status":$status,"bytes":$body_bytes_sent,"duration":$request_time,"referer":"$http_referer","user_agent":"$http_user_agent","action":"allow","request_id":"$request_id"}';
    access_log %[2]s weir;
    client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
    server { listen %[3]s; location / { return 200 "here"; } }
}
`, dir, f.log, address)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	run := exec.Command(binary, "-p", dir, "-c", file)
	run.Stderr = os.Stderr
	if err := run.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		_ = run.Wait()
	})
	if err := eventually(func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return address
}

// BenchmarkLatency is from a request that a real nginx answers to the frame that a browser
// gets: nginx's log, collector, NATS, and the plugin's gRPC.
func BenchmarkLatency(b *testing.B) {
	f := ready(b)
	address := f.nginx(b)
	channel := path(b, f.plugin.one(b, last(time.Minute), `{"kind":"traffic","sites":["`+site+`"],"live":true}`))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	rates := make(chan float64, 100)
	go func() {
		_ = f.plugin.watch(ctx, channel, func(values [][]*float64) {
			if v := values[1][0]; v != nil {
				select {
				case rates <- *v:
				case <-ctx.Done():
				}
			}
		})
	}()
	ask := func() {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/latency", nil)
		if err != nil {
			b.Fatal(err)
		}
		request.Host = site
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
			b.Fatal(answer.Status, err)
		}
	}
	var all []time.Duration
	for b.Loop() {
		for <-rates > 0 { // until what was before is out of the last second
		}
		begin := time.Now()
		ask()
		for <-rates == 0 {
		}
		all = append(all, time.Since(begin))
	}
	slices.Sort(all)
	median := all[len(all)/2]
	b.ReportMetric(median.Seconds(), "s/median")
	b.ReportMetric(all[len(all)-1].Seconds(), "s/worst")
	if median > 1500*time.Millisecond {
		b.Errorf("%v at the median, want at most 1.5 s", median)
	}
}
