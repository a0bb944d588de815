package notify

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recording is a real server on loopback that answers as a service documents, and keeps
// what it was asked.
type recording struct {
	mu      sync.Mutex
	text    strings.Builder
	answers []string // in order; then the last again
	n       int
	status  int
}

// shownHeaders are those that are part of a service's documented form.
var shownHeaders = []string{
	"Authorization", "Click", "Content-Type", HeaderKey, "Priority", "Tags", "Title", HeaderSignature, HeaderTimestamp,
}

func (r *recording) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.text, "%s %s\n", q.Method, q.URL.RequestURI())
	for _, name := range shownHeaders {
		if v := q.Header.Get(name); v != "" {
			if name == HeaderTimestamp || name == HeaderSignature {
				v = "(checked elsewhere)"
			}
			fmt.Fprintf(&r.text, "%s: %s\n", name, v)
		}
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") == nil {
		body = pretty.Bytes()
	}
	fmt.Fprintf(&r.text, "\n%s\n\n", body)
	if len(r.answers) > 0 {
		w.Header().Set("Content-Type", "application/json")
		if r.status != 0 {
			w.WriteHeader(r.status)
		}
		_, _ = io.WriteString(w, r.answers[min(r.n, len(r.answers)-1)])
	}
	r.n++
}

// threadOf are three messages of one thread, with what strangers chose in them.
func threadOf() []*Message {
	first := sample()
	first.Lines = append(first.Lines, "A hostile host: "+quote("evil.example/<!channel>@everyone`*_[x](https://evil.example)\u202e\x1b[31m&amp;", 200))
	worse, last := sample(), sample()
	worse.ID, worse.Kind, worse.First, worse.Severity, worse.Call = "0a1b2c-8-aaaaaa", Worsened, false, Warning, Nothing
	worse.Headline = "88 % of visitors are being served; weir enforces 3 decisions and stops 91 % of the requests; nothing to do."
	last.ID, last.Kind, last.First, last.Last, last.Severity, last.Call = "0a1b2c-9-bbbbbb", Closed, false, true, Info, Nothing
	last.Headline = "Over: 100 % of visitors are being served; weir took 3 decisions; nothing to do."
	return []*Message{first, worse, last}
}

