package nginx

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	// server.conf, and finds the request in $request_uri. ScriptChallenge: weir's own
	// page. Empty: 429, as throttle.
	Challenge string
	// UnknownRate is how many requests a minute of each site pass, of those for pages that
	// it is not known to have, where a decision throttles them; 0: none. Without it the
	// snippets have no limit_req. See [OwnLimit].
	UnknownRate int
}

// ScriptChallenge is a page that sets a cookie by a script and asks again. It keeps out
// what runs no script; it is no proof of work.
const ScriptChallenge = "script"

// ChallengeName is the file with the secret of weir's own challenge.
const ChallengeName = "challenge.conf"

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

# 1 where the visitor has passed weir's own challenge, where that is wanted.
map "" $weir_passed {
    default "";
}

include %s/current[.]conf;
include %s/challenge[.]conf;

%s

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

// verdictSnippet is what is done, where all that a decision throttles is refused.
const verdictSnippet = `map "$weir_enforced$weir_passed $weir_verdict" $weir_action {
    default allow;
    "~^11? block " block;
    "~^1 challenge " challenge;
    "~^11? throttle " throttle;
}
map "$weir_enforced$weir_passed $weir_verdict" $weir_decision {
    default "";
    "~^1 [a-z]+ (.+)\z" $1;
    "~^11 (?:allow|block|throttle) (.+)\z" $1;
}`

// limitSnippet is the same with a limit for pages that sites are not known to have. The
// site's zone has one key a site, so that a botnet of ever new addresses shares one budget; the
// client's keeps one busy client from using it up. A zone's key must be the same as long as
// nginx runs: it refuses another on a reload. What is done is known only after limit_req has
// counted, so $weir_action is for the log, and $weir_refuse for the server.
const limitSnippet = `# Where a decision throttles pages that the site is not known to have, these pass:
# %[1]d a minute of each site. The rest is answered 429. Known pages are never counted.
map "$weir_enforced $weir_verdict" $weir_unknown {
    default "";
    "~^1 limit " $host;
}
map "$weir_enforced $weir_verdict" $weir_unknown_client {
    default "";
    "~^1 limit " $binary_remote_addr;
}
limit_req_zone $weir_unknown_client zone=weir_unknown_client:1m rate=2r/m;
limit_req_zone $weir_unknown zone=weir_unknown:1m rate=%[1]dr/m;
limit_req zone=weir_unknown_client burst=1 nodelay;
limit_req zone=weir_unknown burst=3 nodelay;
limit_req_status 429;
limit_req_log_level info;

map "$weir_enforced$weir_passed $weir_verdict" $weir_refuse {
    default "";
    "~^11? block " block;
    "~^1 challenge " challenge;
    "~^11? throttle " throttle;
}
map "$limit_req_status $weir_enforced$weir_passed $weir_verdict" $weir_action {
    default allow;
    "~^[A-Z_]* 11? block " block;
    "~^[A-Z_]* 1 challenge " challenge;
    "~^[A-Z_]* 11? throttle " throttle;
    "~^REJECTED 11? limit " throttle;
}
map "$limit_req_status $weir_enforced$weir_passed $weir_verdict" $weir_decision {
    default "";
    "~^[A-Z_]* 1 (?:allow|block|challenge|throttle) (.+)\z" $1;
    "~^[A-Z_]* 11 (?:allow|block|throttle) (.+)\z" $1;
    "~^REJECTED 11? limit (.+)\z" $1;
}`

const serverSnippet = `# weir, for server { }: include it first in each server that weir protects.
set $weir_enforced 1;
if (%[1]s = block) {
    rewrite ^ /.weir/block last;
}
if (%[1]s = challenge) {
    rewrite ^ /.weir/challenge last;
}
if (%[1]s = throttle) {
    rewrite ^ /.weir/throttle last;
}
location = /.weir/block {
    internal;
    default_type text/plain;
    add_header Cache-Control no-store always;
    %[2]s
}
location = /.weir/challenge {
    internal;
    default_type %[3]s;
    add_header Cache-Control no-store always;
    %[4]s
}
location = /.weir/throttle {
    internal;
    default_type text/plain;
    add_header Cache-Control no-store always;
    add_header Retry-After 30 always;
    %[5]s
}
`

