package notify

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// drain sends what one channel should have now, through its real body.
func drain(t testing.TB, n *Notifier, name string) {
	t.Helper()
	for range 100 {
		e, m, earlier, _ := n.pick(name)
		if e == nil {
			return
		}
		ref, err := n.channels[name].send(t.Context(), &m, earlier)
		n.settle(name, e, earlier, ref, err)
	}
	t.Fatalf("%s sends without end", name)
}

// put posts a message of a thread.
func put(n *Notifier, thread string, k Kind, headline string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.post(&Message{
		Thread: thread, Kind: k, Severity: Critical, Call: Nothing, Time: now, First: k == Opened, Last: k == Closed, Subject: headline, Headline: headline,
	}, now)
}

func oneChannel(t testing.TB, o ChannelOptions) *Notifier {
	t.Helper()
	n, err := New(Options{Dir: t.TempDir(), Channels: map[string]ChannelOptions{"c": o}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestADeletedMessageIsSentAnew: where what a message answers or edits is gone, it is a
// new one, and what follows answers that.
func TestADeletedMessageIsSentAnew(t *testing.T) {
	for name, c := range map[string]struct {
		o      ChannelOptions
		refers func(q *http.Request, body string) bool
		gone   func(w http.ResponseWriter)
		taken  string
	}{
		"discord": {ChannelOptions{}, func(q *http.Request, _ string) bool { return q.Method == http.MethodPatch },
			func(w http.ResponseWriter) { w.WriteHeader(404) }, `{"id":"%d"}`},
		"mastodon": {ChannelOptions{Token: "x"}, func(_ *http.Request, body string) bool { return strings.Contains(body, `"in_reply_to_id":"1"`) },
			func(w http.ResponseWriter) { w.WriteHeader(422) }, `{"id":"%d"}`},
		"slack": {ChannelOptions{Token: "x", To: []string{"C1"}}, func(_ *http.Request, body string) bool { return strings.Contains(body, `"thread_ts":"1"`) },
			func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"ok":false,"error":"thread_not_found"}`) }, `{"ok":true,"ts":"%d"}`},
	} {
		t.Run(name, func(t *testing.T) {
			var taken []string
			refused := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				if c.refers(q, string(body)) {
					refused++
					c.gone(w)
					return
				}
				taken = append(taken, string(body))
				_, _ = fmt.Fprintf(w, c.taken, len(taken))
			}))
			defer server.Close()
			c.o.Type, c.o.URL = name, server.URL
			n := oneChannel(t, c.o)
			kind := func(k Kind) Kind {
				if name == "mastodon" {
					return Public
				}
				return k
			}
			put(n, "weir-a", kind(Opened), "one")
			drain(t, n, "c")
			put(n, "weir-a", kind(Mitigated), "two")
			put(n, "weir-b", kind(Opened), "other")
			drain(t, n, "c")
			if len(taken) != 3 || refused != 1 || !strings.Contains(taken[1], "two") || !strings.Contains(taken[2], "other") {
				t.Errorf("%d refused, taken %q", refused, taken)
			}
			if ref := n.state.Threads["weir-a"].Refs["c"]; ref != "2" {
				t.Errorf("the thread goes on at %q", ref)
			}
		})
	}
}

// TestARefusedMessageIsPassed: other threads do not wait for a message that is refused,
// its own does, and after enough refusals it is dropped.
func TestARefusedMessageIsPassed(t *testing.T) {
	for _, status := range []int{400, 403, 404} {
		var taken []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			body, _ := io.ReadAll(q.Body)
			if strings.Contains(string(body), "evil") {
				w.WriteHeader(status)
				return
			}
			taken = append(taken, string(body))
			_, _ = io.WriteString(w, `{"id":"1"}`)
		}))
		n := oneChannel(t, ChannelOptions{Type: "discord", URL: server.URL})
		put(n, "weir-a", Opened, "evil")
		put(n, "weir-a", Worsened, "after")
		put(n, "weir-b", Opened, "other")
		drain(t, n, "c")
		if len(taken) != 1 || !strings.Contains(taken[0], "other") {
			t.Errorf("%d: taken %q", status, taken)
		}
		for range goneTries {
			for _, e := range n.state.Queues["c"] {
				e.Next = time.Time{}
			}
			drain(t, n, "c")
		}
		left := len(n.state.Queues["c"])
		if status == 403 && left != 2 || status != 403 && (left != 0 || len(taken) != 2) {
			t.Errorf("%d: %d left, taken %q", status, left, taken)
		}
		server.Close()
	}
}

// TestEverybodyWaitsForAServiceThatTakesNothing: order is kept where it is not the
// message that is refused.
func TestEverybodyWaitsForAServiceThatTakesNothing(t *testing.T) {
	for _, status := range []int{401, 429, 500, 503} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(status)
		}))
		n := oneChannel(t, ChannelOptions{Type: "discord", URL: server.URL})
		put(n, "weir-a", Opened, "one")
		put(n, "weir-b", Opened, "two")
		drain(t, n, "c")
		if asked != 1 || len(n.state.Queues["c"]) != 2 {
			t.Errorf("%d: asked %d times", status, asked)
		}
		server.Close()
	}
}

// TestAnEditIsOfTheNewestMessage: what is edited is the message that readers see last.
func TestAnEditIsOfTheNewestMessage(t *testing.T) {
	var edited string
	posts := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPatch {
			edited = q.URL.Path
			return
		}
		posts++
		_, _ = fmt.Fprintf(w, `{"id":"%d"}`, posts)
	}))
	defer server.Close()
	n := oneChannel(t, ChannelOptions{Type: "discord", URL: server.URL})
	for _, k := range []Kind{Opened, Worsened, Mitigated} {
		put(n, "weir-a", k, string(k))
		drain(t, n, "c")
	}
	if edited != "/messages/2" {
		t.Errorf("edited %q", edited)
	}
}

// TestADigestAlerts: of more critical messages than an on-call service is to have, each
// is in an alert that was raised and is still there.
func TestADigestAlerts(t *testing.T) {
	for _, name := range []string{"pagerduty", "opsgenie"} {
		t.Run(name, func(t *testing.T) {
			var raised, ended []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				switch {
				case strings.Contains(string(body), `"event_action":"resolve"`), strings.HasSuffix(q.URL.Path, "/close"):
					ended = append(ended, string(body))
				default:
					raised = append(raised, string(body))
				}
				w.WriteHeader(202)
				_, _ = io.WriteString(w, `{"status":"success"}`)
			}))
			defer server.Close()
			n := oneChannel(t, ChannelOptions{Type: name, URL: server.URL, Token: "0123456789abcdef0123456789abcdef", Limit: 5})
			for i := range 30 {
				put(n, fmt.Sprintf("weir-i%d", i), Opened, fmt.Sprintf("headline %d.", i))
			}
			drain(t, n, "c")
			if len(raised) != 5 || len(n.state.Queues["c"]) != 25 {
				t.Fatalf("raised %d, %d wait", len(raised), len(n.state.Queues["c"]))
			}
			later(n, "c")
			drain(t, n, "c")
			if len(ended) != 0 || len(n.state.Queues["c"]) != 0 {
				t.Errorf("%d wait; ended %q", len(n.state.Queues["c"]), ended)
			}
			all := strings.Join(raised, "\n")
			untold := 0
			for i := range 30 {
				if !strings.Contains(all, fmt.Sprintf("headline %d.", i)) {
					untold++
				}
			}
			if untold != 30-5-3-digestLines || !strings.Contains(all, fmt.Sprintf("And %d more.", untold)) {
				t.Errorf("%d are in no alert: %s", untold, all)
			}
		})
	}
}

// later is when the limit counts anew.
func later(n *Notifier, name string) {
	for i := range n.state.Sent[name] {
		n.state.Sent[name][i].At = n.state.Sent[name][i].At.Add(-LimitSpan)
	}
}
