package statuspage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Action is what a person wants done.
type Action struct {
	Do         string   `json:"do"` // draft, publish, update, resolve, discard
	Post       string   `json:"post,omitempty"`
	By         string   `json:"-"` // set by whoever knows
	Title      string   `json:"title,omitempty"`
	Text       string   `json:"text,omitempty"`
	Language   string   `json:"language,omitempty"` // of title and text; "" is all
	Template   string   `json:"template,omitempty"`
	Components []string `json:"components,omitempty"` // names or sites
	Impact     Impact   `json:"impact,omitempty"`
	Stage      Stage    `json:"stage,omitempty"`
	// Next is within which time the next update is promised; 0 is the usual time,
	// negative is no promise.
	Next  time.Duration `json:"next,omitempty"`
	Since time.Time     `json:"since,omitzero"`
	From  time.Time     `json:"from,omitzero"`
	Until time.Time     `json:"until,omitzero"`
	// Anyway lets words pass that Telltale finds something in.
	Anyway bool `json:"anyway,omitempty"`
}

// ErrAction is wrapped where an action cannot be done as it was asked for.
var ErrAction = errors.New("not done")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAction, fmt.Sprintf(format, args...))
}

// Act does what a person asked for and returns the post as it is then. What it returns
// is on disk. Errors that wrap ErrAction say what to ask for instead.
func (p *Page) Act(a Action) (Post, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	e, err := p.entry(&a, now)
	if err != nil {
		return Post{}, err
	}
	post, err := p.journal.add(e)
	if err != nil {
		return Post{}, refuse("%v", err)
	}
	p.o.Logger.Info("status page", "do", e.Do, "post", e.Post, "by", e.By)
	if e.Do != doDraft && e.Do != doEdit && e.Do != doDiscard {
		p.changed()
		p.sayNewest(post)
	}
	return post.clone(), nil
}

// entry is the line of the journal that an action means.
func (p *Page) entry(a *Action, now time.Time) (Entry, error) {
	e := Entry{Time: now, By: cmp.Or(a.By, "somebody"), Post: a.Post, Stage: a.Stage, Impact: a.Impact, Began: a.Since, From: a.From, Until: a.Until}
	if e.By == byWeir {
		e.By = "user weir" // nobody passes for the program
	}
	if err := p.checkAction(a, now); err != nil {
		return e, err
	}
	var err error
	if e.Components, err = p.sites(a.Components); err != nil {
		return e, err
	}
	switch a.Do {
	case "draft":
		e.Do = doEdit
		if a.Post == "" {
			e.Do = doDraft
		}
	case "publish":
		e.Do = doPublish
	case "update":
		e.Do = doUpdate
	case "resolve":
		e.Do = doResolve
	case "discard":
		e.Do = doDiscard
	default:
		return e, refuse("nothing is called %q: want draft, publish, update, resolve or discard", a.Do)
	}
	post, err := p.subject(a, &e, now)
	if err != nil || e.Do == doDiscard {
		return e, err
	}
	return e, p.say(a, &e, post, now)
}

// subject finds the post that an action is about, or makes one.
func (p *Page) subject(a *Action, e *Entry, now time.Time) (*Post, error) {
	if e.Post == "" && e.Do == doPublish && len(a.Components) == 0 {
		var drafts []string
		for _, post := range p.journal.all() {
			if post.Standing == Draft {
				drafts = append(drafts, post.ID)
			}
		}
		switch len(drafts) {
		case 0:
			return nil, refuse("there is no draft; to publish without one, name what is affected with --component")
		case 1:
			e.Post = drafts[0]
		default:
			return nil, refuse("there are several drafts, name one: %s", strings.Join(drafts[:min(len(drafts), 10)], ", "))
		}
	}
	if e.Post == "" && (e.Do == doUpdate || e.Do == doResolve || e.Do == doDiscard) {
		return nil, refuse("name the post; weir status list shows them")
	}
	if e.Post != "" {
		post := p.journal.byID[e.Post]
		if post == nil {
			return nil, refuse("there is no post %q; weir status list shows them", e.Post)
		}
		return post, nil
	}
	if len(e.Components) == 0 {
		return nil, refuse("name what is affected with --component: %s", strings.Join(p.allNames(), ", "))
	}
	e.Post = p.journal.newID(now)
	if e.Began.IsZero() {
		e.Began = now
	}
	if e.Impact == "" && a.From.IsZero() {
		e.Impact = Minor
	}
	return &Post{ID: e.Post, Components: e.Components, Began: e.Began, From: a.From, Until: a.Until, Impact: e.Impact, Made: now}, nil
}