const (
	answerBlock    = `return 403 "This request was refused to protect the site.\nIf you are a visitor, please tell the site this reference: $weir_decision\n";`
	answerThrottle = `return 429 "The site is very busy. Please try again in half a minute.\nReference: $weir_decision\n";`
)

// answerScript is the page of weir's own challenge. It gives up after three times within a minute of
// each other, so that a browser that keeps no cookie does not ask for ever; who comes to it later has
// passed meanwhile, which no script of this page is there to note. Nothing in it comes from the request but
// the client's address.
const answerScript = `return 403 '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>One moment</title>` +
	`<p>One moment, please: the site is under attack, and looks whether you are a browser.</p>` +
	`<p id="no">This needs JavaScript and cookies. If it goes on, please tell the site this reference: $weir_decision</p>` +
	`<script>var t=Date.now(),s=(sessionStorage.weir||"").split("@"),n=t-s[1]<60000?+s[0]:0;document.cookie="weir_pass="+["$weir_secret_tail","$weir_secret_head"].reverse().join("")+".$remote_addr;path=/;max-age=3600;samesite=lax";` +
	`if(n<3&&document.cookie.indexOf("weir_pass=")>=0){sessionStorage.weir=n+1+"@"+t;document.getElementById("no").hidden=true;location.reload()}</script>';`

// challengeSnippet is challenge.conf: the cookie of weir's own challenge counts for the
// address that it was given to.
const challengeSnippet = `# Written by weir: the secret of its challenge. Remove this file to have another.
map "" $weir_secret_head {
    default %[1]s;
}
map "" $weir_secret_tail {
    default %[2]s;
}
map "$cookie_weir_pass $remote_addr" $weir_passed {
    default "";
    "~^%[1]s%[2]s\\.([0-9A-Fa-f.:]+) \\1\\z" 1;
}
`

// installChallenge writes the secret where weir's own challenge is wanted and there is
// none, and takes it away where it is not.
func installChallenge(d directory, wanted bool) error {
	path := filepath.Join(d.path, ChallengeName)
	if !wanted {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("nginx directory: %w", err)
		}
		return nil
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	return d.write(ChallengeName, fmt.Appendf(nil, challengeSnippet, hex.EncodeToString(secret[:16]), hex.EncodeToString(secret[16:])))
}

// HTTPSnippet is what to include in http { }, for decisions in dir.
func HTTPSnippet(dir string, o SnippetOptions) string {
	verdict := verdictSnippet
	if o.UnknownRate > 0 {
		verdict = fmt.Sprintf(limitSnippet, o.UnknownRate)
	}
	return fmt.Sprintf(httpSnippet, dir, dir, verdict)
}

// ServerSnippet is what to include in each server { }.
func ServerSnippet(o SnippetOptions) (string, error) {
	block, challenge := answerBlock, "add_header Retry-After 30 always;\n    "+answerThrottle
	if o.Silent {
		block = "return 444;"
	}
	kind := "text/plain"
	if o.Challenge == ScriptChallenge {
		kind, challenge = "text/html", answerScript
	} else if o.Challenge != "" {
		name, ok := strings.CutPrefix(o.Challenge, "@")
		if err := checkID(name); !ok || err != nil {
			return "", fmt.Errorf("nginx challenge location %q: want a named location such as @challenge", o.Challenge)
		}
		challenge = "error_page 418 = " + o.Challenge + ";\n    return 418;"
	}
	action := "$weir_action"
	if o.UnknownRate > 0 {
		action = "$weir_refuse"
	}
	return fmt.Sprintf(serverSnippet, action, block, kind, challenge, answerThrottle), nil
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
	if err := installChallenge(d, o.Challenge == ScriptChallenge); err != nil {
		return err
	}
	return d.putSnippets(map[string][]byte{HTTPName: []byte(HTTPSnippet(dir, o)), ServerName: []byte(server)})
}

// putSnippets writes both so that the one and the other go together after each step as well: a
// server that asks for $weir_refuse comes after what defines it.
func (d directory) putSnippets(all map[string][]byte) error {
	order := []string{ServerName, HTTPName}
	if bytes.Contains(all[ServerName], []byte("$weir_refuse ")) {
		slices.Reverse(order)
	}
	for _, name := range order {
		if err := d.write(name, all[name]); err != nil {
			return err
		}
	}
	return nil
}
