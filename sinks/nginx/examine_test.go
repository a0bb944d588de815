package nginx

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dump is what the real nginx -T prints of a configuration.
func dump(t *testing.T, files map[string]string) (text []byte, root string) {
	t.Helper()
	binary := nginxPath(t)
	root = dirOf(t)
	if err := Install(filepath.Join(root, "weir"), SnippetOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "ROOT", root)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(binary, "-T", "-q", "-p", root, "-c", filepath.Join(root, "nginx.conf"))
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.Bytes())
	}
	return text, root
}

const examined = `pid ROOT/pid; error_log ROOT/error.log; MAIN
events { }
http {
  client_body_temp_path ROOT/t1; proxy_temp_path ROOT/t2; fastcgi_temp_path ROOT/t3; uwsgi_temp_path ROOT/t4; scgi_temp_path ROOT/t5;
  HTTP
  access_log ROOT/access.log FORMAT;
  map $http_user_agent $strange { default "a;b{c}#"; "~x\"{2}" 1; ~y${not} 2; }
  include ROOT/sites/*.conf;
}
`

// examineCase is a configuration, and what it lacks.
type examineCase struct {
	name    string
	files   map[string]string
	want    []string // of each finding a part, in order
	proxied bool
	version string
}

func (c *examineCase) about(root string) Examined {
	return Examined{Dir: filepath.Join(root, "weir"), Proxied: c.proxied, Version: c.version}
}

