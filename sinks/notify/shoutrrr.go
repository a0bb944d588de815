package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// relay sends through shoutrrr. It has no context and returns nothing of the service's
// answer, so there are no threads and no keys: what needs those is written by hand in
// this package.
type relay struct {
	// open makes the service anew for every message: some keep what an earlier one had
	// (ntfy's headers), or change while they send.
	open func() (types.Service, error)
	// text and parameters of a message for this service.
	text   func(m *Message) string
	params func(m *Message) types.Params
	busy   chan struct{} // one at a time: a send that was given up may go on
}

func newRelay(serviceURL string, text func(*Message) string, params func(*Message) types.Params) (channel, error) {
	r, err := router.New(log.New(io.Discard, "", 0))
	if err != nil {
		return nil, err
	}
	open := func() (types.Service, error) { return r.Locate(serviceURL) }
	if _, err := open(); err != nil {
		return nil, fmt.Errorf("url: shoutrrr says: %w", err)
	}
	return &relay{open, text, params, make(chan struct{}, 1)}, nil
}

func (r *relay) idempotent() bool { return false }

func (r *relay) send(ctx context.Context, m *Message, _ string) (string, error) {
	select {
	case r.busy <- struct{}{}:
	case <-ctx.Done():
		return "", errors.New("an earlier message is still on its way")
	}
	service, err := r.open()
	if err != nil {
		<-r.busy
		return "", err
	}
	sent := make(chan error, 1)
	params, text := r.params(m), r.text(m)
	go func() {
		sent <- service.Send(text, &params)
		<-r.busy
	}()
	select {
	case err := <-sent:
		return "", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// newSlackWebhook is an incoming webhook, https://hooks.slack.com/services/T.../B.../...
func newSlackWebhook(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, errors.New("url: want https://hooks.slack.com/services/..., or a bot's token and to")
	}
	parts := strings.Split(strings.Trim(strings.TrimPrefix(u.Path, "/services"), "/"), "/")
	if u.Host != "hooks.slack.com" || len(parts) != 3 {
		return nil, errors.New("url: want https://hooks.slack.com/services/T.../B.../..., as Slack shows it")
	}
	service := url.URL{Scheme: "slack", User: url.UserPassword("hook", strings.Join(parts, "-")), Host: "webhook"}
	return newRelay(service.String(), func(m *Message) string {
		var lines []string
		for _, l := range m.body() {
			lines = append(lines, slackText(l))
		}
		return cutRunes(strings.Join(lines, "\n"), 8000)
	}, func(m *Message) types.Params {
		return types.Params{"title": cutRunes(slackText(m.Headline), 2000), "color": m.colour()}
	})
}

// newMattermost is an incoming webhook, https://host/hooks/...
func newMattermost(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, err
	}
	token, ok := strings.CutPrefix(strings.Trim(u.Path, "/"), "hooks/")
	if !ok || token == "" || strings.Contains(token, "/") {
		return nil, errors.New("url: want https://host/hooks/..., as Mattermost shows it")
	}
	if r.CA != "" {
		return nil, errors.New("ca: Mattermost is reached with the system's authorities alone (SSL_CERT_FILE adds some)")
	}
	service := url.URL{Scheme: "mattermost", Host: u.Host, Path: "/" + token}
	if len(r.To) == 1 {
		service.Path += "/" + r.To[0]
	} else if len(r.To) > 1 {
		return nil, errors.New("to: want one channel at most")
	}
	if u.Scheme == "http" {
		service.RawQuery = "disabletls=yes"
	}
	return newRelay(service.String(), func(m *Message) string {
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
		return cutRunes(strings.Join(lines, "\n"), 16_000)
	}, func(*Message) types.Params { return types.Params{} })
}

// newNtfy publishes to a topic, https://host/topic.
func newNtfy(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, err
	}
	topic := strings.Trim(u.Path, "/")
	if topic == "" || strings.Contains(topic, "/") {
		return nil, errors.New("url: want https://host/topic")
	}
	if r.CA != "" {
		return nil, errors.New("ca: ntfy is reached with the system's authorities alone (SSL_CERT_FILE adds some)")
	}
	service := url.URL{Scheme: "ntfy", Host: u.Host, Path: "/" + topic, RawQuery: "scheme=" + u.Scheme}
	switch {
	case r.Token != "":
		service.User = url.UserPassword("", r.Token) // ntfy takes a token as the password of nobody
	case r.User != "":
		service.User = url.UserPassword(r.User, r.Password)
	}
	return newRelay(service.String(), func(m *Message) string {
		return m.text(3900) // ntfy makes a file of more than 4096 bytes
	}, func(m *Message) types.Params {
		priority := map[Severity]string{Critical: "max", Warning: "high", Info: "default"}[m.Severity]
		if m.Severity == Info && !m.First {
			priority = "low"
		}
		return types.Params{"title": asciiOnly(plain(m.Subject)), "priority": priority, "tags": "weir," + string(m.Kind), "click": m.Link}
	})
}

// asciiOnly is for a header's value.
func asciiOnly(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// newShoutrrr is any other service of shoutrrr's, by its own URL
// (https://shoutrrr.nickfedor.com/services/overview/).
func newShoutrrr(r *resolved) (channel, error) {
	if scheme, _, ok := strings.Cut(r.URL, "://"); !ok || scheme == "" {
		return nil, errors.New("url: want one as shoutrrr has them, such as gotify://host/token")
	} else if scheme == "logger" {
		return nil, errors.New("url: logger:// tells nobody")
	}
	return newRelay(r.URL, func(m *Message) string {
		// What markup the service reads is not known here: break what would call people.
		return cut(strings.ReplaceAll(m.text(3900), "@", "@\u200b"), 4000)
	}, func(m *Message) types.Params { return types.Params{"title": plain(m.Subject)} })
}
