package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/notify"
	"github.com/weir-project/weir/sinks/statuspage"
)

// telling keeps the status page.
//
//	weir.panes.signals, WEIR_INCIDENTS, WEIR_DECISIONS -> page -> folder, places
//	                          weir status (control socket) ┘
type telling struct {
	bus    *bus.Bus
	config config.Config
	stream string // names the streams as they are
	page   *statuspage.Page
	log    *slog.Logger
}

// newTelling checks what the configuration says of the status page; nil where there is
// none. Posts that cannot be read must not keep weir from its work: that is logged, and
// there is no page until it is mended.
func newTelling(b *bus.Bus, c config.Config, stream string, notifying *notifying, log *slog.Logger, metrics prometheus.Registerer) (*telling, error) {
	if c.Statuspage.Folder == "" {
		return nil, nil
	}
	o, err := statuspageOptions(c)
	if err != nil {
		return nil, usageError{err}
	}
	o.Logger, o.Registerer = log, metrics
	o.Notify = func(n statuspage.Notice) {
		log.Warn("status page", "notice", n.Kind, "post", n.Post, "title", n.Title, "text", n.Text, "command", n.Command)
		if notifying != nil {
			notifying.notifier.Remind(reminderOf(&n))
		}
	}
	o.Said = func(s statuspage.Saying) {
		if notifying != nil {
			notifying.notifier.Publish(notify.PublicWords{ID: s.ID, Thread: s.Post, Title: s.Title, Text: s.Text, Link: s.Link, Over: s.Over})
		}
	}
	page, err := statuspage.New(o)
	if err != nil {
		log.Error("there is no status page", "error", err)
		return nil, nil
	}
	return &telling{bus: b, config: c, stream: stream, page: page, log: log}, nil
}

// reminderOf is a notice as a message to the team.
func reminderOf(n *statuspage.Notice) notify.Reminder {
	r := notify.Reminder{ID: n.ID, Thread: n.Post, Subject: n.Title, Command: n.Command}
	if n.Text != "" {
		r.Lines = strings.Split(n.Text, "\n")
	}
	switch n.Kind {
	case statuspage.DraftReady:
		r.What, r.Waits = "words for the public wait for you", true
	case statuspage.Automatically:
		r.What = "the status page has spoken by itself, as the configuration wants"
	case statuspage.UpdateDue:
		r.What, r.Waits, r.Urgent = "the public was promised an update by "+n.Due.UTC().Format("15:04 UTC"), true, true
	case statuspage.SeemsOver:
		r.What, r.Waits = "what the public was told of seems to be over", true
	case statuspage.PlaceStale:
		r.Thread, r.What, r.Urgent = n.Title, "an independent place shows an old status page", true
		r.Command = "curl -s http://127.0.0.1:8480/metrics | grep weir_statuspage"
	case statuspage.PlaceRestored:
		r.Thread, r.What, r.Over = n.Title, "an independent place shows the present status page again", true
	}
	return r
}

// statuspageDir is where the status page keeps its posts.
func statuspageDir(data string) string { return filepath.Join(data, "statuspage") }

// statuspageOptions are what the configuration says, with its secrets and texts read.
func statuspageOptions(c config.Config) (statuspage.Options, error) {
	s := &c.Statuspage
	o := statuspage.Options{
		Dir: statuspageDir(c.Data), Folder: s.Folder, Title: s.Title, URL: s.URL, Measured: s.State == "measured",
		AutomaticAfter: s.AutomaticAfter, UpdateEvery: s.UpdateEvery, PushEvery: s.PushEvery, Budget: float64(c.Decisions.Collateral),
	}
	for _, component := range s.Components {
		o.Components = append(o.Components, statuspage.Component(component))
	}
	for _, tag := range s.Languages {
		texts, err := statuspage.Language(tag, s.Texts)
		if err != nil {
			return o, fmt.Errorf("statuspage.languages: %w", err)
		}
		o.Texts = append(o.Texts, texts)
	}
	var err error
	if o.Zone, err = s.Location(); err != nil {
		return o, fmt.Errorf("statuspage.zone: %w", err)
	}
	o.Places, err = statuspagePlaces(s)
	return o, err
}

// checkStatuspage says what is public and where; "" where there is no page. It reads the
// texts and the secrets, and pushes nothing.
func checkStatuspage(c config.Config) (string, error) {
	if c.Statuspage.Folder == "" {
		return "", nil
	}
	o, err := statuspageOptions(c)
	if err != nil {
		return "", usageError{err}
	}
	text := o.Folder + ", " + plural(len(o.Components), "component") + ", " + plural(len(o.Texts), "language")
	for _, place := range o.Places {
		text += ", " + place.Name()
	}
	return text, nil
}

