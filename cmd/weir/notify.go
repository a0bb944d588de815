package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // quiet hours on a machine without zone files

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/notify"
)

type notifyCommand struct {
	Test notifyTestCommand `cmd:"" help:"Send a test message to every channel, or to one."`
}

type notifyTestCommand struct {
	Channel string `arg:"" optional:"" help:"Its name in the configuration; by default each."`
	Output  string `default:"text" enum:"text,json" help:"text or json."`
}

// Run sends at once, past routes, limits and quiet hours.
func (c *notifyTestCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if len(configuration.Notify.Channels) == 0 {
		return usagef("there is no channel: the configuration has none under notify.channels (docs/notifications.md); give it with --config")
	}
	o, err := notifyOptions(configuration)
	if err != nil {
		return err
	}
	tried, err := notify.Try(ctx, o, c.Channel)
	if err != nil {
		return usageError{err}
	}
	failed := 0
	for _, t := range tried {
		if t.Err != nil || len(t.Refused) > 0 {
			failed++
		}
	}
	if c.Output == "json" {
		if err := json.NewEncoder(s.out).Encode(tried); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.out, "%-20s %-11s %8s  %s\n", "channel", "type", "took", "result")
		for _, t := range tried {
			result := "taken"
			if t.Err != nil {
				result = "FAILED: " + printable(t.Error, 300)
			}
			if len(t.Refused) > 0 {
				result += "; REFUSED: " + printable(strings.Join(t.Refused, "; "), 300)
			}
			fmt.Fprintf(s.out, "%-20s %-11s %8s  %s\n", printable(t.Channel, 40), t.Type, short(t.Took), result)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s did not take the test message, or not for everybody", failed, plural(len(tried), "channel"))
	}
	return nil
}

// notifyOptions are what the configuration says of notify.
func notifyOptions(c config.Config) (notify.Options, error) {
	n := c.Notify
	o := notify.Options{
		Dir: filepath.Join(c.Data, "notify"), Name: n.Name, Grafana: n.Grafana,
		Mode:     func(site string) string { return string(c.ModeOf(site)) },
		Channels: make(map[string]notify.ChannelOptions), Gather: n.Gather, UpdateEvery: n.Every,
		Heartbeat: notify.HeartbeatOptions{URL: string(n.Heartbeat.URL), URLFile: n.Heartbeat.URLFile, Every: n.Heartbeat.Every},
	}
	if o.Name == "" {
		o.Name = c.Edge.Name
	}
	for name, ch := range n.Channels {
		o.Channels[name] = notify.ChannelOptions{
			Type: ch.Type, URL: string(ch.URL), URLFile: ch.URLFile, Token: string(ch.Token), TokenFile: ch.TokenFile, User: ch.User,
			Password: string(ch.Password), PasswordFile: ch.PasswordFile, From: ch.From, To: ch.To, CA: ch.CA, Limit: ch.Limit,
			Awake: ch.Quiet == "ignore",
		}
	}
	for _, r := range n.Routes {
		route := notify.Route{Sites: r.Sites, Severity: notify.Severity(r.Severity), Channels: r.Channels}
		for _, kind := range r.Kinds {
			route.Kinds = append(route.Kinds, notify.Kind(kind))
		}
		o.Routes = append(o.Routes, route)
	}
	if n.Quiet.From != "" {
		from, err := notify.ParseClock(n.Quiet.From)
		if err != nil {
			return o, usageError{err}
		}
		to, err := notify.ParseClock(n.Quiet.To)
		if err != nil {
			return o, usageError{err}
		}
		zone, err := n.Quiet.Location()
		if err != nil {
			return o, usageError{err}
		}
		o.Quiet = notify.Quiet{From: from, To: to, Zone: zone, Hold: notify.Severity(n.Quiet.Hold)}
	}
	return o, nil
}

// notifying tells people of what goes over the bus.
//
//	WEIR_INCIDENTS, WEIR_DECISIONS -> notifier -> Matrix, e-mail, ...
//	weir.panes.signals, health ──────────┘
type notifying struct {
	bus      *bus.Bus
	notifier *notify.Notifier
	log      *slog.Logger
}

