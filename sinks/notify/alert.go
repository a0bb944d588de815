package notify

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

func text64(n int64) string { return strconv.FormatInt(n, 10) }

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // it was written by text64
	return n
}

// teams posts an Adaptive Card to a workflow's webhook
// (https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).
// Text runs are not Markdown: nothing in them is a link.
type teams struct {
	http *http.Client
	url  string
}

func newTeams(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, err
	}
	return &teams{r.http, u.String()}, nil
}

func (t *teams) idempotent() bool { return false }

func (t *teams) send(ctx context.Context, m *Message, _ string) (string, error) {
	line := func(text string, headline bool) map[string]any {
		var runs []map[string]any
		run := func(s string, code bool) string {
			if s != "" {
				one := map[string]any{"type": "TextRun", "text": s}
				if code {
					one["fontType"] = "Monospace"
				}
				if headline {
					one["weight"] = "Bolder"
				}
				runs = append(runs, one)
			}
			return ""
		}
		render(text, func(s string) string { return run(s, false) }, func(s string) string { return run(s, true) })
		return map[string]any{"type": "RichTextBlock", "inlines": runs}
	}
	body := []map[string]any{line(m.Headline, true)}
	for _, l := range m.Lines {
		body = append(body, line(l, false))
	}
	if len(m.Commands) > 0 {
		body = append(body, line("See more: "+span(strings.Join(m.Commands, "  or  ")), false))
	}
	card := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body,
	}
	if m.Link != "" {
		card["actions"] = []map[string]any{{"type": "Action.OpenUrl", "title": "Grafana", "url": m.Link}}
	}
	return "", exchange{client: t.http, url: t.url, body: map[string]any{
		"type": "message",
		"attachments": []map[string]any{{
			"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card,
		}},
	}}.do(ctx)
}

// pagerDuty sends events (https://developer.pagerduty.com/docs/send-alert-event): the
// thread is one alert, which its last message resolves.
type pagerDuty struct {
	http *http.Client
	url  string
	key  string
}

func newPagerDuty(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "https://events.pagerduty.com")
	if err != nil {
		return nil, err
	}
	if err := r.wantToken("the integration key of an Events API v2 integration"); err != nil {
		return nil, err
	}
	return &pagerDuty{r.http, u.JoinPath("v2/enqueue").String(), r.Token}, nil
}

func (p *pagerDuty) idempotent() bool { return true }
func (p *pagerDuty) resolves() bool   { return true }

type pagerDutyBody struct {
	Key       string            `json:"routing_key"`
	Action    string            `json:"event_action"`
	Dedup     string            `json:"dedup_key"`
	Client    string            `json:"client,omitempty"`
	ClientURL string            `json:"client_url,omitempty"`
	Links     []pagerDutyLink   `json:"links,omitempty"`
	Payload   *pagerDutyPayload `json:"payload,omitempty"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp"`
	Component string            `json:"component,omitempty"`
	Class     string            `json:"class"`
	Details   map[string]string `json:"custom_details"`
}

func (p *pagerDuty) send(ctx context.Context, m *Message, _ string) (string, error) {
	body := pagerDutyBody{Key: p.key, Action: "resolve", Dedup: m.Thread}
	if !m.Last {
		flat := m.flat()
		body.Action, body.Client, body.ClientURL = "trigger", "weir", m.Link
		if m.Link != "" {
			body.Links = []pagerDutyLink{{m.Link, "Grafana"}}
		}
		body.Payload = &pagerDutyPayload{
			Summary: cutRunes(flat.Headline, 1024), Source: strings.Join(flat.Sites, ", "), Severity: string(m.Severity),
			Timestamp: m.Time.UTC().Format("2006-01-02T15:04:05.000Z"), Class: string(m.Kind),
			Details: map[string]string{"subject": flat.Subject, "text": flat.text(8000)},
		}
		if body.Payload.Source = cutRunes(body.Payload.Source, 250); body.Payload.Source == "" {
			body.Payload.Source = "weir"
		}
	}
	return "", exchange{client: p.http, url: p.url, body: body}.do(ctx)
}

