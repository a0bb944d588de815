package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Secret is a text that is never shown. It may be ${NAME}, an environment variable.
type Secret string

// String hides it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides it from JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Notify is who is told what.
type Notify struct {
	Name      string             `yaml:"name" doc:"What messages call this weir." default:"the edge's name"`
	Grafana   string             `yaml:"grafana" doc:"The page that messages link to, 'https://grafana.example.org/d/weir'; empty is none."`
	Channels  map[string]Channel `yaml:"channels" doc:"By a name of your own, where messages go; see [notifications](notifications.md)."`
	Routes    []Route            `yaml:"routes" doc:"Which messages go to which channels; each route that fits counts. Without any, all go to all."`
	Quiet     Quiet              `yaml:"quiet" doc:"When what can wait waits."`
	Heartbeat Heartbeat          `yaml:"heartbeat" doc:"Something elsewhere that hears from weir while it is healthy, and raises the alarm when it does not."`
	Gather    time.Duration      `yaml:"gather" doc:"How long a message waits for what follows at once."`
	Every     time.Duration      `yaml:"update_every" doc:"The least time between two messages about one thing, its end apart."`
}

// Channel is one service and one recipient.
type Channel struct {
	Type         string   `yaml:"type" doc:"'matrix', 'email', 'slack', 'discord', 'mattermost', 'teams', 'telegram', 'ntfy', 'pagerduty', 'opsgenie', 'mastodon', 'webhook' or 'shoutrrr'." default:"required"`
	URL          Secret   `yaml:"url" doc:"The service, or the webhook that it gave you. It is kept secret, all but the host."`
	URLFile      string   `yaml:"url_file" doc:"A file that holds it instead."`
	Token        Secret   `yaml:"token" doc:"An access token, an integration key, or the key that signs a 'webhook'."`
	TokenFile    string   `yaml:"token_file" doc:"A file that holds it instead."`
	User         string   `yaml:"user" doc:"Who signs in, with the password."`
	Password     Secret   `yaml:"password" doc:"The password. Secrets may be '${NAME}', an environment variable."`
	PasswordFile string   `yaml:"password_file" doc:"A file that holds it instead."`
	From         string   `yaml:"from" doc:"The sender of e-mail."`
	To           []string `yaml:"to" doc:"The recipients, the room or the chat."`
	CA           string   `yaml:"ca" doc:"A PEM file of an authority to trust as well as those of the system."`
	Limit        int      `yaml:"limit" doc:"Messages in ten minutes, at most; more are joined. 0 is no limit."`
	Quiet        string   `yaml:"quiet" doc:"'keep' quiet hours, or 'ignore' them."`
}

func defaultChannel() Channel { return Channel{Limit: 5, Quiet: "keep"} }

// Route sends some messages to some channels.
type Route struct {
	Channels []string `yaml:"channels" doc:"Their names." default:"required"`
	Sites    []string `yaml:"sites" doc:"Names, or '*.example.org'; empty is every site."`
	Severity string   `yaml:"severity" doc:"The least: 'info', 'warning' or 'critical'."`
	Kinds    []string `yaml:"kinds" doc:"Of 'opened', 'worsened', 'mitigated', 'closed', 'review', 'edge', 'trouble', 'over'; empty is all."`
}

func defaultRoute() Route { return Route{Severity: "info"} }

// Quiet is a part of each day.
type Quiet struct {
	From string `yaml:"from" doc:"'22:00'; empty is no quiet hours."`
	To   string `yaml:"to" doc:"'07:00'."`
	Zone string `yaml:"zone" doc:"The time zone, 'Europe/Berlin'."`
	Hold string `yaml:"hold" doc:"The most urgent that waits: 'info', 'warning' or 'critical'."`
}

// Heartbeat is where weir says that it lives.
type Heartbeat struct {
	URL     Secret        `yaml:"url" doc:"Asked for with GET; empty is none."`
	URLFile string        `yaml:"url_file" doc:"A file that holds it instead."`
	Every   time.Duration `yaml:"every" doc:"How often."`
}

func defaultNotify() Notify {
	return Notify{
		Quiet: Quiet{Zone: "UTC", Hold: "warning"}, Heartbeat: Heartbeat{Every: time.Minute}, Gather: 5 * time.Second, Every: 2 * time.Minute,
	}
}

// Location is the time zone of the quiet hours.
func (q Quiet) Location() (*time.Location, error) { return time.LoadLocation(q.Zone) }

func channelTypes() []string {
	return []string{"matrix", "email", "slack", "discord", "mattermost", "teams", "telegram", "ntfy", "pagerduty", "opsgenie", "mastodon", "webhook", "shoutrrr"}
}

// validateNotify looks at what needs no secret: those are read when they are used.
func (c *Config) validateNotify(d *decoder) {
	n := c.Notify
	if len(n.Name) > 60 {
		d.wrong("notify.name", "has %d bytes, at most 60", len(n.Name))
	}
	if n.Grafana != "" {
		if u, err := url.Parse(n.Grafana); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			d.wrong("notify.grafana", "want https://host/..., without a password")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Channels)) {
		ch, path := n.Channels[name], "notify.channels."+name
		if err := checkName(name); err != nil {
			d.wrong(path, "%v", err)
		}
		if ch.Type == "" {
			d.wrong(path, "without a type")
		} else {
			oneOf(d, path+".type", ch.Type, channelTypes()...)
		}
		between(d, path+".limit", ch.Limit, 0, 1000)
		oneOf(d, path+".quiet", ch.Quiet, "keep", "ignore")
	}
	severities := []string{"info", "warning", "critical"}
	for i, r := range n.Routes {
		path := fmt.Sprintf("notify.routes[%d]", i)
		if len(r.Channels) == 0 {
			d.wrong(path, "without channels")
		}
		for j, name := range r.Channels {
			if ch, ok := n.Channels[name]; !ok {
				d.wrong(fmt.Sprintf("%s.channels[%d]", path, j), "there is no channel %q; %s", name, suggestion(name, slices.Sorted(maps.Keys(n.Channels))))
			} else if ch.Type == "mastodon" {
				d.wrong(fmt.Sprintf("%s.channels[%d]", path, j), "%s is for the public, and gets what a person publishes: leave it out", name)
			}
		}
		oneOf(d, path+".severity", r.Severity, severities...)
		for j, kind := range r.Kinds {
			oneOf(d, fmt.Sprintf("%s.kinds[%d]", path, j), kind, "opened", "worsened", "mitigated", "closed", "review", "edge", "trouble", "over")
		}
	}
	c.validateQuiet(d, severities)
	between(d, "notify.heartbeat.every", n.Heartbeat.Every, time.Second, day)
	between(d, "notify.gather", n.Gather, 0, 10*time.Minute)
	between(d, "notify.update_every", n.Every, time.Second, day)
}

func (c *Config) validateQuiet(d *decoder, severities []string) {
	q := c.Notify.Quiet
	if (q.From == "") != (q.To == "") {
		d.wrong("notify.quiet", "want both from and to, or neither")
	}
	for key, clock := range map[string]string{"from": q.From, "to": q.To} {
		if _, err := time.Parse("15:04", clock); clock != "" && err != nil {
			d.wrong("notify.quiet."+key, "%q is no time of day: want 22:00, in quotes", clock)
		}
	}
	if _, err := q.Location(); err != nil || strings.EqualFold(q.Zone, "local") {
		d.wrong("notify.quiet.zone", "there is no time zone %q: want one such as Europe/Berlin", q.Zone)
	}
	oneOf(d, "notify.quiet.hold", q.Hold, severities...)
}
