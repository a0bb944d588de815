package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

// edge is a real nginx with weir's snippets included.
type edge struct {
	address, log, weirDir string
	conf                  string // nginx's
	program               string // a name for nginx that weir uses, of this edge alone
	test, reload          []string
}

// startEdge runs nginx for www.example.org until the test ends.
func startEdge(t *testing.T) *edge {
	t.Helper()
	binary := ""
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil && binary == "" {
			binary = path
		}
	}
	if binary == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no nginx: apt-get install nginx")
		}
		t.Skip("no nginx: apt-get install nginx")
	}
	dir := t.TempDir()
	e := &edge{address: freeAddress(t), log: filepath.Join(dir, "access.log"), weirDir: filepath.Join(dir, "weir")}
	if err := nginx.Install(e.weirDir, nginx.SnippetOptions{}); err != nil {
		t.Fatal(err)
	}
	forHTTP, forServer := nginx.IncludeLines(e.weirDir)
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; pid %[1]s/pid; user root;
events {}
http {
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;
  %[2]s
  access_log %[1]s/access.log weir;
  server { listen %[4]s; server_name www.example.org; %[3]s
    location / { return 200 "ok"; } }
}
`, dir, forHTTP, forServer, e.address)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e.conf, e.program = conf, filepath.Join(dir, "nginx")
	if err := os.Symlink(binary, e.program); err != nil {
		t.Fatal(err)
	}
	base := []string{e.program, "-e", dir + "/error.log", "-p", dir, "-c", conf}
	e.test, e.reload = append(base, "-t"), append(append([]string{}, base...), "-s", "reload")
	command := exec.Command(binary, base[1:]...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command(binary, append(base[1:], "-s", "stop")...).Run()
		_ = command.Wait()
	})
	until(t, "nginx answers", func() bool { return e.answers("192.0.2.1", http.StatusOK) })
	return e
}

// status is nginx's answer to a client, 0 where it does not answer.
func (e *edge) status(client string) int {
	q, err := http.NewRequest(http.MethodGet, "http://"+e.address+"/", nil)
	if err != nil {
		return 0
	}
	q.Host = "www.example.org"
	q.Header.Set("X-Forwarded-For", client)
	// A connection of its own: one kept alive may be an old worker's.
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// answers reports whether nginx answers a client so, several times in a row: after a
// reload old workers may still take a connection or two.
func (e *edge) answers(client string, status int) bool {
	for range 10 {
		if e.status(client) != status {
			return false
		}
	}
	return true
}

// config writes a configuration of weir for the edge.
func (e *edge) config(t *testing.T, data, more string) string {
	t.Helper()
	list := func(words []string) string { return `["` + strings.Join(words, `", "`) + `"]` }
	path := filepath.Join(t.TempDir(), "weir.yml")
	text := fmt.Sprintf("data: %s\nmode: enforce\nsources:\n  - file: %s\nhttp:\n  listen: %s\nnginx:\n  directory: %s\n  test: %s\n  reload: %s\n  min_reload_interval: 1s\n%s",
		data, e.log, freeAddress(t), e.weirDir, list(e.test), list(e.reload), more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// control asks a running weir by its socket.
func control(data string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(data, "weir.sock"))
	}}}
}

// TestDecisionsByHandAndTheirLease takes a decision by hand, sees nginx enforce it,
// lifts it, takes another, kills weir, and sees nginx go on answering and let go by
// itself when the lease ends.
func TestDecisionsByHandAndTheirLease(t *testing.T) {
	needClickHouse(t)
	e := startEdge(t)
	data := filepath.Join(t.TempDir(), "data")
	config := e.config(t, data, "  lease: 30s\n")
	w := startWith(t, config)
	until(t, "weir takes decisions", func() bool {
		_, err := weir(t, "decisions", "list", "--data", data)
		return err == nil
	})
	added := mustWeir(t, "decisions", "add", "--data", data, "--reason", "a test", "client", "198.51.100.7")
	id, _, _ := strings.Cut(added, ":")
	until(t, "nginx refuses the client", func() bool { return e.answers("198.51.100.7", http.StatusForbidden) })
	if status := e.status("198.51.100.8"); status != http.StatusOK {
		t.Errorf("another client gets %d", status)
	}
	until(t, "the edge says that it has stopped ten requests", func() bool {
		answer, err := control(data).Get("http://weir/api/edges")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var seen []schemas.EdgeReport
		return json.NewDecoder(answer.Body).Decode(&seen) == nil && len(seen) == 1 && len(seen[0].Parts) == 1 && seen[0].Parts[0].Matching >= 10
	})
	if out := mustWeir(t, "decisions", "list", "--data", data); !strings.Contains(out, id) {
		t.Errorf("not in the list: %s", out)
	}
	if out := mustWeir(t, "why", "--data", data, "198.51.100.7"); !strings.Contains(out, id) || !strings.Contains(out, "a test") {
		t.Errorf("weir why says %s", out)
	}
	until(t, "weir why tells what the decision did", func() bool {
		return strings.Contains(mustWeir(t, "why", "--data", data, id), "Did so far: block: ")
	})
	mustWeir(t, "decisions", "rm", "--data", data, id)
	until(t, "nginx lets the client in again", func() bool { return e.answers("198.51.100.7", http.StatusOK) })

	mustWeir(t, "decisions", "add", "--data", data, "prefix", "203.0.113.0/24")
	until(t, "nginx refuses the network", func() bool { return e.answers("203.0.113.9", http.StatusForbidden) })
	w.kill()
	killed := time.Now()
	if status := e.status("203.0.113.9"); status != http.StatusForbidden {
		t.Errorf("with weir killed nginx answers %d at once: the lease is not over", status)
	}
	until(t, "the lease ends", func() bool {
		if status := e.status("198.51.100.8"); status != http.StatusOK {
			t.Fatalf("with weir killed nginx answers %d to anybody", status)
		}
		return e.answers("203.0.113.9", http.StatusOK)
	})
	t.Logf("nginx let go %s after weir was killed", time.Since(killed).Round(time.Second))

	// Started again, weir puts back what is still in force.
	w = startWith(t, config)
	until(t, "nginx refuses the network again", func() bool { return e.answers("203.0.113.9", http.StatusForbidden) })
	w.end(t)
}