func statuspagePlaces(s *config.Statuspage) (places []statuspage.Place, err error) {
	if b := s.S3; b.Bucket != "" {
		key, err := readSecret("statuspage.s3.secret_key", b.SecretKey, b.SecretKeyFile)
		if err != nil {
			return nil, err
		}
		places = append(places, &statuspage.S3{Endpoint: b.Endpoint, Region: b.Region, Bucket: b.Bucket, Prefix: b.Prefix, AccessKey: b.AccessKey, SecretKey: key})
	}
	if f := s.SFTP; f.Address != "" {
		place := &statuspage.SFTP{Address: f.Address, User: f.User, Directory: f.Directory, HostKey: f.HostKey}
		if f.KeyFile != "" {
			if place.Key, err = os.ReadFile(f.KeyFile); err != nil {
				return nil, fmt.Errorf("statuspage.sftp.key_file: %w", err)
			}
		} else if place.Password, err = readSecret("statuspage.sftp.password", f.Password, f.PasswordFile); err != nil {
			return nil, err
		}
		if err := place.Check(); err != nil {
			return nil, fmt.Errorf("statuspage.sftp: %w", err)
		}
		places = append(places, place)
	}
	if g := s.Git; g.URL != "" {
		place := &statuspage.Git{URL: g.URL, Branch: g.Branch, KeyFile: g.KeyFile, HostKey: g.HostKey}
		if g.Token != "" || g.TokenFile != "" {
			if place.Token, err = readSecret("statuspage.git.token", g.Token, g.TokenFile); err != nil {
				return nil, err
			}
		}
		if err := place.Check(); err != nil {
			return nil, fmt.Errorf("statuspage.git: %w", err)
		}
		places = append(places, place)
	}
	return places, nil
}

// environment is the form in which a secret names a variable.
var environment = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// readSecret is a secret from the environment, from its file, or as it stands in the
// configuration. Errors name the key and never a value.
func readSecret(key string, value config.Secret, file string) (string, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", key, err)
		}
		text := strings.TrimRight(string(data), "\r\n")
		if text == "" || len(text) > 64<<10 || strings.ContainsAny(text, "\r\n\x00") {
			return "", fmt.Errorf("%s_file: %s is not one line of text", key, file)
		}
		return text, nil
	}
	found := environment.FindStringSubmatch(string(value))
	if found == nil {
		return string(value), nil
	}
	text := os.Getenv(found[1])
	if text == "" {
		return "", fmt.Errorf("%s: the environment variable %s is not set", key, found[1])
	}
	return text, nil
}

// run keeps the page until ctx ends.
func (r *telling) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.page.Run(ctx) })
	group.Go(func() error { return r.signals(ctx) })
	group.Go(func() error { return r.incidents(ctx) })
	group.Go(func() error { return r.decisions(ctx) })
	return group.Wait()
}

func (r *telling) signals(ctx context.Context) error {
	return r.bus.Follow(ctx, bus.FollowOptions{
		Stream: schemas.StreamPanes, Subjects: []string{schemas.SubjectSignals}, Reader: "statuspage",
		From: r.page.From(r.stream, schemas.StreamPanes),
	}, func(_ context.Context, m *bus.Message) error {
		r.page.Signals(schemas.StreamPanes, m.Sequence(), readSignals(m.Data()))
		return nil
	})
}

func (r *telling) incidents(ctx context.Context) error {
	return r.bus.Follow(ctx, bus.FollowOptions{
		Stream: schemas.StreamIncidents, Subjects: []string{schemas.SubjectIncidents}, Reader: "statuspage",
		From: r.page.From(r.stream, schemas.StreamIncidents), CaughtUp: r.page.CaughtUp,
	}, func(_ context.Context, m *bus.Message) error {
		_, events, err := schemas.DecodeEvents(m.Data())
		if err != nil {
			r.log.Warn("a message of events was passed over", "stream", schemas.StreamIncidents, "sequence", m.Sequence(), "error", err)
			return nil
		}
		for i := range events {
			r.page.Incident(schemas.StreamIncidents, m.Sequence(), &events[i])
		}
		return nil
	})
}

// decisions hands over those that an edge enforces: what is only observed touches
// nobody.
func (r *telling) decisions(ctx context.Context) error {
	start, err := r.bus.SnapshotStart(ctx, schemas.StreamDecisions, schemas.SubjectSnapshot)
	if err != nil {
		return err
	}
	mode := enforcing{config: r.config, modes: newModes(r.config)}
	return followEvents(ctx, r.bus, r.log, bus.FollowOptions{
		Stream: schemas.StreamDecisions, From: start, Reader: "statuspage",
	}, func(events []schemas.Event, replace bool) { r.page.Decision(mode.enforced(events), replace) })
}

// errNoStatuspage says why weir status can do nothing.
var errNoStatuspage = errors.New("there is no status page: give the configuration statuspage.folder and statuspage.components (docs/statuspage.md); where it has them, weir run's log says why not")

// readBody reads a bounded body.
func readBody(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err == nil && len(data) > maxBody {
		err = fmt.Errorf("over %d bytes", maxBody)
	}
	return data, err
}