// newNotifying checks what the configuration says of notify; nil where it tells nobody.
func newNotifying(ctx context.Context, b *bus.Bus, c config.Config, stream string, health *health, enforcing *enforcing, edges *edgeBoard, log *slog.Logger, metrics prometheus.Registerer) (*notifying, error) {
	if len(c.Notify.Channels) == 0 && c.Notify.Heartbeat.URL == "" && c.Notify.Heartbeat.URLFile == "" {
		return nil, nil
	}
	o, err := notifyOptions(c)
	if err != nil {
		return nil, err
	}
	if enforcing != nil {
		o.Mode = enforcing.modes.text
	}
	o.Stream, o.Ailing, o.Healthy, o.Logger, o.Registerer = stream, health.ailing, health.healthy, log, metrics
	o.Enforcing = func() bool { return enforcing.on() || edges.enforces(c.Edge.Name, time.Now()) }
	if !enforcing.holds() {
		o.Idle = "no nginx on this machine is weir's to enforce on, no bouncer asks it, and no edge elsewhere reports"
	}
	n, err := notify.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return &notifying{bus: b, notifier: n, log: log}, nil
}

// run tells people until ctx ends.
func (r *notifying) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.notifier.Run(ctx) })
	for stream, subject := range map[string]string{schemas.StreamIncidents: schemas.SubjectIncidents, schemas.StreamDecisions: schemas.SubjectDecisions} {
		group.Go(func() error { return r.follow(ctx, stream, subject) })
	}
	group.Go(func() error { return r.signals(ctx) })
	return group.Wait()
}

// follow hands over changes, from where the notifier's own state has got to. What a
// detector says that was replaced is not told. The message that was read last is read
// again for its revision, which the state does not keep.
func (r *notifying) follow(ctx context.Context, stream, subject string) error {
	var sets schemas.EventSets
	return r.bus.Follow(ctx, bus.FollowOptions{
		Stream: stream, Subjects: []string{subject}, From: max(r.notifier.Position(stream), 1), Reader: "notify",
	}, func(_ context.Context, m *bus.Message) error {
		header, events, err := schemas.DecodeEvents(m.Data())
		if err == nil {
			events, _, err = sets.Add(header, events)
		}
		if err != nil {
			// The position stays: a stale message has no revision to go on from.
			r.log.Warn("a message of events was passed over", "stream", stream, "sequence", m.Sequence(), "error", err)
			return nil
		}
		r.notifier.Apply(stream, m.Sequence(), events)
		return nil
	})
}

// signals hands over what sites' visitors meet, from now on.
func (r *notifying) signals(ctx context.Context) error {
	last, err := r.bus.LastSequence(ctx, schemas.StreamPanes)
	if err != nil {
		return ctxDone(ctx, err)
	}
	return r.bus.Follow(ctx, bus.FollowOptions{
		Stream: schemas.StreamPanes, Subjects: []string{schemas.SubjectSignals}, From: last + 1, Reader: "notify",
	}, func(_ context.Context, m *bus.Message) error {
		r.notifier.Signals(readSignals(m.Data()))
		return nil
	})
}

// readSignals reads what publishSignals wrote; what cannot be read is left out.
func readSignals(data []byte) []schemas.SignalRow {
	var rows []schemas.SignalRow
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, schemas.MaxMessage)
	for lines.Scan() {
		var row schemas.SignalRow
		if json.Unmarshal(lines.Bytes(), &row) == nil {
			rows = append(rows, row)
		}
	}
	return rows
}

// checkNotify says where people are told, without what is secret.
func checkNotify(c config.Config) ([]string, error) {
	if len(c.Notify.Channels) == 0 {
		return nil, nil
	}
	o, err := notifyOptions(c)
	if err != nil {
		return nil, err
	}
	lines, err := notify.Describe(o)
	if err != nil {
		return nil, usageError{err}
	}
	return lines, nil
}
