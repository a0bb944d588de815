package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/weir-project/weir/schemas"
)

// hostile are texts that mean something to somebody who shows messages.
func hostile() []string {
	return []string{
		"@everyone @here @channel @room <@U123> <!channel> <!everyone> <#C1|x>", "[click](https://evil.example/)", "https://evil.example/", "<https://evil.example|bank>",
		"</code><script>alert(1)</script>", "`code` ``` **bold** _it_ ~s~ ||spoiler|| # head", "a\r\nBcc: x@example.org\r\n\r\nbody", "\x1b[31m\x07\x00\x02\x03\x7f",
		"\u202egpj.exe\u202c \u2066x\u2069 \u200b\u00ad\ufeff", "e\u0301\u0301\u0301\u0489 \u3000\u2003", "\xff\xfe\xc0", strings.Repeat("x", 10_000), "${HOME} %s %n {{.}}", "&lt;b&gt; &amp;", "data:text/html,x javascript://x",
	}
}

// checkInert holds a message, as each kind of channel renders it, to showing text only.
func checkInert(t testing.TB, m *Message) {
	t.Helper()
	flat := m.flat()
	all := append([]string{flat.Subject, flat.Headline}, flat.body()...)
	for _, text := range all {
		for _, r := range plain(text) {
			if r != ' ' && r != '\u200b' && (!unicode.IsPrint(r) || unicode.IsMark(r)) {
				t.Fatalf("%q has %U", text, r)
			}
		}
		if !utf8.ValidString(text) || len(text) > 4000 {
			t.Fatalf("%d bytes, or not UTF-8: %q", len(text), text)
		}
	}
	for _, raw := range append([]string{m.Subject, m.Headline}, m.Lines...) {
		if strings.Contains(plain(raw), "://") {
			t.Fatalf("a link: %q", raw)
		}
		outside := render(raw, same, func(string) string { return "" })
		if strings.ContainsAny(outside, "<>@[]`*_~|#") && !strings.HasPrefix(outside, "[weir ") {
			t.Fatalf("markup outside of a span: %q", raw)
		}
		slack := slackText(raw)
		if strings.ContainsAny(slack, "<>") || strings.Count(slack, "`")%2 != 0 || strings.Count(slack, "`") != 2*strings.Count(raw, string(spanBegin)) {
			t.Fatalf("Slack: %q", slack)
		}
		if code := markdown(raw); strings.Count(strings.ReplaceAll(code, "\\`", ""), "`") != 2*strings.Count(raw, string(spanBegin)) {
			t.Fatalf("Markdown: %q", code)
		}
		page := htmlText(raw)
		if tags := regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1); len(tags) != 2*strings.Count(raw, string(spanBegin)) {
			t.Fatalf("HTML: %q", page)
		}
		if html.UnescapeString(regexp.MustCompile(`</?code>`).ReplaceAllString(page, "")) != plain(raw) {
			t.Fatalf("HTML says something else: %q", page)
		}
		text, marks := entities(raw)
		units := utf16.Encode([]rune(text))
		for _, e := range marks {
			if e.Offset < 0 || e.Length < 1 || e.Offset+e.Length > len(units) {
				t.Fatalf("an entity outside of its text: %+v of %d", e, len(units))
			}
		}
	}
}

