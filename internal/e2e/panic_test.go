package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/sinks/haproxy"
	"github.com/weir-project/weir/sinks/nginx"
)

// proxied is a real HAProxy with weir's snippet, in front of a site.
type proxied struct{ address, socket, list string }

func startHAProxy(t *testing.T) *proxied {
	t.Helper()
	binary := found(t, "haproxy")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the site") }))
	t.Cleanup(site.Close)
	dir := t.TempDir()
	p := &proxied{address: freeAddress(t), socket: filepath.Join(dir, "s"), list: filepath.Join(dir, "weir.map")}
	global, frontend, counting := haproxy.Snippet(p.socket, p.list)
	conf := filepath.Join(dir, "haproxy.cfg")
	text := "global\n" + global + "defaults\nmode http\ntimeout client 30s\ntimeout server 30s\ntimeout connect 5s\n" +
		"frontend f\nbind " + p.address + "\n" + frontend + "default_backend b\nbackend b\nserver s " + strings.TrimPrefix(site.URL, "http://") + "\n" + counting
	for path, content := range map[string]string{p.list: "", conf: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(binary, "-db", "-f", conf)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	until(t, "HAProxy answers", func() bool { return p.status("127.0.0.9") == http.StatusOK })
	return p
}

// status is HAProxy's answer to a client of that address, 0 where there is none.
func (p *proxied) status(client string) int {
	q, err := http.NewRequest(http.MethodGet, "http://"+p.address+"/", nil)
	if err != nil {
		return 0
	}
	from := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
	answer, err := (&http.Transport{DisableKeepAlives: true, DialContext: from.DialContext}).RoundTrip(q)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// Panic off takes everything off nginx, HAProxy and the firewall of a machine, with weir there and
// with weir killed, and panic on brings it back. A restart of either brings nothing back.
func TestPanicOffOnEachKindOfEdge(t *testing.T) {
	needClickHouse(t)
	found(t, "nft")
	if !apart(t) {
		return
	}
	ip(t, "address", "add", "192.0.2.7/32", "dev", "lo")
	ip(t, "address", "add", "192.0.2.8/32", "dev", "lo")
	n, p := startEdge(t), startHAProxy(t)
	open, err := net.Listen("tcp", "127.0.0.1:8090") // what the firewall protects
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	connects := func(from string) bool {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		c, err := d.DialContext(ctx, "tcp", open.Addr().String())
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	data := filepath.Join(t.TempDir(), "data")
	config := n.config(t, data, fmt.Sprintf("haproxy: {socket: %q, map: %q}\nnftables: {ports: [8090]}\n", p.socket, p.list))
	// enforced is what each edge does to the client that is decided on; another is never touched.
	enforced := func() [3]bool {
		if n.status("192.0.2.8") != http.StatusOK || p.status("192.0.2.8") != http.StatusOK || !connects("192.0.2.8") {
			t.Fatal("a client that nobody has decided on is refused")
		}
		return [3]bool{n.answers("192.0.2.7", http.StatusForbidden), p.status("192.0.2.7") == http.StatusForbidden, !connects("192.0.2.7")}
	}
	all, none := [3]bool{true, true, true}, [3]bool{}
	want := func(what string, state [3]bool) {
		t.Helper()
		until(t, what, func() bool { return enforced() == state })
	}
	command := func(args ...string) string {
		t.Helper()
		out := mustWeir(t, append([]string{"--config", config}, args...)...)
		t.Logf("weir %s: %s", strings.Join(args, " "), out)
		return out
	}
	w := startWith(t, config)
	until(t, "weir takes decisions", func() bool {
		_, err := weir(t, "decisions", "list", "--data", data)
		return err == nil
	})
	command("decisions", "add", "--own", "client", "192.0.2.7")
	want("every edge refuses the client", all)
	command("panic", "off")
	if got := enforced(); got != none { // at once, not some time after it has said so
		t.Errorf("after panic off %v is enforced", got)
	}
	command("panic", "on")
	want("panic on brings it back", all)

	w.kill()
	if got := enforced(); got != all {
		t.Fatalf("with weir killed: %v, want each to keep what it has", got)
	}
	// An nginx that goes on with what it had is not called lifted.
	text, err := os.ReadFile(config)
	deaf := filepath.Join(t.TempDir(), "deaf.yml")
	if err == nil {
		err = os.WriteFile(deaf, regexp.MustCompile(`(?m)^  reload: .*$`).ReplaceAll(text, []byte(`  reload: ["true"]`)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	before := masters()
	_, err = weir(t, "--config", deaf, "panic", "off")
	if len(before) > 1 || len(masters()) > 1 { // a new worker of another one is taken for this one's
		t.Logf("other nginxes run on this machine, so that nothing is judged: %v", err)
	} else if err == nil || !strings.Contains(err.Error(), "still runs what it had") {
		t.Errorf("with an nginx that does not reload: %v", err)
	}
	if out := command("panic", "off"); !strings.Contains(out, "is not running here") {
		t.Errorf("it says %q", out)
	}
	if text, err := os.ReadFile(p.list); err != nil || strings.Contains(string(text), "block") {
		t.Errorf("what a HAProxy that starts anew reads: %v, %q", err, text)
	}
	if got := enforced(); got != none {
		t.Errorf("after panic off without weir %v is enforced", got)
	}
	w = startWith(t, config)
	until(t, "weir is there again", func() bool {
		out, err := weir(t, "decisions", "list", "--data", data)
		return err == nil && strings.Contains(out, "192.0.2.7")
	})
	if got := enforced(); got != none {
		t.Errorf("after a restart %v is enforced", got)
	}
	command("panic", "on")
	want("panic on brings it back after all", all)

	// An nginx that cannot be told is not called lifted.
	good, err := os.ReadFile(n.conf)
	if err == nil {
		err = os.WriteFile(n.conf, []byte("broken"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := weir(t, "--config", config, "panic", "off"); err == nil || !strings.Contains(err.Error(), "nginx still holds 1 decision") {
		t.Errorf("with nginx's configuration broken: %v", err)
	}
	if err := os.WriteFile(n.conf, good, 0o600); err != nil {
		t.Fatal(err)
	}
	want("nginx lets go once it is mended", none)
	w.end(t)
}

// masters are the nginxes of this machine that have workers.
func masters() map[string]bool {
	all := map[string]bool{}
	for _, master := range nginx.Workers() {
		all[master] = true
	}
	return all
}
