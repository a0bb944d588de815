package nginx

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The names of the two snippets that a person includes.
const (
	HTTPName   = "http.conf"
	ServerName = "server.conf"
)

// SnippetOptions are the choices of whoever runs the site.
type SnippetOptions struct {
	// Silent closes the connection of a blocked request without an answer
	// (nginx's 444) instead of a 403 with a reference to quote.
	Silent bool
	// Challenge is a named location of the site's own, such as "@anubis", that
	// answers a challenged request; it must be in every server that includes
	// server.conf, and finds the request in $request_uri. Empty: 429, as throttle.
	Challenge string
}

const httpSnippet = `# weir, for http { }: what an edge logs, and what it does. Include it once,
# before the servers. It works before weir has ever run, and without it.

# These hold where current.conf is empty or missing; it defines them anew.
map "" $weir_verdict {
    default "";
}
map "" $weir_version {
    default none;
}

# 1 in servers that include server.conf: only there anything is enforced.
map "" $weir_enforced {
    default "";
}

include %s/current[.]conf;

map "$weir_enforced $weir_verdict" $weir_action {
    default allow;
    "~^1 block " block;
    "~^1 challenge " challenge;
    "~^1 throttle " throttle;
}
map "$weir_enforced $weir_verdict" $weir_decision {
    default "";
    "~^1 [a-z]+ (.+)\z" $1;
}

# Whether the request carries any cookie, never its value.
map $http_cookie $weir_cookie {
    default 1;
    "" "";
}

log_format weir escape=json
  '{"time":"$msec","host":"$host","client":"$remote_addr","method":"$request_method",'
  '"uri":"$request_uri","protocol":"$server_protocol","status":$status,"bytes":$body_bytes_sent,'
  '"duration":$request_time,"upstream_duration":"$upstream_response_time","referer":"$http_referer",'
  '"user_agent":"$http_user_agent","accept_language":"$http_accept_language",'
  '"accept_encoding":"$http_accept_encoding","tls":"$ssl_protocol $ssl_cipher $ssl_curves",'
  '"cookie":"$weir_cookie","action":"$weir_action","decision":"$weir_decision",'
  '"request_id":"$request_id"}';
`

const serverSnippet = `# weir, for server { }: include it first in each server that weir protects.
set $weir_enforced 1;
if ($weir_action = block) {
    rewrite ^ /.weir/block last;
}
if ($weir_action = challenge) {
    rewrite ^ /.weir/challenge last;
}
if ($weir_action = throttle) {
    rewrite ^ /.weir/throttle last;
}
location = /.weir/block {
    internal;
    default_type text/plain;
    add_header Cache-Control no-store always;
    %s
}
location = /.weir/challenge {
    internal;
    default_type text/plain;
    add_header Cache-Control no-store always;
    %s
}
location = /.weir/throttle {
    internal;
    default_type text/plain;
    add_header Cache-Control no-store always;
    add_header Retry-After 30 always;
    %s
}
`

const (
	answerBlock    = `return 403 "This request was refused to protect the site.\nIf you are a visitor, please tell the site this reference: $weir_decision\n";`
	answerThrottle = `return 429 "The site is very busy. Please try again in half a minute.\nReference: $weir_decision\n";`
)

// HTTPSnippet is what to include in http { }, for decisions in dir.
func HTTPSnippet(dir string) string { return fmt.Sprintf(httpSnippet, dir) }

// ServerSnippet is what to include in each server { }.
func ServerSnippet(o SnippetOptions) (string, error) {
	block, challenge := answerBlock, "add_header Retry-After 30 always;\n    "+answerThrottle
	if o.Silent {
		block = "return 444;"
	}
	if o.Challenge != "" {
		name, ok := strings.CutPrefix(o.Challenge, "@")
		if err := checkID(name); !ok || err != nil {
			return "", fmt.Errorf("nginx challenge location %q: want a named location such as @challenge", o.Challenge)
		}
		challenge = "error_page 418 = " + o.Challenge + ";\n    return 418;"
	}
	return fmt.Sprintf(serverSnippet, block, challenge, answerThrottle), nil
}

// IncludeLines are the two lines to paste into an nginx configuration: the first
// into http { }, the second into each server { }.
func IncludeLines(dir string) (http, server string) {
	return "include " + filepath.Join(dir, HTTPName) + ";", "include " + filepath.Join(dir, ServerName) + ";"
}

// Install makes dir and writes the two snippets into it. It touches nothing that
// is in force, so it can be run again at any time.
func Install(dir string, o SnippetOptions) error {
	if err := checkDir(dir); err != nil {
		return err
	}
	server, err := ServerSnippet(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("nginx directory: %w", err)
	}
	d := directory{path: dir}
	if err := d.write(HTTPName, []byte(HTTPSnippet(dir))); err != nil {
		return err
	}
	return d.write(ServerName, []byte(server))
}