// TestBodies holds what each service is sent to golden files, whose form is that of the
// service's documentation; the pages are named at each type of channel.
func TestBodies(t *testing.T) {
	const discordAnswer = `{"id":"1312345678901234567","type":0,"content":""}`
	for name, c := range map[string]struct {
		o       func(url string) ChannelOptions
		answers []string
		status  int
		host    string // served through the proxy where the service's host is fixed
	}{
		"matrix": {o: func(url string) ChannelOptions {
			return ChannelOptions{URL: url, Token: "syt_token", To: []string{"!room/x:example.org"}}
		}, answers: []string{`{"event_id":"$first"}`, `{"event_id":"$second"}`}},
		"slack": {o: func(url string) ChannelOptions {
			return ChannelOptions{URL: url, Token: "xoxb-token", To: []string{"C0123456789"}}
		}, answers: []string{`{"ok":true,"channel":"C0123456789","ts":"1503435956.000247"}`}},
		"discord": {o: func(url string) ChannelOptions { return ChannelOptions{URL: url + "/api/webhooks/123/token"} }, answers: []string{discordAnswer}},
		"mattermost": {o: func(url string) ChannelOptions {
			return ChannelOptions{URL: url + "/hooks/abcdefg", To: []string{"town-square"}}
		}, answers: []string{"ok"}},
		"teams": {o: func(url string) ChannelOptions {
			return ChannelOptions{URL: url + "/workflows/1/triggers/manual/paths/invoke?sig=secret"}
		}, answers: []string{""}, status: 202},
		"telegram": {o: func(url string) ChannelOptions {
			return ChannelOptions{URL: url, Token: "123:token", To: []string{"-1001234567890"}}
		}, answers: []string{`{"ok":true,"result":{"message_id":42,"date":1,"chat":{"id":-1001234567890,"type":"supergroup"}}}`}},
		"ntfy": {o: func(url string) ChannelOptions { return ChannelOptions{URL: url + "/weir-topic", Token: "tk_token"} }, answers: []string{`{"id":"x","event":"message"}`}},
		"pagerduty": {o: func(url string) ChannelOptions {
			return ChannelOptions{URL: url, Token: "0123456789abcdef0123456789abcdef"}
		}, answers: []string{`{"status":"success","message":"Event processed","dedup_key":"x"}`}, status: 202},
		"opsgenie": {o: func(url string) ChannelOptions { return ChannelOptions{URL: url, Token: "genie-key"} }, answers: []string{`{"result":"Request will be processed","took":0.1,"requestId":"x"}`}, status: 202},
		"webhook":  {o: func(url string) ChannelOptions { return ChannelOptions{URL: url + "/hook", Token: hookKey} }, answers: []string{""}},
		"slack-webhook": {o: func(string) ChannelOptions {
			return ChannelOptions{Type: "slack", URL: "https://hooks.slack.com/services/T12345678/B12345678/123456789012345678901234"}
		}, answers: []string{"ok"}, host: "hooks.slack.com:443"},
		"shoutrrr": {o: func(url string) ChannelOptions {
			return ChannelOptions{URL: "generic://" + strings.TrimPrefix(url, "http://") + "/any?disabletls=yes&template=json"}
		}, answers: []string{"ok"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recording{answers: c.answers, status: c.status}
			server := httptest.NewServer(r)
			defer server.Close()
			if c.host != "" {
				defer proxied.serve(c.host, r)()
			}
			o := c.o(server.URL)
			if o.Type == "" {
				o.Type = name
			}
			ch := mustChannel(t, o)
			earlier := ""
			for i, m := range threadOf() {
				fmt.Fprintf(&r.text, "--- %s\n", []string{"opened", "worsened", "closed"}[i])
				ref, err := ch.send(t.Context(), m, earlier)
				if err != nil {
					t.Fatal(err)
				}
				if earlier == "" {
					earlier = ref
				}
			}
			if name == "discord" { // what only brings it up to date edits the first
				m := threadOf()[1]
				m.Kind = Mitigated
				fmt.Fprintf(&r.text, "--- mitigated\n")
				if _, err := ch.send(t.Context(), m, earlier); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, name, r.text.String())
		})
	}
	t.Run("mastodon", func(t *testing.T) {
		r := &recording{answers: []string{`{"id":"103254962155278888","visibility":"public"}`}}
		server := httptest.NewServer(r)
		defer server.Close()
		ch := mustChannel(t, ChannelOptions{Type: "mastodon", URL: server.URL, Token: "token"})
		words := &Message{ID: "0a1b2c-3-cccccc", Kind: Public, Headline: "Our sites are slow", Lines: []string{"We are on it. Next word at 06:00 UTC." + strings.Repeat(" More.", 100)}, Link: "https://status.example.org/"}
		ref, err := ch.send(t.Context(), words, "")
		if err != nil {
			t.Fatal(err)
		}
		words.ID, words.Headline, words.Lines = "0a1b2c-4-dddddd", "Resolved", []string{"Everything is back."}
		if _, err := ch.send(t.Context(), words, ref); err != nil {
			t.Fatal(err)
		}
		test := sample()
		test.Kind = Test
		if _, err := ch.send(t.Context(), test, ""); err != nil {
			t.Fatal(err)
		}
		golden(t, "mastodon", r.text.String())
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "bodies", name+".txt")
	if os.Getenv("WEIR_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s is not what is sent (%v): WEIR_UPDATE=1 go test ./sinks/notify\n%s", path, err, got)
	}
}

// proxy answers CONNECT for hosts that cannot be reached here, under a certificate of its
// own: for what shoutrrr sends to fixed hosts. TestMain points HTTPS_PROXY at it.
type proxy struct {
	mu          sync.Mutex
	hosts       map[string]http.Handler
	certificate tls.Certificate
}

func (p *proxy) serve(host string, h http.Handler) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts[host] = h
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.hosts, host)
	}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	p.mu.Lock()
	handler := p.hosts[q.Host]
	p.mu.Unlock()
	if q.Method != http.MethodConnect || handler == nil {
		http.Error(w, "no such host", http.StatusBadGateway)
		return
	}
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{p.certificate}, NextProtos: []string{"http/1.1"}})
	one := &oneListener{conn: secure, done: make(chan struct{})}
	server := &http.Server{Handler: handler, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			one.close()
		}
	}}
	_ = server.Serve(one)
}

