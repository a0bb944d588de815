package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// findProgram looks for what a Debian package brings; without it a machine of one's own
// skips.
func findProgram(t *testing.T, pkg string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s: make setup", names[0])
	}
	t.Skipf("no %s: make setup, or apt-get install %s", names[0], pkg)
	return ""
}

// daemon starts a program that stays in the foreground, and stops it when the test ends.
// It reports what the program wrote where the test fails.
func daemon(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(name, args...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	command.Env = append(os.Environ(), env...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = command.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = command.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(name), out.String())
		}
	})
	return command
}

// recipe is a file of deploy/shippers with what is of this test put in place of what is
// of an ordinary machine.
func recipe(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy/shippers", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			t.Fatalf("deploy/shippers/%s has no %q", name, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

func writeTo(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// count asks the store of how many requests, and of how many numbers, a site has.
func countSite(t *testing.T, data, site string) string {
	t.Helper()
	out, err := weir(t, "sql", "--data", data, fmt.Sprintf("SELECT count(), uniqExact(path) FROM requests WHERE site = '%s'", site))
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(out, "\t", " ")
}

// metricOf is one of a running weir's metrics, summed over the labels that are not named.
func metricOf(t *testing.T, address, name, labels string) (sum float64) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return -1
	}
	for _, found := range regexp.MustCompile(`(?m)^`+name+`\{([^}]*)\} (\S+)$`).FindAllStringSubmatch(string(body), -1) {
		if x, err := strconv.ParseFloat(found[2], 64); err == nil && strings.Contains(found[1], labels) {
			sum += x
		}
	}
	return sum
}

