package accesslog

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// realFormats are written by a real nginx for the same requests; the agent and the
// referer of every line must be what was sent.
var realFormats = []string{
	`log_format f0 '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time';`,
	`log_format f1 escape=json '{"t":$msec,"ip":"$remote_addr","r":"$request","s":$status,"b":$body_bytes_sent,"ref":"$http_referer","ua":"$http_user_agent","l":"$http_accept_language"}';`,
	`log_format f2 '$time_iso8601\t$remote_addr\t$request_method\t$request_uri\t$status\t$http_referer\t$http_user_agent\t$upstream_response_time';`,
	`log_format f3 escape=none '$msec [$remote_addr] "$request" $status "$http_referer" "$http_user_agent"';`,
}

var hostileValues = []string{"plain/1.0 (x)", `a" 200 "b`, `back\slash\x41\n\`, "tab\there", "\xff\xfe é", `{"x":"\u0000"}`, "-", "x 1 2 3 [17/May/2015:10:05:03 +0000]"}

func hostileQuery(n int) string { return []string{"c=d", `c="d"`}[n%2] }

func TestRealNginx(t *testing.T) {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	address := startNginx(t, binary, dir)
	for n, value := range hostileValues {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(connection, "GET /a%%20b?%s HTTP/1.1\r\nHost: x.org\r\nUser-Agent: %s\r\nReferer: %s\r\nConnection: close\r\n\r\n", hostileQuery(n), value, value)
		if _, err := io.ReadAll(connection); err != nil { // nginx logs before it closes
			t.Fatal(err)
		}
		connection.Close()
	}
	for i, text := range realFormats {
		lines, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("f%d.log", i)))
		if err != nil {
			t.Fatal(err)
		}
		parser := New(mustFormat(t, text))
		for n, line := range bytes.Split(bytes.TrimSuffix(lines, []byte("\n")), []byte("\n")) {
			var r schemas.Request
			reason := parser.Parse(line, &r)
			if i == 3 && reason != None && strings.Contains(hostileValues[n]+hostileQuery(n), `"`) {
				continue // nothing can be told from it
			}
			want := hostileValues[n]
			if want == "-" && i != 1 {
				want = string(r.UserAgent) // nothing or a dash: nginx writes the same
			}
			if reason != None || r.Status != 204 || r.Client.String() != "127.0.0.1" || string(r.Path) != "/a%20b" || string(r.Query) != hostileQuery(n) ||
				string(r.Method) != "GET" || string(r.UserAgent) != want || string(r.Referer) != want {
				t.Errorf("%s: %s: %s: %+v", text, line, reason, plainOf(&r))
			}
		}
	}
}

// startNginx runs nginx on loopback until the test ends, one log a format.
func startNginx(t *testing.T, binary, dir string) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	listener.Close()
	logs := ""
	for i := range realFormats {
		logs += fmt.Sprintf("access_log %s/f%d.log f%d;\n", dir, i, i)
	}
	temporary := ""
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("%s_temp_path %s/%s;\n", name, dir, name)
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	configuration := fmt.Sprintf("%s\nworker_processes 1; pid %s/pid; error_log %s/error.log;\nevents {}\nhttp {\n%s%s%s\nserver { listen %s; location / { return 204; } }\n}\n",
		user, dir, dir, temporary, strings.Join(realFormats, "\n"), "\n"+logs, address)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	command := exec.Command(binary, "-p", dir, "-c", file, "-e", dir+"/error.log", "-g", "daemon off;")
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx: %v: %s", err, said.String())
		default:
			runtime.Gosched()
		}
	}
	return address
}
