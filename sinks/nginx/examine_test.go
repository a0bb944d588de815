package nginx

import (
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
	text, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
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

func TestWhatAConfigurationLacks(t *testing.T) {
	conf := func(main, http, format string) string {
		return strings.NewReplacer("MAIN", main, "HTTP", http, "FORMAT", format).Replace(examined)
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string // of each finding a part, in order
	}{
		{"nothing", map[string]string{
			"nginx.conf":   conf("worker_shutdown_timeout 60s;", "include weir/http.conf;", "weir"),
			"sites/a.conf": "server { listen unix:ROOT/s; server_name a.example b.example; include ROOT/weir/server.conf; return 200; }\nserver { listen unix:ROOT/s; server_name www.a.example; return 301 https://a.example$request_uri; }",
		}, nil},
		{"everything", map[string]string{
			"nginx.conf":   conf("", "set_real_ip_from 0.0.0.0/0;", "combined"),
			"sites/a.conf": "server {\n listen unix:ROOT/s;\n server_name a.example;\n location / { return 200; }\n}",
		}, []string{"everybody may say who he is", "server a.example lacks weir's snippet", "server a.example is not logged", "http { } lacks", "worker_shutdown_timeout"}},
		{"order", map[string]string{
			"nginx.conf":   conf("worker_shutdown_timeout 60s;", "include weir/http.conf;", "weir"),
			"sites/a.conf": "server { listen unix:ROOT/s; server_name a.example;\n if ($host = x) { return 404; }\n include ROOT/weir/server.conf; location / { } access_log off; }",
		}, []string{"server a.example answers before", "server a.example is not logged"}},
		{"late", map[string]string{
			"nginx.conf":   conf("worker_shutdown_timeout 60s;", "", "combined"),
			"sites/a.conf": "server { listen unix:ROOT/s; server_name a.example; location / { } }",
			"sites/b.conf": "include ROOT/weir/http.conf;",
		}, []string{"a server stands before include", "lacks weir's snippet", "is not logged"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text, root := dump(t, c.files)
			found, err := Examine(text, filepath.Join(root, "weir"))
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
	if _, err := Examine([]byte("nginx: not found"), "/etc/nginx/weir"); err == nil {
		t.Error("what is no configuration is taken")
	}
}

// Whatever a configuration holds, reading it ends, in order.
func FuzzExamine(f *testing.F) {
	f.Add("# configuration file /etc/nginx/nginx.conf:\nhttp { server { include x; } }")
	f.Add("# configuration file a:\ninclude a;\n# configuration file b:\n{{{}}\"\\")
	f.Fuzz(func(t *testing.T, dump string) {
		_, _ = Examine([]byte(dump), "/etc/nginx/weir") // only that it ends
	})
}
