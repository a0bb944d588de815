package statuspage

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds.
const (
	MaxComponents = 200
	MaxLanguages  = 20
	// Days is how far back the page shows.
	Days = 90
)

// Component is a site as the public knows it. Only these are public.
type Component struct {
	Site  string
	Name  string
	Group string // components of one group stand together; "" is none
	About string // one line
}

// Options are a Page's.
type Options struct {
	// Dir is where posts and the ledger are kept; it is made.
	Dir string
	// Folder is where the page is written for a web server; it is made.
	Folder string
	// Title heads the page; URL is where the public reads it, "" where nobody knows.
	Title, URL string
	// Components in the order of the page.
	Components []Component
	// Texts are the languages, the page's own first.
	Texts []Texts
	// Zone is in which moments are written; nil is UTC. Days are UTC's.
	Zone *time.Location
	// Measured says that a component's state is what was measured, where no post says
	// something worse. Otherwise posts alone decide.
	Measured bool
	// AutomaticAfter is after how long a draft is published by itself; 0 is never.
	AutomaticAfter time.Duration
	// UpdateEvery is within which time drafts promise the next update; 30 min.
	UpdateEvery time.Duration
	// Budget is the share of visitors that measures may touch, at most.
	Budget float64
	// Places are where the page is pushed to, every PushEvery (5 min) and at once when
	// there is something new to read.
	Places    []Place
	PushEvery time.Duration
	// Notify, if not nil, is told what a person should know. It must not block for long.
	Notify func(Notice)
	// Said, if not nil, is given every word that is published, for channels that the
	// public follows; it may be given the same again after a restart.
	Said       func(Saying)
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	renderEvery time.Duration // 15 s; tests, in which hours pass, render less often
}

func (o Options) withDefaults() (Options, error) {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.UpdateEvery == 0 {
		o.UpdateEvery = 30 * time.Minute
	}
	if o.renderEvery == 0 {
		o.renderEvery = renderEvery
	}
	if o.PushEvery == 0 {
		o.PushEvery = 5 * time.Minute
	}
	if o.Title == "" {
		o.Title = "Status"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Notify == nil {
		o.Notify = func(Notice) {}
	}
	if o.Said == nil {
		o.Said = func(Saying) {}
	}
	if len(o.Texts) == 0 {
		english, err := Language("en", "")
		if err != nil {
			return o, err
		}
		o.Texts = []Texts{english}
	}
	return o, o.check()
}

func (o *Options) check() error {
	switch {
	case o.Dir == "":
		return errors.New("status page: no directory to keep posts in")
	case !filepath.IsAbs(o.Folder):
		return fmt.Errorf("status page: the folder %q is not absolute", o.Folder)
	case len(o.Components) == 0:
		return errors.New("status page: no component: name the sites that are public")
	case len(o.Components) > MaxComponents:
		return fmt.Errorf("status page: %d components, at most %d", len(o.Components), MaxComponents)
	case len(o.Texts) > MaxLanguages:
		return fmt.Errorf("status page: %d languages, at most %d", len(o.Texts), MaxLanguages)
	}
	seen := make(map[string]bool)
	for _, c := range o.Components {
		if c.Site == "" || c.Name == "" {
			return errors.New("status page: a component needs a site and a name")
		}
		if seen[c.Site] {
			return fmt.Errorf("status page: the site %s is a component twice", c.Site)
		}
		seen[c.Site] = true
	}
	if o.URL != "" {
		return CheckURL(o.URL)
	}
	return nil
}

// CheckURL says what is wrong with the address of the page.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q: want https://status.example.org/ or the like", text)
	}
	return nil
}

// NoticeKind says what a Notice is about.
type NoticeKind string

// The kinds of notices.
const (
	DraftReady    NoticeKind = "draft_ready"    // words wait for a person
	Automatically NoticeKind = "automatic"      // weir has published by itself
	UpdateDue     NoticeKind = "update_due"     // an update that was promised
	SeemsOver     NoticeKind = "seems_over"     // everything that a public post is about has ended
	PlaceStale    NoticeKind = "place_stale"    // an independent place shows something old
	PlaceRestored NoticeKind = "place_restored" // and shows the present again
)

// Notice is what a person should know. ID is the same where the same is said again, as
// after a crash.
type Notice struct {
	ID      string
	Kind    NoticeKind
	Post    string    // its id; "" where it is about a place
	Title   string    // of the post, or the place's name
	Text    string    // the words of a draft; what is wrong with a place
	Due     time.Time // when the update was promised
	Command string    // what to type
}

// Saying is something that was said to the public, in the page's own language.
type Saying struct {
	ID    string // the same for the same words
	Post  string
	Title string
	Text  string
	Link  string // to the post on the page; "" where its address is not known
	Over  bool
}