// messagesAbout tells the story of an incident whose every text is hostile.
func messagesAbout(t testing.TB, text string) []*Message {
	n, err := prepare(Options{Name: "edge-1", Grafana: "https://grafana.example.org/"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 5, 8, 0, 0, time.UTC)
	n.state = newState(now)
	n.story = story{o: &n.o, state: n.state, readings: make(map[string]reading), mode: func(string) string { return "observe" }}
	id := cut(text, schemas.MaxID)
	e := schemas.Event{Type: schemas.IncidentOpened, Time: now, Opened: now, Incident: id, Kind: schemas.Kind(id), Sites: []string{text, text + "2"}, Cause: text,
		Signals: append(signals(100, 0, 0.5), schemas.Signal{Name: text, Group: text})}
	n.story.apply(&e, now)
	n.story.apply(&schemas.Event{Type: schemas.DecisionAdded, Time: now, Incident: id, Sites: []string{text}, Decision: &schemas.Decision{
		ID: id, Action: schemas.Action(text), Scope: schemas.ScopeSignature, Value: text, Reason: text, Origin: text, Expires: now.Add(time.Hour)}}, now)
	out := n.story.due(now.Add(time.Minute))
	e.Type, e.Closed = schemas.IncidentClosed, now.Add(time.Minute)
	n.story.apply(&e, now.Add(time.Minute))
	out = append(out, n.story.due(now.Add(time.Hour))...)
	trouble := &ailing{Ailment: Ailment{Key: text, What: text, Mend: text, Command: text, Edge: true}, Since: now, Seen: now}
	return append(out, n.troubleMessage(trouble, false, now), n.troubleMessage(trouble, true, now))
}

// TestHostileTextsAreText shows hosts, agents and paths that try to be more, in every
// message and as every channel renders it.
func TestHostileTextsAreText(t *testing.T) {
	for _, text := range hostile() {
		messages := messagesAbout(t, text)
		if len(messages) != 4 {
			t.Fatalf("%d messages about %q", len(messages), text)
		}
		for _, m := range messages {
			checkInert(t, m)
		}
	}
}

func FuzzMessages(f *testing.F) {
	for _, text := range hostile() {
		f.Add(text)
	}
	e := mustChannel(f, ChannelOptions{Type: "email", URL: "smtp://127.0.0.1:25", From: "weir@example.org", To: []string{"team@example.org"}}).(*email)
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		for _, m := range messagesAbout(t, text) {
			checkInert(t, m)
			mail, _ := e.compose(m, "")
			head, _, _ := strings.Cut(string(mail), "\r\n\r\n")
			for _, line := range strings.Split(head, "\r\n") {
				if !regexp.MustCompile(`^([A-Z][A-Za-z-]+: | )`).MatchString(line) || strings.ContainsAny(line, "\r\n\x00") {
					t.Fatalf("a header's line %q", line)
				}
			}
			if _, err := json.Marshal(m); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestSecretsStaySecret makes every channel fail against a server that quotes what it
// was sent, and looks for the secrets in errors, logs and descriptions.
func TestSecretsStaySecret(t *testing.T) {
	const secret = "s3cr3t-t0ken-value"
	t.Setenv("WEIR_TEST_SECRET", secret)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	parrot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "%s %v %s", q.URL, q.Header, body)
	}))
	defer parrot.Close()
	gone := "http://127.0.0.1:1"
	for _, url := range []string{parrot.URL, gone} {
		host := strings.TrimPrefix(url, "http://")
		for _, o := range []ChannelOptions{
			{Type: "matrix", URL: url, Token: "${WEIR_TEST_SECRET}", To: []string{"!r:h"}}, {Type: "matrix", URL: url, TokenFile: file, To: []string{"!r:h"}},
			{Type: "slack", URL: url, Token: secret, To: []string{"C1"}}, {Type: "discord", URL: url + "/api/webhooks/1/" + secret},
			{Type: "mattermost", URL: url + "/hooks/" + secret}, {Type: "teams", URL: url + "/x?sig=" + secret}, {Type: "telegram", URL: url, Token: secret, To: []string{"1"}},
			{Type: "ntfy", URL: url + "/topic", User: "weir", Password: secret}, {Type: "pagerduty", URL: url, Token: secret}, {Type: "opsgenie", URL: url, Token: secret},
			{Type: "webhook", URL: url + "/" + secret, Token: secret}, {Type: "shoutrrr", URL: "gotify://" + host + "/" + secret[:0] + "AzyoeNS.D4iJLVa?disabletls=yes"},
			{Type: "mastodon", URL: url, Token: secret}, {Type: "email", URL: "smtp://" + host, User: "weir", Password: secret, From: "a@example.org", To: []string{"b@example.org"}},
		} {
			dir := t.TempDir()
			var log strings.Builder
			n, err := New(Options{Dir: dir, Channels: map[string]ChannelOptions{"c": o}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatalf("%s: %v", o.Type, err)
			}
			n.state.Queues["c"] = []*entry{{Message: sample(), Queued: time.Now()}}
			e, m, earlier, _ := n.pick("c")
			within, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // SMTP waits for a greeting
			defer cancel()
			_, err = n.channels["c"].send(within, &m, earlier)
			if err == nil {
				t.Fatalf("%s: sent", o.Type)
			}
			n.settle("c", e, "", "", err)
			n.save()
			state, _ := os.ReadFile(filepath.Join(dir, stateName))
			lines, err := Describe(Options{Channels: map[string]ChannelOptions{"c": o}})
			if err != nil {
				t.Fatal(err)
			}
			within, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			tried, err := Try(within, Options{Channels: map[string]ChannelOptions{"c": o}}, "")
			if err != nil || tried[0].Err == nil {
				t.Fatalf("%v %+v", err, tried)
			}
			for what, text := range map[string]string{"log": log.String(), "description": strings.Join(lines, "\n"), "test": tried[0].Error, "state": string(state), "settled": fmt.Sprint(tried)} {
				if strings.Contains(text, secret) || strings.Contains(text, "AzyoeNS") {
					t.Errorf("%s at %s: the secret is in the %s: %s", o.Type, url, what, text)
				}
			}
			if log.Len() == 0 {
				t.Errorf("%s: nothing was logged: the test shows nothing", o.Type)
			}
		}
	}
}
