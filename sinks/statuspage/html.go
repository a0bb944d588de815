package statuspage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed page.gohtml
var pageTemplate string

//go:embed page.css
var pageStyle string

// File is one file of the page.
type File struct {
	Name string // with slashes, relative to the page's folder
	Type string // the media type
	Body []byte
}

// renderer turns views into files. What it writes depends on the view alone.
type renderer struct {
	o    *Options
	html *template.Template
	csp  string
}

func newRenderer(o *Options) (*renderer, error) {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	sum := sha256.Sum256([]byte(pageStyle))
	return &renderer{o: o, html: t, csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"}, nil
}

// idOf is a short id that is always the same for the same thing.
func idOf(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + "/" + name))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:12]
}

// files are all of the page's: what is read last by a reader is written last.
func (r *renderer) files(v *view) ([]File, error) {
	files, err := r.json(v)
	if err != nil {
		return nil, err
	}
	for i, texts := range r.o.Texts {
		feed, err := r.atom(v, texts, i == 0)
		if err != nil {
			return nil, err
		}
		files = append(files, File{feedName(texts, i == 0), "application/atom+xml; charset=utf-8", feed})
	}
	for i := len(r.o.Texts) - 1; i >= 0; i-- { // index.html is the last
		page, err := r.page(v, r.o.Texts[i], i == 0)
		if err != nil {
			return nil, err
		}
		files = append(files, File{pageName(r.o.Texts[i], i == 0), "text/html; charset=utf-8", page})
	}
	return files, nil
}

func pageName(t Texts, first bool) string {
	if first {
		return "index.html"
	}
	return "index." + t.Tag + ".html"
}

func feedName(t Texts, first bool) string {
	if first {
		return "feed.atom"
	}
	return "feed." + t.Tag + ".atom"
}

// What the template is given: texts, and nothing to work out.
type htmlPage struct {
	Language, Title, URL, CSP, Feed, Self string
	Style                                 template.CSS
	Overall                               htmlState
	Current, Planned, Past                []htmlPost
	Groups                                []htmlGroup
	Languages                             []htmlLanguage
	Measured                              string
	MeasuredAt                            string
	T                                     func(string) string
}

type htmlState struct{ State, Text string }

type htmlLanguage struct {
	Tag, Name, Page string
	Here            bool
}

type htmlGroup struct {
	Name       string
	Components []htmlComponent
}

type htmlComponent struct {
	ID, Name, About, Uptime, Bars string
	State                         htmlState
	Days                          []htmlDay
	Known                         []htmlDay // those with data, the newest first
}

type htmlDay struct {
	X, Y, Height             int
	Class, Title             string
	Date, Served, FastWithin string
}

type htmlPost struct {
	ID, Title, When, Affected, Impact, Next string
	NextAt                                  string
	Stage                                   htmlState
	Updates                                 []htmlUpdate
}

type htmlUpdate struct {
	Stage, Time, At string
	Lines           []string
}

func (r *renderer) page(v *view, t Texts, first bool) ([]byte, error) {
	h := htmlPage{
		Language: t.Tag, Title: r.o.Title, URL: r.o.URL, CSP: r.csp, Style: template.CSS(pageStyle),
		Feed: feedName(t, first), Self: pageName(t, first),
		Overall: htmlState{string(v.state), t.Get("overall." + string(v.state))},
		Current: r.posts(v.current, v, t), Planned: r.posts(v.planned, v, t), Past: r.posts(v.past, v, t),
		Groups: r.groups(v, t), Measured: t.Get("measured.none"), T: func(key string) string { return t.Get(key) },
	}
	if !v.measured.IsZero() {
		h.Measured, h.MeasuredAt = t.Get("measured", "time", r.moment(v.measured)), v.measured.Format(time.RFC3339)
	}
	for i, other := range r.o.Texts {
		h.Languages = append(h.Languages, htmlLanguage{other.Tag, other.Get("language"), pageName(other, i == 0), other.Tag == t.Tag})
	}
	var out bytes.Buffer
	if err := r.html.Execute(&out, &h); err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	return out.Bytes(), nil
}