// ask sends numbered requests to a server, over a few connections.
func ask(t *testing.T, address string, first, n int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: 10 * time.Second}
	work := make(chan int)
	failed := make(chan error, 4)
	for range 4 {
		go func() {
			var last error
			for i := range work {
				answer, err := client.Get(fmt.Sprintf("http://%s/n/%d", address, i))
				if err != nil {
					last = err
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			failed <- last
		}()
	}
	for i := range n {
		work <- first + i
	}
	close(work)
	for range 4 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

// pushedTo is a weir run whose sources are given in YAML.
func pushedTo(t *testing.T, sources string) (w *running, data, http string) {
	t.Helper()
	needClickHouse(t)
	dir := t.TempDir()
	data, http = filepath.Join(dir, "data"), freeAddress(t)
	config := writeTo(t, filepath.Join(dir, "weir.yml"), fmt.Sprintf("data: %s\nhttp: {listen: %q}\nsources:\n%s", data, http, sources))
	w = startWith(t, config)
	t.Cleanup(func() {
		if t.Failed() {
			_ = w.Process.Kill()
			<-w.done
			t.Logf("weir wrote:\n%s", w.log)
		}
	})
	until(t, "weir runs", func() bool { return strings.Contains(mustGet(http, "/healthz"), "ok") })
	return w, data, http
}

func mustGet(address, path string) string {
	answer, err := http.Get("http://" + address + path)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// TestNginxSendsItsLog has a real nginx send its log by UDP and to a unix socket, as
// deploy/shippers/nginx.conf says: every request arrives. To the socket it sends no more
// at once than Linux lets wait there by itself.
func TestNginxSendsItsLog(t *testing.T) {
	binary := findProgram(t, "nginx", "nginx", "/usr/sbin/nginx")
	dir := t.TempDir()
	udp, socket, first, second := freeAddress(t), filepath.Join(dir, "s"), freeAddress(t), freeAddress(t)
	w, data, metrics := pushedTo(t, fmt.Sprintf("  - {syslog: \"udp://%s\", site: udp.example.org}\n  - {syslog: \"unixgram://%s\", site: unix.example.org}\n", udp, socket))
	text := recipe(t, "nginx.conf", "/run/weir/syslog.sock", socket, "127.0.0.1:5514", udp, "nohostname weir;", "nohostname combined;")
	logs := regexp.MustCompile(`access_log syslog:.*;`).FindAllString(text, -1)
	if len(logs) != 2 {
		t.Fatalf("the recipe's logs: %q", logs)
	}
	conf := writeTo(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`daemon off; pid %[1]s/pid; user root;
events {}
http {
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; %[3]s location / { return 200 "ok"; } }
  server { listen %[4]s; %[5]s location / { return 200 "ok"; } }
}
`, dir, first, logs[0], second, logs[1]))
	daemon(t, nil, binary, "-e", dir+"/error.log", "-p", dir, "-c", conf)
	for _, address := range []string{first, second} {
		until(t, "nginx answers", func() bool { return strings.Contains(mustGet(address, "/n/0"), "ok") })
	}
	const many, few = 4000, 400
	ask(t, first, 1, many-1)
	for i := 0; i < few; i += 8 {
		until(t, "the socket is read", func() bool {
			return int(metricOf(t, metrics, "weir_listener_lines_total", "unixgram://")) == max(i, 1)
		})
		ask(t, second, max(i, 1), min(8, 8+i-max(i, 1)))
	}
	until(t, "every request that was sent to the socket is in ClickHouse once", func() bool {
		return countSite(t, data, "unix.example.org") == fmt.Sprintf("%d %d", few, few)
	})
	dropped := 0
	until(t, "every request that was sent by UDP is, but those that were dropped and counted", func() bool {
		dropped = int(metricOf(t, metrics, "weir_listener_dropped_total", "udp://"))
		return countSite(t, data, "udp.example.org") == fmt.Sprintf("%d %d", many-dropped, many-dropped)
	})
	t.Logf("%d requests by UDP, %d of them dropped and counted, and %d to the socket", many, dropped, few)
	w.end(t)
}

// numbered writes numbered lines of the time of now to a log.
func numbered(t *testing.T, path string, first, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&lines, "198.51.%d.%d - - [%s] \"GET /n/%d?q=\\x22%%25 HTTP/1.1\" 200 10 \"-\" \"a: <13>[b] {c}\"\n",
			i/250%250, i%250, time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), i)
	}
	if _, err := f.Write(lines.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// follows has a shipper follow a log while it grows, and looks for every line of it in
// ClickHouse.
func follows(t *testing.T, data, site, log string) {
	t.Helper()
	const n = 3000
	numbered(t, log, n/2, n/2)
	until(t, site+": every line is in ClickHouse once", func() bool {
		return countSite(t, data, site) == fmt.Sprintf("%d %d", n, n)
	})
}

// TestRsyslogDelivers has a real rsyslog follow a log and send it, as
// deploy/shippers/rsyslog.conf says.
func TestRsyslogDelivers(t *testing.T) {
	binary := findProgram(t, "rsyslog", "rsyslogd", "/usr/sbin/rsyslogd")
	dir := t.TempDir()
	address, log := freeAddress(t), filepath.Join(dir, "access.log")
	numbered(t, log, 0, 1500)
	w, data, _ := pushedTo(t, fmt.Sprintf("  - {syslog: \"tcp://%s\", site: rsyslog.example.org}\n", address))
	host, port, _ := strings.Cut(address, ":")
	conf := writeTo(t, filepath.Join(dir, "rsyslog.conf"), fmt.Sprintf("global(workDirectory=%q)\n", dir)+
		recipe(t, "rsyslog.conf", "/var/log/nginx/access.log", log, "5514", port, "127.0.0.1", host))
	daemon(t, nil, binary, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	follows(t, data, "rsyslog.example.org", log)
	w.end(t)
}

// TestSyslogNgDelivers has a real syslog-ng do the same.
func TestSyslogNgDelivers(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	unpacked := filepath.Join(cache, "weir/syslog-ng")
	binary := findProgram(t, "syslog-ng-core", "syslog-ng", "/usr/sbin/syslog-ng", filepath.Join(unpacked, "usr/sbin/syslog-ng"))
	dir := t.TempDir()
	address, log := freeAddress(t), filepath.Join(dir, "access.log")
	numbered(t, log, 0, 1500)
	w, data, _ := pushedTo(t, fmt.Sprintf("  - {syslog: \"tcp://%s\", site: syslogng.example.org}\n", address))
	host, port, _ := strings.Cut(address, ":")
	conf := writeTo(t, filepath.Join(dir, "syslog-ng.conf"), "@version: 3.38\n"+
		recipe(t, "syslog-ng.conf", "/var/log/nginx/access.log", log, "5514", port, "127.0.0.1", host))
	args := []string{"-F", "--no-caps", "-f", conf, "-p", dir + "/pid", "-R", dir + "/persist", "-c", dir + "/ctl"}
	if strings.HasPrefix(binary, unpacked) {
		modules := filepath.Join(unpacked, "usr/lib/syslog-ng/3.38")
		args = append(args, "--module-path", modules)
	}
	daemon(t, []string{"LD_LIBRARY_PATH=" + filepath.Join(unpacked, "usr/lib/syslog-ng")}, binary, args...)
	follows(t, data, "syslogng.example.org", log)
	w.end(t)
}

// TestCaddySendsItsLog has a real Caddy send its log, as deploy/shippers/Caddyfile says.
func TestCaddySendsItsLog(t *testing.T) {
	binary := findProgram(t, "caddy", "caddy")
	dir := t.TempDir()
	address, site := freeAddress(t), freeAddress(t)
	w, data, _ := pushedTo(t, fmt.Sprintf("  - {lines: \"tcp://%s\", site: caddy.example.org, format: caddy}\n", address))
	conf := writeTo(t, filepath.Join(dir, "Caddyfile"), "{\n\tadmin off\n}\n"+
		recipe(t, "Caddyfile", "127.0.0.1:5515", address, "www.example.org", "http://"+site))
	daemon(t, []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}, binary, "run", "--adapter", "caddyfile", "--config", conf)
	until(t, "Caddy answers", func() bool { return strings.Contains(mustGet(site, "/n/0"), "ok") })
	const n = 3000
	ask(t, site, 1, n-1)
	until(t, "every request is in ClickHouse once", func() bool {
		return countSite(t, data, "caddy.example.org") == fmt.Sprintf("%d %d", n, n)
	})
	w.end(t)
}
