package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// TestRescueSnippetInRealNginx has a real nginx answer an attack's and visitors'
// requests with the snippet pasted in: it must take it, stop at least 85 % of the
// attack and refuse at most 1 % of the visitors' requests.
func TestRescueSnippetInRealNginx(t *testing.T) {
	binary := needNginx(t)
	log := story(t, 105, "--hours", "3", "--tail", "0s")
	out := weirRun(t, "rescue", "--quiet", log)
	if !strings.Contains(out, "www.example.org") || !strings.Contains(out, "at most") {
		t.Errorf("the screen does not name the site and the collateral:\n%s", out)
	}
	http, server, ok := strings.Cut(out[strings.Index(out, "# weir rescue, for http"):], "# weir rescue, for server")
	if !ok {
		t.Fatalf("no snippet in two parts:\n%s", out)
	}
	// Loopback has neither TLS nor HTTP/2: what nginx knows of them comes by header.
	for _, variable := range []string{"ssl_protocol", "ssl_cipher", "ssl_curves", "server_protocol"} {
		http = strings.ReplaceAll(http, "$"+variable, "$http_x_"+variable)
	}
	address := startNginx(t, binary, fmt.Sprintf("%s\nserver { listen 127.0.0.1:PORT; server_name www.example.org;\n%s\nlocation / { return 200; } }", http, "#"+server))
	attack, visitors := sampleLines(t, log, 400)
	stopped, refused := refusals(t, address, attack), refusals(t, address, visitors)
	t.Logf("nginx stopped %d of %d of the attack's requests and %d of %d of the visitors'", stopped, len(attack), refused, len(visitors))
	if float64(stopped) < 0.85*float64(len(attack)) {
		t.Errorf("stopped %d of %d of the attack's requests, want at least 85 %%", stopped, len(attack))
	}
	if float64(refused) > 0.01*float64(len(visitors)) {
		t.Errorf("refused %d of %d of the visitors' requests, want at most 1 %%", refused, len(visitors))
	}
}

// needNginx finds nginx, or skips where a machine of one's own has none.
func needNginx(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"nginx", "/usr/sbin/nginx"} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no nginx: apt-get install nginx")
	}
	t.Skip("no nginx: apt-get install nginx")
	return ""
}

// startNginx runs nginx with text in its http{}, PORT being replaced, until the test
// ends, and returns where it answers.
func startNginx(t *testing.T, binary, text string) (address string) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	address = fmt.Sprintf("127.0.0.1:%d", port)
	text = strings.ReplaceAll(text, "PORT", fmt.Sprint(port))
	full := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;\nevents {}\nhttp { access_log off; map_hash_bucket_size 256;\nclient_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;\nset_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;\n%[2]s\n}\n", dir, text)
	if err := os.WriteFile(conf, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "-t", "-e", dir+"/error.log", "-p", dir, "-c", conf).CombinedOutput(); err != nil {
		t.Fatalf("nginx refuses it: %s", out)
	}
	nginx := exec.Command(binary, "-e", dir+"/error.log", "-p", dir, "-c", conf)
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nginx.Process.Kill(); _ = nginx.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatal("nginx does not answer")
		}
	}
}

// sampleLines are requests of the attack, and of visitors at the attacked site, from
// the log's end.
func sampleLines(t *testing.T, log string, n int) (attack, visitors []schemas.Request) {
	t.Helper()
	lines := bytes.Split(read(t, log), []byte("\n"))
	truth := bytes.Split(read(t, log+".truth.tsv"), []byte("\n"))[1:]
	for i := len(lines) - 2; i >= 0 && (len(attack) < n || len(visitors) < n); i-- {
		fields := bytes.Split(truth[i], []byte("\t"))
		kind := string(fields[2])
		if string(fields[1]) != "www.example.org" || kind == "scanner" {
			continue
		}
		var r schemas.Request
		if reason := accesslog.New(accesslog.Weir).Parse(lines[i], &r); reason != accesslog.None {
			t.Fatalf("line %d: %s", i, reason)
		}
		if kind == "bot" && len(attack) < n {
			attack = append(attack, r)
		} else if kind != "bot" && len(visitors) < n {
			visitors = append(visitors, r)
		}
	}
	return attack, visitors
}

// refusals sends requests as they were logged and counts answers of 403 and 429.
func refusals(t *testing.T, address string, requests []schemas.Request) (refused int) {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	for _, r := range requests {
		q, err := http.NewRequest(string(r.Method), "http://"+address, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.URL.Opaque = string(r.Path)
		q.URL.RawQuery = string(r.Query)
		q.Host = string(r.Site)
		q.Header.Set("X-Forwarded-For", r.Client.String())
		q.Header["User-Agent"] = []string{string(r.UserAgent)}
		for name, value := range map[string][]byte{"Referer": r.Referer, "Accept-Language": r.AcceptLanguage, "Accept-Encoding": r.AcceptEncoding} {
			if len(value) > 0 {
				q.Header.Set(name, string(value))
			}
		}
		tls := append(strings.Fields(string(r.TLS)), "", "", "")
		for i, name := range []string{"X-Ssl-Protocol", "X-Ssl-Cipher", "X-Ssl-Curves"} {
			q.Header.Set(name, tls[i])
		}
		q.Header.Set("X-Server-Protocol", string(r.Protocol))
		if r.Cookie == schemas.CookieSome {
			q.Header.Set("Cookie", "a=b")
		}
		answer, err := transport.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	return refused
}
