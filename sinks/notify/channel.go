package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ChannelOptions say where a channel is and how it is reached.
type ChannelOptions struct {
	Type string // one of ChannelTypes
	// URL is the service's address, or the webhook's. It, Token, Password and User may
	// hold ${NAME}: the environment variable's value. The ...File are read instead.
	URL, URLFile           string
	Token, TokenFile       string
	User                   string
	Password, PasswordFile string
	From                   string   // e-mail: the sender
	To                     []string // recipients, a room, a chat: as the type wants
	CA                     string   // a PEM file of authorities to trust beside the system's
	// Awake says that quiet hours do not count here.
	Awake bool
	// Limit is how many messages it takes in LimitSpan at most; what is over it is joined.
	// 0 is no limit.
	Limit int
}

// LimitSpan is what ChannelOptions.Limit counts over.
const LimitSpan = 10 * time.Minute

// channel is one service, one recipient.
type channel interface {
	// send hands over one message and returns once the service has taken it. earlier is
	// what an earlier send of the thread returned, or empty: later messages answer it.
	// Sending again what was sent already is harmless where idempotent says so. The
	// error may hold secrets, and wraps a refusal where the service said no.
	send(ctx context.Context, m *Message, earlier string) (ref string, err error)
	// idempotent reports whether the service tells a message sent twice by its key.
	idempotent() bool
}

// resolver keeps a thread's state with the service (an alert that somebody is woken by):
// a message that ends it does not wait for the morning.
type resolver interface{ resolves() bool }

// editor edits the newest message of a thread, so that what it called that one is kept,
// and not what it called the first.
type editor interface{ edits() bool }

// refusal is the service's answer that it does not take the message.
type refusal struct {
	status int           // of HTTP, or of SMTP
	after  time.Duration // when it wants to be asked again; 0 where it did not say
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("refused with %d: %s", r.status, r.text) }

// final reports whether asking again the same would be refused again.
func (r *refusal) final() bool {
	switch r.status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return r.status >= 550 && r.status < 560 // SMTP: no such mailbox, message refused
}

// tries is how many refusals are enough where they are final. An address may be missing
// for some minutes, while a service is set up anew.
func (r *refusal) tries() int {
	if r.status == http.StatusNotFound || r.status == http.StatusGone {
		return goneTries
	}
	return finalTries
}

// own reports whether it is this message that is refused, rather than everything: the
// others need not wait for it. The 4xx of SMTP, which are from 421 on, mean later.
func (r *refusal) own() bool {
	switch r.status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout:
		return false
	case http.StatusUnprocessableEntity:
		return true
	}
	return r.status >= 400 && r.status <= http.StatusTeapot || r.final()
}

// kind of channels, by name.
var makers = map[string]func(o *resolved) (channel, error){
	"matrix": newMatrix, "email": newEmail, "slack": newSlack, "discord": newDiscord, "mattermost": newMattermost,
	"teams": newTeams, "telegram": newTelegram, "ntfy": newNtfy, "pagerduty": newPagerDuty, "opsgenie": newOpsgenie,
	"mastodon": newMastodon, "webhook": newWebhook, "shoutrrr": newShoutrrr,
}

// ChannelTypes are the names of all kinds of channels.
func ChannelTypes() []string {
	var names []string
	for name := range makers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// resolved is options with the secrets in place.
type resolved struct {
	ChannelOptions
	http *http.Client
}

// newChannel checks everything that can be checked without asking the service.
func newChannel(o ChannelOptions, s *secrets) (channel, error) {
	maker, ok := makers[o.Type]
	if !ok {
		return nil, fmt.Errorf("type: there is no %q; one of %s", inert(o.Type, 40), strings.Join(ChannelTypes(), ", "))
	}
	r := &resolved{ChannelOptions: o}
	for _, field := range []struct {
		key        string
		value, set *string
		file       string
		secret     bool
	}{
		{"url", &o.URL, &r.URL, o.URLFile, true}, {"token", &o.Token, &r.Token, o.TokenFile, true},
		{"password", &o.Password, &r.Password, o.PasswordFile, true}, {"user", &o.User, &r.User, "", false},
	} {
		value, err := resolve(field.key, *field.value, field.file)
		if err != nil {
			return nil, err
		}
		*field.set = value
		if field.secret {
			s.add(value, field.key == "url")
		}
	}
	var err error
	if r.http, err = newClient(r.CA); err != nil {
		return nil, err
	}
	c, err := maker(r)
	if err != nil {
		return nil, s.clean(err)
	}
	return c, nil
}

// one wants exactly one recipient.
func (r *resolved) one(what string) (string, error) {
	if len(r.To) != 1 || r.To[0] == "" {
		return "", fmt.Errorf("to: want one %s, have %d; another is another channel", what, len(r.To))
	}
	return r.To[0], nil
}

func (r *resolved) wantToken(what string) error {
	if r.Token == "" {
		return errors.New("token: want " + what + ", as token or token_file")
	}
	return nil
}

// colour is what severities look like where a service shows one.
func (m *Message) colour() string {
	switch {
	case m.Last || m.Kind == Mitigated:
		return "#2e7d32"
	case m.Severity == Critical:
		return "#c62828"
	case m.Severity == Warning:
		return "#ef6c00"
	}
	return "#1565c0"
}