// oneListener accepts one connection and then waits until it is closed.
type oneListener struct {
	mu   sync.Mutex
	conn net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	conn := l.conn
	l.conn = nil
	l.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneListener) close()         { l.once.Do(func() { close(l.done) }) }
func (l *oneListener) Close() error   { l.close(); return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// proxied is set up by TestMain, before anything asks the environment for a proxy.
var proxied = &proxy{hosts: make(map[string]http.Handler)}

// TestRefusals: what a service says is in the error, and how long it wants to be left
// alone is heeded.
func TestRefusals(t *testing.T) {
	var header http.Header
	var status int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		o      ChannelOptions
		header http.Header
		status int
		body   string
		want   string
	}{
		"too many":       {ChannelOptions{Type: "discord", URL: server.URL}, http.Header{"Retry-After": {"64"}}, 429, `{"message":"You are being rate limited."}`, "refused with 429"},
		"a redirect":     {ChannelOptions{Type: "webhook", URL: server.URL, Token: hookKey}, http.Header{"Location": {"http://elsewhere.example/"}}, 302, "", "refused with 302"},
		"slack says no":  {ChannelOptions{Type: "slack", URL: server.URL, Token: "xoxb", To: []string{"C1"}}, nil, 200, `{"ok":false,"error":"channel_not_found"}`, "channel_not_found"},
		"not the server": {ChannelOptions{Type: "matrix", URL: server.URL, Token: "x", To: []string{"!r:h"}}, nil, 200, `<html>`, "no JSON"},
	} {
		header, status, body = c.header, c.status, c.body
		_, err := mustChannel(t, c.o).send(t.Context(), sample(), "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		var r *refusal
		if name == "too many" && (!errors.As(err, &r) || r.after.Seconds() != 64) {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

// TestChannelOptions: each type says what it lacks.
func TestChannelOptions(t *testing.T) {
	for _, c := range []struct {
		o    ChannelOptions
		want string
	}{
		{ChannelOptions{Type: "pager"}, `type: there is no "pager"; one of discord, email`},
		{ChannelOptions{Type: "matrix", URL: "https://m.example.org", Token: "t", To: []string{"#room:example.org"}}, "to: want the room's id"},
		{ChannelOptions{Type: "matrix", URL: "m.example.org", Token: "t", To: []string{"!r:e"}}, "url: want"},
		{ChannelOptions{Type: "telegram", Token: "t"}, "to: want one chat's id"},
		{ChannelOptions{Type: "telegram", To: []string{"1"}}, "token: want the bot's token"},
		{ChannelOptions{Type: "slack", URL: "https://hooks.slack.com/x"}, "url: want https://hooks.slack.com/services/"},
		{ChannelOptions{Type: "mattermost", URL: "https://m.example.org/"}, "url: want https://host/hooks/"},
		{ChannelOptions{Type: "ntfy", URL: "https://ntfy.sh/"}, "url: want https://host/topic"},
		{ChannelOptions{Type: "pagerduty"}, "token: want the integration key"},
		{ChannelOptions{Type: "webhook", URL: "https://h.example.org/"}, "token: want the key that signs"},
		{ChannelOptions{Type: "shoutrrr", URL: "nonsense"}, "url: want one as shoutrrr"},
		{ChannelOptions{Type: "shoutrrr", URL: "nonsense://x"}, "url: shoutrrr says"},
		{ChannelOptions{Type: "shoutrrr", URL: "logger://"}, "tells nobody"},
		{ChannelOptions{Type: "webhook", URL: "https://h.example.org/", Token: "t", TokenFile: "/x"}, "token: stands beside token_file"},
		{ChannelOptions{Type: "webhook", URL: "https://h.example.org/", TokenFile: "/nowhere"}, "token_file: open /nowhere"},
		{ChannelOptions{Type: "webhook", URL: "https://h.example.org/", Token: "t", CA: "/nowhere"}, "ca: open /nowhere"},
	} {
		_, err := newChannel(c.o, new(secrets))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.o.Type, err, c.want)
		}
	}
	if !slices.Contains(ChannelTypes(), "matrix") {
		t.Error(ChannelTypes())
	}
}