// say gives an entry its words: the person's, a template's, or weir's draft.
func (p *Page) say(a *Action, e *Entry, post *Post, now time.Time) error {
	all := *post
	all.Components = slices.Concat(post.Components, e.Components)
	if !e.From.IsZero() {
		all.From, all.Until = e.From, e.Until
	}
	f := p.facts(&all, now)
	if a.Next != 0 {
		f.next = now.Add(a.Next)
	}
	if all.Planned() {
		f.template = cmp.Or(a.Template, "maintenance")
	}
	f.template = cmp.Or(a.Template, f.template)
	switch e.Do {
	case doUpdate:
		f.key, f.withoutTitle = "draft.update", true
	case doResolve:
		f.key, f.withoutTitle = "draft.resolve", true
		f.template = a.Template
	}
	if f.template != "" && !slices.Contains(p.o.Texts[0].Templates(), f.template) {
		return refuse("no template is called %q; there are %s", f.template, strings.Join(p.o.Texts[0].Templates(), ", "))
	}
	title, text := f.words(p.o.Texts)
	if e.Do == doPublish || e.Do == doEdit { // what a person has written into the draft stays
		if len(post.Title) > 0 && a.Template == "" {
			title = post.Title
		}
		if n := len(post.Updates); n > 0 && a.Template == "" && post.Standing == Draft {
			text = post.Updates[n-1].Text
		}
	}
	e.Title, e.Text = override(title, a.Title, a.Language), override(text, a.Text, a.Language)
	if e.Do == doUpdate || e.Do == doResolve {
		e.Title = nil
		if a.Title != "" {
			e.Title = Words{a.Language: a.Title}
		}
	}
	if a.Next >= 0 && e.Do != doResolve && !all.Planned() {
		e.Next = f.next
	}
	e.Held = post.Held
	return nil
}

// override puts a person's words in the place of others.
func override(w Words, text, language string) Words {
	if text == "" {
		return w
	}
	if language == "" {
		return Words{"": text}
	}
	return mergeWords(w, Words{language: text})
}

func (p *Page) checkAction(a *Action, now time.Time) error {
	for _, text := range []string{a.Title, a.Text} {
		if found := Telltale(text); found != "" && !a.Anyway {
			return refuse("the words hold %q, which looks like an address or a detail of the defence; leave it out, or say --anyway", found)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
			return refuse("the words hold a control character")
		}
	}
	if strings.Contains(a.Title, "\n") {
		return refuse("a title is one line")
	}
	if a.Language != "" && !slices.ContainsFunc(p.o.Texts, func(t Texts) bool { return t.Tag == a.Language }) {
		return refuse("the page has no language %q", a.Language)
	}
	if a.Next > 30*24*time.Hour {
		return refuse("the next update within 30 days, or none")
	}
	if a.Since.After(now) {
		return refuse("it cannot have begun in the future; a maintenance has --from and --until")
	}
	stages := []Stage{"", Investigating, Identified, Monitoring}
	if !slices.Contains(stages, a.Stage) {
		return refuse("no stage is called %q: want investigating, identified or monitoring; resolve is a command", a.Stage)
	}
	return nil
}

// sites are those of components by their public name or their site.
func (p *Page) sites(names []string) ([]string, error) {
	var sites []string
	for _, name := range names {
		at := slices.IndexFunc(p.o.Components, func(c Component) bool { return c.Site == name || strings.EqualFold(c.Name, name) })
		if at < 0 {
			return nil, refuse("no component is called %q; there are %s", name, strings.Join(p.allNames(), ", "))
		}
		sites = append(sites, p.o.Components[at].Site)
	}
	return sites, nil
}

func (p *Page) allNames() []string {
	var names []string
	for _, c := range p.o.Components {
		names = append(names, c.Name)
	}
	return names
}

// Listed is a post as a person at the machine sees it.
type Listed struct {
	Post
	Names    []string  `json:"names"`
	Stage    Stage     `json:"stage"`
	NextDue  time.Time `json:"next_due,omitzero"`
	Language string    `json:"language,omitempty"`    // the page's first
	NewTitle Words     `json:"draft_title,omitempty"` // of a draft, as it would be published now
	NewText  Words     `json:"draft_text,omitempty"`
	Audit    []Entry   `json:"audit"`
}

// Heading is the post's title, or its draft's, in the page's first language.
func (l *Listed) Heading() string {
	if len(l.Title) > 0 {
		return l.Title.In(l.Language, "")
	}
	return l.NewTitle.In(l.Language, "")
}

// List is every post, the newest first.
func (p *Page) List() []Listed {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	out := []Listed{}
	for _, post := range p.journal.all() {
		l := Listed{Post: post.clone(), Names: p.names(post.Components), Stage: post.Stage(now), NextDue: post.Due(), Language: p.o.Texts[0].Tag}
		l.Audit = l.Post.Audit
		if post.Standing == Draft {
			l.NewTitle, l.NewText = p.draftWords(post, now)
		}
		out = append(out, l)
	}
	return out
}
