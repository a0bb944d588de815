package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestVitalsAreSeen holds connections to a real nginx that never become requests: its log
// says nothing, and weir shows them, by its API, its metrics and SQL.
func TestVitalsAreSeen(t *testing.T) {
	binary := findProgram(t, "nginx", "nginx", "/usr/sbin/nginx")
	needClickHouse(t)
	dir := t.TempDir()
	address, api, data, socket := freeAddress(t), freeAddress(t), filepath.Join(dir, "data"), filepath.Join(dir, "status")
	conf := writeTo(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`daemon off; pid %[1]s/pid; user root;
events {}
http {
  access_log %[1]s/access.log; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; location / { return 200 "ok"; } }
  server { listen unix:%[3]s; access_log off; location = /nginx_status { stub_status; } }
}
`, dir, address, socket))
	daemon(t, nil, binary, "-e", dir+"/error.log", "-p", dir, "-c", conf)
	w := startWith(t, writeTo(t, filepath.Join(dir, "weir.yml"), fmt.Sprintf(
		"data: %s\nhttp: {listen: %q}\nedge: {name: web1}\nvitals: {nginx_status: \"http://unix:%s:/nginx_status\"}\nsources:\n  - file: %s/access.log\n", data, api, socket, dir)))
	latest := func() (v schemas.Vitals) {
		var all []schemas.Vitals
		if json.Unmarshal([]byte(mustGet(api, "/api/vitals")), &all) == nil && len(all) == 1 && all[0].Edge == "web1" {
			return all[0]
		}
		return schemas.Vitals{}
	}
	until(t, "nginx's vitals come", func() bool { v := latest(); return v.Nginx != nil && v.Nginx.Answered && v.Interval > 0 })
	const held = 60
	for range held {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the connections are seen", func() bool { v := latest(); return v.Nginx != nil && v.Nginx.Reading >= held })
	if got := mustGet(api, "/metrics"); !strings.Contains(got, `weir_vitals_nginx_connections{state="reading"}`) || !strings.Contains(got, "weir_vitals_nginx_up 1") {
		t.Error("the metrics do not have them")
	}
	until(t, "they are in ClickHouse", func() bool {
		out, err := weir(t, "sql", "--data", data, fmt.Sprintf("SELECT max(nginx_reading) >= %d AND sum(nginx_accepted) >= %d AND count() > 5 FROM vitals WHERE edge = 'web1'", held, held))
		return err == nil && out == "1"
	})
	if got := mustWeir(t, "sql", "--data", data, "SELECT count() FROM requests"); got != "0" {
		t.Errorf("%s requests were logged", got)
	}
	w.end(t)
}
