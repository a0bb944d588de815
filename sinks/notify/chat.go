package notify

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// matrix sends to a room, as the client-server API has it
// (https://spec.matrix.org/v1.11/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid):
// the transaction id makes sending again harmless, and later messages are a thread.
type matrix struct {
	http  *http.Client
	url   *url.URL
	token string
	room  string
}

func newMatrix(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, err
	}
	room, err := r.one("room id")
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(room, "!") {
		return nil, errors.New("to: want the room's id, which begins with '!' (Element: room settings, advanced)")
	}
	if err := r.wantToken("an access token"); err != nil {
		return nil, err
	}
	return &matrix{r.http, u, r.Token, room}, nil
}

func (x *matrix) idempotent() bool { return true }

type matrixBody struct {
	Type          string           `json:"msgtype"`
	Body          string           `json:"body"`
	Format        string           `json:"format"`
	FormattedBody string           `json:"formatted_body"`
	Mentions      struct{}         `json:"m.mentions"` // nobody, whatever the text says
	Relates       *matrixRelations `json:"m.relates_to,omitempty"`
}

type matrixRelations struct {
	Type        string        `json:"rel_type"`
	Event       string        `json:"event_id"`
	FallingBack bool          `json:"is_falling_back"`
	Reply       matrixReplyTo `json:"m.in_reply_to"`
}

type matrixReplyTo struct {
	Event string `json:"event_id"`
}

func (x *matrix) send(ctx context.Context, m *Message, earlier string) (string, error) {
	lines := []string{"<strong>" + htmlText(m.Headline) + "</strong>"}
	for _, l := range m.body() {
		lines = append(lines, htmlText(l))
	}
	body := matrixBody{
		Type: "m.text", Body: m.text(20_000),
		Format: "org.matrix.custom.html", FormattedBody: strings.Join(lines, "<br>"),
	}
	if earlier != "" {
		body.Relates = &matrixRelations{"m.thread", earlier, true, matrixReplyTo{earlier}}
	}
	var answer struct {
		Event string `json:"event_id"`
	}
	err := exchange{
		client: x.http, method: http.MethodPut, header: bearer(x.token), body: body, answer: &answer,
		url: x.url.JoinPath("_matrix/client/v3/rooms", url.PathEscape(x.room), "send/m.room.message", url.PathEscape(m.ID)).String(),
	}.do(ctx)
	return answer.Event, err
}

// slackBot posts with a bot's token, so that later messages are in the first one's
// thread (https://docs.slack.dev/reference/methods/chat.postMessage).
type slackBot struct {
	http           *http.Client
	url            string
	token, channel string
}

// newSlack is a bot where there is a token, and else an incoming webhook.
func newSlack(r *resolved) (channel, error) {
	if r.Token == "" {
		return newSlackWebhook(r)
	}
	u, err := webURL(r.URL, "https://slack.com")
	if err != nil {
		return nil, err
	}
	to, err := r.one("channel's id, such as C0123456789")
	if err != nil {
		return nil, err
	}
	return &slackBot{r.http, u.JoinPath("api/chat.postMessage").String(), r.Token, to}, nil
}

func (s *slackBot) idempotent() bool { return false }

type slackBody struct {
	Channel   string `json:"channel"`
	Text      string `json:"text"`
	Thread    string `json:"thread_ts,omitempty"`
	Broadcast bool   `json:"reply_broadcast,omitempty"`
	Unfurl    bool   `json:"unfurl_links"`
	Media     bool   `json:"unfurl_media"`
}

func (s *slackBot) send(ctx context.Context, m *Message, earlier string) (string, error) {
	lines := []string{"*" + slackText(m.Headline) + "*"}
	for _, l := range m.body() {
		lines = append(lines, slackText(l))
	}
	body := slackBody{
		Channel: s.channel, Text: cutRunes(strings.Join(lines, "\n"), 4000), Thread: earlier,
		Broadcast: earlier != "" && m.Severity != Info, // who does not follow the thread must see it
	}
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
		TS    string `json:"ts"`
	}
	if err := (exchange{client: s.http, url: s.url, header: bearer(s.token), body: body, answer: &answer}).do(ctx); err != nil {
		return "", err
	}
	if !answer.OK {
		return "", &refusal{status: slackStatus(answer.Error), text: "Slack says " + answer.Error}
	}
	return answer.TS, nil
}

