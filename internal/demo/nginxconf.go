package demo

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// NginxSite is a site that nginx answers for.
type NginxSite struct {
	Name    string
	Timeout time.Duration // after which it gives up on the application: 504
}

// NginxOptions are what an Nginx is made of.
type NginxOptions struct {
	Binary string // "" is found in PATH or /usr/sbin
	Dir    string // its own prefix: an existing folder, absolute
	Port   int    // 0 is a free one of loopback
	// Host is the address that it listens on, and Visitors whom it believes from where a
	// request comes; both are loopback where they are "".
	Host, Visitors string
	// Prefix begins every command, such as one that enters a namespace; it has Port then.
	Prefix []string
	// Application is where requests are passed on to, host:port.
	Application string
	Sites       []NginxSite
	// HTTP and Server are files to include in http{} and in every server{}: weir's
	// snippets. "" includes none; without HTTP the log format weir is defined here.
	HTTP, Server string
}

// plainFormat stands in where weir's own snippet is not included: the same log
// with nothing decided.
const plainFormat = `  map "" $weir_action { default ""; }
  map "" $weir_decision { default ""; }
  map $http_cookie $weir_cookie { "" ""; default 1; }
  log_format weir escape=json
    '{"time":"$msec","host":"$host","client":"$remote_addr","method":"$request_method",'
    '"uri":"$request_uri","protocol":"$server_protocol","status":$status,"bytes":$body_bytes_sent,'
    '"duration":$request_time,"upstream_duration":"$upstream_response_time","referer":"$http_referer",'
    '"user_agent":"$http_user_agent","accept_language":"$http_accept_language",'
    '"accept_encoding":"$http_accept_encoding","tls":"$ssl_protocol $ssl_cipher $ssl_curves",'
    '"cookie":"$weir_cookie","action":"$weir_action","decision":"$weir_decision",'
    '"request_id":"$request_id"}';
`

// nginxConf is the whole configuration. Why it is as it is:
//   - no upstream keepalive and proxy_next_upstream off: one request is one arrival
//     at the application, never two;
//   - bodies and answers stay in memory: the folder may be readable to root alone;
//   - the default server answers nobody but the one who waits for nginx to be
//     ready: its answer names this nginx, so that another one on the same port is
//     not taken for it.
var nginxConf = template.Must(template.New("nginx.conf").Funcs(template.FuncMap{"quote": quoteNginx}).Parse(`# Written by weir demo. Removed with its folder.
daemon off;
pid {{quote .Pid}};
error_log {{quote .ErrorLog}} warn;
worker_processes 1;
worker_shutdown_timeout 5s;

events {
  worker_connections 4096;
}

http {
  default_type text/html;
  server_tokens off;
  keepalive_timeout 30s;
  client_max_body_size 64k;
  client_body_buffer_size 64k;
  client_body_temp_path {{quote .Temp}};
  proxy_temp_path {{quote .Temp}};
  fastcgi_temp_path {{quote .Temp}};
  uwsgi_temp_path {{quote .Temp}};
  scgi_temp_path {{quote .Temp}};

  # The simulated clients: their own address alone may say whom a request comes from.
  set_real_ip_from {{.Visitors}};
  real_ip_header X-Forwarded-For;

{{if .HTTP}}  include {{quote .HTTP}};
{{else}}{{.PlainFormat}}{{end}}
  access_log {{quote .AccessLog}} weir;

  proxy_http_version 1.0;
  proxy_set_header Connection close;
  proxy_set_header Host $host;
  proxy_next_upstream off;
  proxy_connect_timeout 5s;
  proxy_max_temp_file_size 0;
  proxy_buffers 8 8k;

  server {
    listen {{.Host}}:{{.Port}} default_server;
    access_log off;
    location = {{.ReadyPath}} { return 200 "{{.Token}}"; }
    location / { return 444; }
  }
{{range .Sites}}
  server {
    listen {{$.Host}}:{{$.Port}};
    server_name {{quote .Name}};
{{- if $.Server}}
    include {{quote $.Server}};
{{- end}}
    location / {
      proxy_read_timeout {{.Milliseconds}}ms;
      proxy_send_timeout {{.Milliseconds}}ms;
      proxy_pass http://{{$.Application}};
    }
  }
{{end}}}
`))

type confSite struct {
	Name         string
	Milliseconds int64
}

type confData struct {
	NginxOptions
	Pid, ErrorLog, AccessLog, Temp string
	ReadyPath, Token, PlainFormat  string
	Sites                          []confSite
}

const readyPath = "/weir-demo-ready"

func (n *Nginx) conf() (string, error) {
	o := &n.options
	data := confData{
		NginxOptions: *o, Pid: n.path("nginx.pid"), ErrorLog: n.path("error.log"), AccessLog: n.AccessLog(),
		Temp: n.path("temp"), ReadyPath: readyPath, Token: n.token, PlainFormat: plainFormat,
	}
	for _, s := range o.Sites {
		timeout := s.Timeout
		if timeout <= 0 {
			timeout = time.Minute
		}
		data.Sites = append(data.Sites, confSite{s.Name, max(timeout.Milliseconds(), 1)})
	}
	var b strings.Builder
	if err := nginxConf.Execute(&b, data); err != nil {
		return "", fmt.Errorf("demo: write nginx's configuration: %w", err)
	}
	return b.String(), nil
}

func (n *Nginx) path(name string) string { return filepath.Join(n.options.Dir, name) }

// quoteNginx writes a text as one word of a configuration. A '$' would begin a
// variable and cannot be escaped; validate has refused it.
func quoteNginx(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