func TestWhatAConfigurationLacks(t *testing.T) {
	conf := func(main, http, format string) string {
		return strings.NewReplacer("MAIN", main, "HTTP", http, "FORMAT", format).Replace(examined)
	}
	const good = "worker_shutdown_timeout 60s;"
	for _, c := range []examineCase{
		{"nothing", map[string]string{
			"nginx.conf":   conf("worker_shutdown_timeout 60s;", "include weir/http.conf;", "weir"),
			"sites/a.conf": "server { listen unix:ROOT/s; server_name a.example b.example; include ROOT/weir/server.conf; return 200; }\nserver { listen unix:ROOT/s; server_name www.a.example; return 301 https://a.example$request_uri; }\nserver { listen unix:ROOT/s default_server; return 444; }",
		}, nil, false, ""},
		{"everything", map[string]string{
			"nginx.conf":   conf("", "set_real_ip_from 0.0.0.0/0;", "combined"),
			"sites/a.conf": "server {\n listen unix:ROOT/s;\n server_name a.example;\n location / { return 200; }\n}",
		}, []string{"everybody may say who he is", "server a.example lacks weir's snippet", "server a.example is not logged", "server a.example answers to any name", "http { } lacks", "worker_shutdown_timeout"}, false, ""},
		{"order", map[string]string{
			"nginx.conf":   conf("worker_shutdown_timeout 60s;", "include weir/http.conf;", "weir"),
			"sites/a.conf": "server { listen unix:ROOT/s; server_name a.example;\n if ($host = x) { return 404; }\n include ROOT/weir/server.conf; location / { } access_log off; }",
		}, []string{"server a.example answers before", "server a.example is not logged", "server a.example answers to any name"}, false, ""},
		{"late", map[string]string{
			"nginx.conf":   conf("worker_shutdown_timeout 60s;", "", "combined"),
			"sites/a.conf": "server { listen unix:ROOT/s; server_name a.example; location / { } }",
			"sites/b.conf": "include ROOT/weir/http.conf;",
		}, []string{"a server stands before include", "lacks weir's snippet", "is not logged", "answers to any name"}, false, ""},
		{"strange, but right", map[string]string{
			"nginx.conf":       "pid ROOT/pid; error_log ROOT/error.log;\nworker_shutdown_timeout 60s;\ninclude snip/even[t]s.conf;\ninclude \"ROOT/snip/web.inc\";\n",
			"snip/events.conf": "events\n{\n}\n",
			"snip/web.inc": `http
{
  log_format main '$remote_addr "$request" {$status} # no comment';
  map $http_user_agent $bad { hostnames; default 0; "~*(bot|crawl){1,2}" 1; '~x;y' 2; include snip/map.inc; }
  geo $office { default 0; 192.0.2.0/24 1; }
  include 'weir/http.conf'; # relative, and in quotes
  access_log ROOT/a.log main; access_log ROOT/b.log weir buffer=32k flush=1s;
  server { listen unix:ROOT/s1 default_server; server_name _; return 444; }
  server { listen unix:ROOT/s2; server_name a.example; include weir/server.con?;
    set $x "}"; if ($office) { return 200 x; } return 301 https://d.example$request_uri; }
  include sites/*/*.conf;
  server { listen unix:ROOT/s3 default_server; return 444; }
}
`,
			"snip/map.inc":      "y 3;",
			"sites/d/d.conf":    "server { listen unix:ROOT/s3; server_name d.example; include snip/common.inc; location / { if ($bad) { return 403; } } }",
			"snip/common.inc":   "error_page 404 /404.html; set_real_ip_from 10.0.0.0/8; include weir/server.conf; rewrite ^/old /new permanent;",
			"sites/unused.conf": "nonsense",
		}, nil, false, ""},
		{"not the same everywhere", map[string]string{
			"nginx.conf": conf(good, "include weir/http.conf;", "weir"),
			"sites/a.conf": `server { listen unix:ROOT/s; server_name a.example; include ROOT/weir/server.conf; set_real_ip_from ::/0;
  location ~* \.(css|js)$ { access_log off; expires 1d; }
  location / { location /api { access_log ROOT/api.log combined; } location /x { access_log ROOT/x.log weir; } }
}
server { listen unix:ROOT/s2; server_name b.example; location / { include ROOT/weir/server.conf; } }
server { listen unix:ROOT/s3; server_name c.example; set_real_ip_from 10.0.0.0/8; include ROOT/weir/server.conf; }
`,
		}, []string{"everybody may say who he is: set_real_ip_from ::/0", `does not log location ~* \.(css|js)$`, "does not log location /api", "server b.example lacks",
			"server b.example takes the proxies", "server a.example (and 2 more, each on an address of its own) answers to any name"}, true, "1.26.3"},
		{"limits", map[string]string{
			"nginx.conf":   conf(good, "include weir/http.conf; limit_req_zone $binary_remote_addr zone=own:1m rate=1r/s;", "weir"),
			"sites/a.conf": "server { listen unix:ROOT/s; include ROOT/weir/server.conf; location /login { limit_req zone=own; } }",
		}, []string{"keepalive_min_timeout is not set", "limit_req is the site's own", "server (no name) answers to any name"}, false, "1.28.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text, root := dump(t, c.files)
			found, err := Examine(text, c.about(root))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != len(c.want) {
				t.Fatalf("found %+v, want %q", found, c.want)
			}
			for i, f := range found {
				if !strings.Contains(f.What, c.want[i]) || f.Where == "" {
					t.Errorf("%+v, want %q", f, c.want[i])
				}
				if strings.HasPrefix(f.What, "server a.example lacks") && f.Where != root+"/sites/a.conf:1" {
					t.Errorf("it stands at %s", f.Where)
				}
			}
		})
	}
	if _, err := Examine([]byte("nginx: not found"), Examined{Dir: "/etc/nginx/weir"}); err == nil {
		t.Error("what is no configuration is taken")
	}
}

// Whatever a configuration holds, reading it ends, in order.
func FuzzExamine(f *testing.F) {
	f.Add("# configuration file /etc/nginx/nginx.conf:\nhttp { server { include x; } }")
	f.Add("# configuration file a:\ninclude a;\n# configuration file b:\n{{{}}\"\\")
	f.Fuzz(func(t *testing.T, dump string) {
		_, _ = Examine([]byte(dump), Examined{Dir: "/etc/nginx/weir", Proxied: true, Version: "1.28.0"}) // only that it ends
	})
}