// slackStatus is what a service that says no by its status would have said.
func slackStatus(code string) int {
	switch code {
	case "thread_not_found", "message_not_found", "cannot_reply_to_message", "invalid_thread_ts":
		return http.StatusNotFound
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired":
		return http.StatusUnauthorized
	case "ratelimited", "rate_limited":
		return http.StatusTooManyRequests
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout":
		return http.StatusServiceUnavailable
	}
	return http.StatusForbidden
}

// discord executes a webhook (https://discord.com/developers/docs/resources/webhook). What
// only brings a message up to date edits it; what somebody should see is a new one.
type discord struct {
	http *http.Client
	url  *url.URL
}

func newDiscord(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, err
	}
	return &discord{r.http, u}, nil
}

func (d *discord) idempotent() bool { return false }
func (d *discord) edits() bool      { return true }

type discordBody struct {
	Content  string `json:"content"`
	Mentions struct {
		Parse []string `json:"parse"` // of the text nothing is a mention
	} `json:"allowed_mentions"`
	Flags int `json:"flags"` // 4: no previews of links
}

func (d *discord) send(ctx context.Context, m *Message, earlier string) (string, error) {
	lines := []string{"**" + markdown(m.Headline) + "**"}
	for _, l := range m.Lines {
		lines = append(lines, markdown(l))
	}
	if m.Link != "" {
		lines = append(lines, "Grafana: <"+m.Link+">")
	}
	if len(m.Commands) > 0 {
		lines = append(lines, "See more: "+markdown(span(strings.Join(m.Commands, "  or  "))))
	}
	body := discordBody{Content: cutRunes(strings.Join(lines, "\n"), 2000), Flags: 4}
	body.Mentions.Parse = []string{}
	var answer struct {
		ID string `json:"id"`
	}
	if earlier != "" && m.Kind == Mitigated {
		err := exchange{client: d.http, method: http.MethodPatch, url: d.url.JoinPath("messages", url.PathEscape(earlier)).String(), body: body}.do(ctx)
		return "", err
	}
	u := *d.url
	query := u.Query()
	query.Set("wait", "true")
	u.RawQuery = query.Encode()
	err := exchange{client: d.http, url: u.String(), body: body, answer: &answer}.do(ctx)
	return answer.ID, err
}

// telegram sends as a bot (https://core.telegram.org/bots/api#sendmessage), without a
// parse mode: what is code is said by position. Later messages answer the first.
type telegram struct {
	http *http.Client
	url  string
	chat string
}

func newTelegram(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "https://api.telegram.org")
	if err != nil {
		return nil, err
	}
	chat, err := r.one("chat's id, such as -1001234567890, or @name of a public channel")
	if err != nil {
		return nil, err
	}
	if err := r.wantToken("the bot's token, as BotFather gave it"); err != nil {
		return nil, err
	}
	return &telegram{r.http, u.JoinPath("bot"+r.Token, "sendMessage").String(), chat}, nil
}

func (t *telegram) idempotent() bool { return false }

type telegramBody struct {
	Chat     string         `json:"chat_id"`
	Text     string         `json:"text"`
	Entities []entity       `json:"entities,omitempty"`
	Preview  map[string]any `json:"link_preview_options"`
	Silent   bool           `json:"disable_notification"`
	Reply    map[string]any `json:"reply_parameters,omitempty"`
}

func (t *telegram) send(ctx context.Context, m *Message, earlier string) (string, error) {
	text := cutRunes(strings.Join(append([]string{m.Headline}, m.body()...), "\n"), 4000)
	body := telegramBody{Chat: t.chat, Preview: map[string]any{"is_disabled": true}, Silent: m.Severity == Info && !m.First}
	body.Text, body.Entities = entities(text)
	if earlier != "" {
		body.Reply = map[string]any{"message_id": number(earlier), "allow_sending_without_reply": true}
	}
	var answer struct {
		Result struct {
			ID int64 `json:"message_id"`
		} `json:"result"`
	}
	if err := (exchange{client: t.http, url: t.url, body: body, answer: &answer}).do(ctx); err != nil {
		return "", err
	}
	return text64(answer.Result.ID), nil
}
