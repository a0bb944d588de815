package e2e

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-project/weir/sinks/nginx"
	"github.com/weir-project/weir/sinks/statuspage"
)

// TestStatusPageOfADeadApplication serves the page by a real nginx whose application and
// whose weir are dead: from a plain file, also to a client that a measure blocks.
func TestStatusPageOfADeadApplication(t *testing.T) {
	binary := findNginx(t)
	dir, err := os.MkdirTemp("", "weir-status-") // nginx's workers are another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	folder, weirDir := filepath.Join(dir, "www"), filepath.Join(dir, "weir")
	if err := statuspage.WriteFolder(folder, []statuspage.File{
		{Name: "api/v2/summary.json", Body: []byte(`{"page":{}}`)}, {Name: "feed.atom", Body: []byte("<feed/>")}, {Name: "index.html", Body: []byte("<p>All is not well.")},
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	snippet, err := os.ReadFile("../../deploy/nginx/statuspage.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(snippet), "/var/www/weir-status/", folder+"/")
	if text == string(snippet) {
		t.Fatal("the snippet names another folder than the documents do")
	}
	if err := os.WriteFile(filepath.Join(dir, "statuspage.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := nginx.Install(weirDir, nginx.SnippetOptions{}); err != nil {
		t.Fatal(err)
	}
	forHTTP, forServer := nginx.IncludeLines(weirDir)
	address, dead := freeAddress(t), freeAddress(t)
	conf := strings.NewReplacer("DIR", dir, "HTTP", forHTTP, "SERVER", forServer, "ADDRESS", address, "DEAD", dead).Replace(`daemon off; pid DIR/pid; error_log DIR/error.log;
events {}
http {
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  HTTP
  access_log DIR/access.log weir;
  map $http_x_blocked $weir_verdict { default ""; 1 "block i1-1"; }
  server {
    listen ADDRESS;
    include DIR/statuspage.conf;
    SERVER
    location / { proxy_pass http://DEAD; }
  }
}
`)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "-e", dir+"/error.log", "-p", dir, "-c", path)
	var said strings.Builder
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command(binary, "-e", dir+"/error.log", "-p", dir, "-c", path, "-s", "stop").Run()
		_ = command.Wait()
	})
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(path string, blocked bool) (int, string, http.Header) {
		q, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if blocked {
			q.Header.Set("X-Blocked", "1")
		}
		answer, err := client.Do(q)
		if err != nil {
			return 0, said.String(), nil
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16)) // what came is compared
		return answer.StatusCode, string(body), answer.Header
	}
	until(t, "nginx answers", func() bool { status, _, _ := get("/", false); return status != 0 })
	for _, c := range []struct {
		path, kind, body string
		blocked          bool
		status           int
	}{
		{"/", "", "", false, 502},
		{"/", "", "", true, 403},
		{"/status", "", "", false, 301},
		{"/status/", "text/html; charset=utf-8", "<p>All is not well.", false, 200},
		{"/status/", "text/html; charset=utf-8", "<p>All is not well.", true, 200},
		{"/status/feed.atom", "application/atom+xml; charset=utf-8", "<feed/>", false, 200},
		{"/status/api/v2/summary.json", "application/json; charset=utf-8", `{"page":{}}`, true, 200},
		{"/status/nothing", "", "", false, 404},
		{"/statuspage", "", "", true, 403},
		{"/status/../secret", "", "", false, 502},
		{"/status/%2e%2e/secret", "", "", false, 502},
		{"/status/..%2fsecret", "", "", false, 502},
	} {
		status, body, header := get(c.path, c.blocked)
		if status != c.status || c.status == 200 && (body != c.body || header.Get("Content-Type") != c.kind || header.Get("Cache-Control") == "") {
			t.Errorf("%s (blocked %v): %d %q %v, want %d", c.path, c.blocked, status, body, header, c.status)
		}
		if strings.Contains(body, "secret") && c.status == 200 {
			t.Errorf("%s shows what lies beside the folder", c.path)
		}
	}
}

// findNginx skips where a machine of one's own has no nginx.
func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no nginx: apt-get install nginx")
	}
	t.Skip("no nginx: apt-get install nginx")
	return ""
}
