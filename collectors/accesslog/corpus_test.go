package accesslog

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// sample is a line of another project's parser tests with what it expects.
type sample struct {
	ID       string         `json:"id"`
	Line     string         `json:"line"`
	MustFail bool           `json:"must_fail"`
	Expect   map[string]any `json:"expect"`
}

func readSamples(t *testing.T, name string) (samples []sample) {
	dir := os.Getenv("WEIR_TESTDATA")
	if dir == "" {
		t.Skip("WEIR_TESTDATA is not set")
	}
	file, err := os.Open(filepath.Join(dir, "parser", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	for scanner.Buffer(nil, MaxLine); scanner.Scan(); {
		var s sample
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	return samples
}

// notListed are the cases of formats that weir does not list, and of logs that hold
// no requests: the beginning of an id, and what it is.
var notListed = map[string]string{
	"crowdsec/apache-guacamole-logs/":                    "messages of an application",
	"crowdsec/apache2-logs/crowdsecurity/apache2-logs/7": "an error log",
	"crowdsec/apache2-logs/crowdsecurity/apache2-logs/8": "an error log",
	"crowdsec/aws-":          "formats of AWS",
	"crowdsec/caddy-coraza/": "messages of a firewall",
	"crowdsec/envoy-logs/":   "formats of Envoy",
	"crowdsec/haproxy-logs/crowdsecurity/haproxy-logs/2":     "a failed handshake",
	"crowdsec/haproxy-logs/crowdsecurity/haproxy-logs/3":     "a failed handshake",
	"crowdsec/litespeed-logs/crowdsecurity/litespeed-logs/0": "an error log",
	"crowdsec/litespeed-logs/crowdsecurity/litespeed-logs/2": "an error log",
	"crowdsec/nginx-mail-logs/":                              "a mail proxy",
	"crowdsec/nginx-proxy-manager-logs/":                     "a custom log_format (TestProxyManagers)",
	"crowdsec/nginx_http-catch-npm/":                         "a custom log_format (TestProxyManagers)",
	"crowdsec/npmplus-logs/":                                 "a custom log_format (TestProxyManagers)",
	"crowdsec/nginx_http-logs/crowdsecurity/nginx-logs/8":    "an error log",
	"crowdsec/nginx_req_limit_exceeded/":                     "an error log",
	"crowdsec/pfsense-rfc5424-nginx/":                        "an error log",
	"crowdsec/tcpudp-flood-traefik/":                         "Traefik's messages on connections",
	"crowdsec/zoraxy-http-logs/":                             "a format of Zoraxy",
	"logstash/aws/":                                          "formats of AWS",
	"logstash/haproxy/14":                                    "a connection that was not HTTP",
	"logstash/httpd/3":                                       "an error log",
	"logstash/httpd/4":                                       "an error log",
	"logstash/httpd/5":                                       "an error log",
	"logstash/httpd/6":                                       "an error log",
	"vrl/parse_aws_alb_log/":                                 "formats of AWS",
	"vrl/parse_apache_log/error_line_":                       "an error log",
	"vrl/parse_nginx_log/error_":                             "an error log",
}

// byDesign are the differences to what others expect, each with the cases that it
// may show in.
var byDesign = []struct{ reason, id, key string }{
	{"no client and no time: refused", "vrl/parse_apache_log/log_line_valid_", ""},
	{"no client and no time: refused", "vrl/parse_common_log/log_line_valid_", ""},
	{"a site has no port", "crowdsec/caddy-logs/", "host"},
	{"milliseconds instead of the line's whole second", "crowdsec/traefik_json/", "time"},
	{"HAProxy's time instead of the syslog header's", "logstash/haproxy/8", "time"},
	{"the escapes of what is no request line are undone", "", "uri"}, // see compare
}

func differs(id, key string) bool {
	for _, d := range byDesign {
		if d.id != "" && strings.HasPrefix(id, d.id) && d.key == key {
			return true
		}
	}
	return false
}

func unlisted(id string) bool {
	for prefix := range notListed {
		if strings.HasPrefix(id, prefix) {
			return id != plainCombined
		}
	}
	return false
}

// plainCombined is the one case of Nginx Proxy Manager that is combined.
const plainCombined = "crowdsec/nginx-proxy-manager-logs/crowdsecurity/nginx-proxy-manager-logs/1"

// TestOthersCases holds every line of other projects' cases to what they expect, or
// to being refused for a reason that stands above.
func TestOthersCases(t *testing.T) {
	for name, want := range map[string]int{"crowdsec.jsonl": 157, "vrl.jsonl": 18, "logstash.jsonl": 10} {
		t.Run(name, func(t *testing.T) {
			taken := 0
			for _, s := range readSamples(t, name) {
				format, share := Detect([][]byte{[]byte(s.Line)})
				refused := s.MustFail || unlisted(s.ID) || differs(s.ID, "")
				if refused != (share == 0) {
					t.Errorf("%s: found as %q, want refused %t: %s", s.ID, format, refused, s.Line)
				}
				if share == 0 {
					continue
				}
				taken++
				var r schemas.Request
				New(format).Parse([]byte(s.Line), &r)
				compare(t, &s, &r)
			}
			if taken != want {
				t.Errorf("%d lines taken, want %d", taken, want)
			}
		})
	}
}

// The formats of Nginx Proxy Manager, of its fork, and what lines of them are of
// other formats.
const (
	proxyManager = `log_format proxy '[$time_local] $upstream_cache_status $upstream_status $status - $request_method $scheme $host "$request_uri" '
		'[Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] [Sent-to $server] "$http_user_agent" "$http_referer"';`
	proxyManagerStandard = `log_format standard '[$time_local] $status - $request_method $scheme $host "$request_uri" '
		'[Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] "$http_user_agent" "$http_referer"';`
	proxyManagerPlus = `[$time_local] $host $remote_addr $request_time "$request" $status $body_bytes_sent $bytes_sent $http_referer $http_user_agent`
)

// TestProxyManagers holds lines of custom formats to what others expect.
func TestProxyManagers(t *testing.T) {
	var parsers []Parser
	for _, text := range []string{proxyManager, proxyManagerStandard, proxyManagerPlus} {
		parsers = append(parsers, New(mustFormat(t, text)))
	}
	taken := 0
	for _, s := range readSamples(t, "crowdsec.jsonl") {
		by := 0
		for _, parser := range parsers {
			var r schemas.Request
			if parser.Parse([]byte(s.Line), &r) == None {
				by++
				compare(t, &s, &r)
			}
		}
		if by > 1 || by == 1 && !unlisted(s.ID) {
			t.Errorf("%s: taken by %d custom formats: %s", s.ID, by, s.Line)
		}
		taken += by
	}
	if want := 23; taken != want {
		t.Errorf("%d lines taken, want %d", taken, want)
	}
}

func mustFormat(t testing.TB, text string) Format {
	t.Helper()
	format, err := ByName(text)
	if err != nil {
		t.Fatal(err)
	}
	return format
}

func compare(t *testing.T, s *sample, r *schemas.Request) {
	target := string(r.Path)
	if len(r.Query) > 0 {
		target += "?" + string(r.Query)
	}
	got := map[string]string{
		"remote_ip": r.Client.String(), "method": string(r.Method), "uri": target, "status": fmt.Sprint(r.Status), "bytes": fmt.Sprint(r.Bytes),
		"referer": string(r.Referer), "user_agent": string(r.UserAgent), "http_version": strings.TrimPrefix(string(r.Protocol), "HTTP/"),
		"host": string(r.Site),
	}
	for key, value := range s.Expect {
		want := string(dashless([]byte(fmt.Sprint(value))))
		if number, ok := value.(float64); ok {
			want = fmt.Sprint(int64(number))
		}
		if key == "uri" && r.Method == nil {
			want = string(appendUnescaped(nil, []byte(want)))
		}
		if want == "" && (key == "status" || key == "bytes") {
			want = "0"
		}
		if differs(s.ID, key) {
			want = strings.TrimSuffix(strings.TrimSuffix(want, ":8080"), ":9080")
			if key == "time" {
				continue
			}
		}
		if key == "time" {
			compareTime(t, s, r, want)
		} else if g, known := got[key]; known && g != want {
			t.Errorf("%s: %s is %q, want %q: %s", s.ID, key, g, want, s.Line)
		}
	}
}

func compareTime(t *testing.T, s *sample, r *schemas.Request, want string) {
	for _, layout := range []string{"02/Jan/2006:15:04:05 -0700", time.RFC3339} {
		if at, err := time.Parse(layout, want); err == nil && at.UnixMilli() != r.Time {
			t.Errorf("%s: time is %d, want %s", s.ID, r.Time, want)
		}
	}
}