// opsgenie keeps an alert (https://docs.opsgenie.com/docs/alert-api) whose alias is the
// thread: the first message creates it, later ones are notes, the last closes it.
type opsgenie struct {
	http *http.Client
	url  *url.URL
	key  string
}

func newOpsgenie(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "https://api.opsgenie.com")
	if err != nil {
		return nil, err
	}
	if err := r.wantToken("the API key of an API integration"); err != nil {
		return nil, err
	}
	return &opsgenie{r.http, u, r.Token}, nil
}

// Creating and closing say the same twice without harm; a note is there twice.
func (o *opsgenie) idempotent() bool { return true }
func (o *opsgenie) resolves() bool   { return true }

func (o *opsgenie) send(ctx context.Context, m *Message, _ string) (string, error) {
	flat := m.flat()
	header := http.Header{"Authorization": []string{"GenieKey " + o.key}}
	at := func(what string) string {
		return o.url.JoinPath("v2/alerts", url.PathEscape(m.Thread), what).String() + "?identifierType=alias"
	}
	if m.Last {
		return "", exchange{client: o.http, url: at("close"), header: header, body: map[string]any{
			"source": "weir", "note": cutRunes(flat.text(25_000), 24_000),
		}}.do(ctx)
	}
	priority := map[Severity]string{Critical: "P1", Warning: "P3"}[m.Severity]
	if priority == "" {
		priority = "P5"
	}
	create := exchange{client: o.http, url: o.url.JoinPath("v2/alerts").String(), header: header, body: map[string]any{
		"message": cutRunes(flat.Headline, 130), "alias": cutRunes(m.Thread, 512), "description": cutRunes(flat.text(15_000), 14_000),
		"priority": priority, "source": "weir", "entity": cutRunes(strings.Join(flat.Sites, ", "), 500), "tags": []string{"weir", string(m.Kind)},
	}}
	if m.First {
		return "", create.do(ctx)
	}
	// Where the alert has been closed by hand, it is a new one: somebody should see it.
	if err := create.do(ctx); err != nil {
		return "", err
	}
	return "", exchange{client: o.http, url: at("notes"), header: header, body: map[string]any{
		"source": "weir", "note": cutRunes(flat.text(25_000), 24_000),
	}}.do(ctx)
}

// mastodon posts what a person has published, and nothing else
// (https://docs.joinmastodon.org/methods/statuses/#create).
type mastodon struct {
	http  *http.Client
	url   *url.URL
	token string
}

func newMastodon(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, err
	}
	if err := r.wantToken("an access token with the scope write:statuses"); err != nil {
		return nil, err
	}
	return &mastodon{r.http, u, r.Token}, nil
}

func (t *mastodon) idempotent() bool { return true }

func (t *mastodon) send(ctx context.Context, m *Message, earlier string) (string, error) {
	if m.Kind == Test { // nobody tests on everybody: whether the token is good is asked
		return "", exchange{client: t.http, method: http.MethodGet, url: t.url.JoinPath("api/v1/accounts/verify_credentials").String(), header: bearer(t.token)}.do(ctx)
	}
	text := plain(m.Headline + "\n\n" + strings.Join(m.Lines, "\n"))
	tail := ""
	if m.Link != "" {
		tail = "\n\n" + m.Link
	}
	body := map[string]any{"status": cutRunes(text, 500-len([]rune(tail))) + tail, "visibility": "public"}
	if earlier != "" {
		body["in_reply_to_id"] = earlier
	}
	header := bearer(t.token)
	header.Set("Idempotency-Key", m.ID)
	var answer struct {
		ID string `json:"id"`
	}
	err := exchange{client: t.http, url: t.url.JoinPath("api/v1/statuses").String(), header: header, body: body, answer: &answer}.do(ctx)
	return answer.ID, err
}