func (r *renderer) moment(t time.Time) string { return t.In(r.o.Zone).Format(momentLayout) }

// groups keep the order of the components; those of one group stand together where the
// first does.
func (r *renderer) groups(v *view, t Texts) []htmlGroup {
	var groups []htmlGroup
	at := make(map[string]int)
	for i := range v.components {
		c := &v.components[i]
		n, known := at[c.Group]
		if !known {
			n = len(groups)
			at[c.Group] = n
			groups = append(groups, htmlGroup{Name: c.Group})
		}
		groups[n].Components = append(groups[n].Components, r.component(c, t))
	}
	return groups
}

// The bars' drawing: units of the SVG.
const (
	barStep   = 4
	barHeight = 30
)

func (r *renderer) component(c *componentView, t Texts) htmlComponent {
	h := htmlComponent{
		ID: c.id, Name: c.Name, About: c.About, State: htmlState{string(c.state), t.Get("state." + string(c.state))},
		Uptime: t.Get("uptime.none"), Bars: t.Get("bars.none", "component", c.Name),
	}
	if served, fast, ok := c.sum.Shares(); ok {
		h.Uptime = t.Get("uptime", "served", percent(served), "fast", percent(fast))
		h.Bars = t.Get("bars", "component", c.Name, "days", fmt.Sprint(c.known), "served", percent(served))
	}
	for i := range c.days {
		d := &c.days[i]
		date := d.start.Format(dayLayout)
		day := htmlDay{X: i * barStep, Height: 3, Class: "d0", Date: date, Title: t.Get("day.none", "date", date)}
		if served, fast, ok := d.Shares(); ok {
			n := d.height()
			day.Height, day.Class = n*barHeight/5, fmt.Sprintf("d%d", n)
			day.Served, day.FastWithin = percent(served), percent(fast)
			day.Title = t.Get("day.title", "date", date, "served", day.Served, "fast", day.FastWithin)
		}
		day.Y = barHeight - day.Height
		h.Days = append(h.Days, day)
	}
	for i := len(h.Days) - 1; i >= 0; i-- {
		if h.Days[i].Served != "" {
			h.Known = append(h.Known, h.Days[i])
		}
	}
	return h
}

func (r *renderer) posts(posts []*Post, v *view, t Texts) []htmlPost {
	var out []htmlPost
	for _, post := range posts {
		stage := post.Stage(v.now)
		h := htmlPost{
			ID: post.ID, Title: r.words(post.Title, t), Stage: htmlState{string(stage), t.Get("stage." + string(stage))},
			Affected: t.Get("affected", "components", t.list(r.names(post.Components))),
			Impact:   string(post.Impact),
			When:     t.Get("since", "time", r.moment(post.Began)),
		}
		switch {
		case post.Planned():
			h.When = t.Get("window", "from", r.moment(post.From), "until", r.moment(post.Until))
		case post.over(v.now):
			h.When = t.Get("lasted", "from", r.moment(post.Began), "until", r.moment(post.Resolved))
		}
		if due := post.Due(); !due.IsZero() {
			h.Next, h.NextAt = t.Get("next", "time", r.moment(due)), due.UTC().Format(time.RFC3339)
		}
		for i := len(post.Updates) - 1; i >= 0; i-- {
			u := &post.Updates[i]
			h.Updates = append(h.Updates, htmlUpdate{
				Stage: t.Get("stage." + string(u.Stage)), Time: r.moment(u.Time), At: u.Time.UTC().Format(time.RFC3339),
				Lines: strings.Split(strings.TrimSpace(r.words(u.Text, t)), "\n"),
			})
		}
		out = append(out, h)
	}
	return out
}

// words are a post's in a language, or else in the page's own.
func (r *renderer) words(w Words, t Texts) string { return w.In(t.Tag, r.o.Texts[0].Tag) }

func (r *renderer) names(sites []string) []string {
	p := Page{o: *r.o}
	return p.names(sites)
}
