package statuspage

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Bounds on posts.
const (
	MaxTitle   = 200    // bytes
	MaxText    = 10_000 // bytes
	maxUpdates = 200
	maxPosts   = 2000
)

// Doing is what an entry of the journal did.
type Doing string

// What can be done to a post.
const (
	doDraft   Doing = "draft"   // made
	doExtend  Doing = "extend"  // more sites, incidents, a worse impact
	doEdit    Doing = "edit"    // the words of a draft
	doPublish Doing = "publish" // a draft, or at once
	doUpdate  Doing = "update"
	doResolve Doing = "resolve"
	doDiscard Doing = "discard" // a draft
	doEnd     Doing = "end"     // its incidents have closed
	doReopen  Doing = "reopen"  // and one has opened again
	doMark    Doing = "mark"    // a notice was given
)

// Entry is one line of the journal: who did what to a post, and when.
type Entry struct {
	Time       time.Time `json:"time"`
	By         string    `json:"by"` // "weir", or a user of the machine
	Do         Doing     `json:"do"`
	Post       string    `json:"post"`
	Version    int       `json:"version"` // of the post, with this
	Title      Words     `json:"title,omitempty"`
	Text       Words     `json:"text,omitempty"`
	Stage      Stage     `json:"stage,omitempty"`
	Impact     Impact    `json:"impact,omitempty"`
	Components []string  `json:"components,omitempty"`
	Incidents  []string  `json:"incidents,omitempty"`
	Began      time.Time `json:"began,omitzero"`
	Next       time.Time `json:"next,omitzero"`
	From       time.Time `json:"from,omitzero"`
	Until      time.Time `json:"until,omitzero"`
	Held       bool      `json:"held,omitempty"`
	Mark       string    `json:"mark,omitempty"`
}

// byWeir is the By of what no person did.
const byWeir = "weir"

// posts is what the journal's entries make.
type posts struct {
	byID  map[string]*Post
	order []string // the oldest first
}

func newPosts() *posts { return &posts{byID: make(map[string]*Post)} }

// all are the posts, the newest first.
func (s *posts) all() []*Post {
	out := make([]*Post, 0, len(s.order))
	for _, id := range slices.Backward(s.order) {
		out = append(out, s.byID[id])
	}
	return out
}

// newID is a free id.
func (s *posts) newID(now time.Time) string {
	base := now.UTC().Format("p060102-150405")
	id := base
	for n := 2; s.byID[id] != nil; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	return id
}

// apply changes the posts by one entry, or says why that cannot be, and changes
// nothing then.
func (s *posts) apply(e Entry) error {
	if err := e.bounds(); err != nil {
		return err
	}
	p := s.byID[e.Post]
	made := p == nil
	if made {
		if e.Do != doDraft && e.Do != doPublish {
			return fmt.Errorf("there is no post %s", e.Post)
		}
		if len(s.order) >= maxPosts {
			s.forget()
		}
		p = &Post{ID: e.Post, Standing: Draft, Made: e.Time, Impact: NoImpact, Began: e.Time}
	}
	if err := e.fits(p); err != nil {
		return err
	}
	p.Version++
	e.Version = p.Version
	p.merge(&e)
	p.step(&e)
	if e.By != byWeir {
		p.ByHand = true
	}
	p.Audit = append(p.Audit, e)
	if made {
		s.byID[e.Post] = p
		s.order = append(s.order, e.Post)
	}
	return nil
}

// forget drops the oldest post that is over, or the oldest.
func (s *posts) forget() {
	at := slices.IndexFunc(s.order, func(id string) bool { p := s.byID[id]; return !p.open() && p.Standing != Draft })
	at = max(at, 0)
	delete(s.byID, s.order[at])
	s.order = slices.Delete(s.order, at, at+1)
}

// fits says why an entry cannot follow on a post as it is.
func (e *Entry) fits(p *Post) error {
	switch e.Do {
	case doDraft:
		if p.Version > 0 {
			return fmt.Errorf("post %s is there already", p.ID)
		}
	case doPublish:
		if p.Standing != Draft {
			return fmt.Errorf("post %s is %s already", p.ID, p.Standing)
		}
	case doUpdate, doResolve:
		if p.Standing != Public {
			return fmt.Errorf("post %s is not public, but %s", p.ID, p.Standing)
		}
		if !p.Resolved.IsZero() {
			return fmt.Errorf("post %s was resolved; publish another", p.ID)
		}
		if len(p.Updates) >= maxUpdates && e.Do == doUpdate {
			return fmt.Errorf("post %s has %d updates: resolve it and publish another", p.ID, maxUpdates)
		}
	case doDiscard, doEdit:
		if p.Standing != Draft {
			return fmt.Errorf("post %s is not a draft, but %s", p.ID, p.Standing)
		}
	case doExtend, doEnd, doReopen, doMark:
	default:
		return fmt.Errorf("nothing is called %q", e.Do)
	}
	if e.Do == doMark && len(p.Marks) >= 2*maxUpdates {
		return errors.New("too many marks")
	}
	return nil
}

func (e *Entry) bounds() error {
	for _, w := range []struct {
		Words
		what string
		most int
	}{{e.Title, "title", MaxTitle}, {e.Text, "text", MaxText}} {
		if len(w.Words) > MaxLanguages+1 {
			return fmt.Errorf("a %s in %d languages, at most %d", w.what, len(w.Words), MaxLanguages)
		}
		for _, text := range w.Words {
			if len(text) > w.most {
				return fmt.Errorf("a %s of %d bytes, at most %d", w.what, len(text), w.most)
			}
			if !utf8.ValidString(text) {
				return fmt.Errorf("a %s that is not UTF-8", w.what)
			}
		}
	}
	switch {
	case e.Post == "" || len(e.Post) > 40:
		return errors.New("no post is named")
	case len(e.Components) > MaxComponents:
		return fmt.Errorf("%d components, at most %d", len(e.Components), MaxComponents)
	case e.Impact != "" && !e.Impact.Valid():
		return fmt.Errorf("no impact is called %q: want none, minor, major or critical", e.Impact)
	case !e.From.IsZero() != !e.Until.IsZero() || e.Until.Before(e.From):
		return errors.New("a maintenance needs a beginning and a later end")
	case len(e.By) > 200 || len(e.Mark) > 200:
		return errors.New("an entry is out of bounds")
	}
	return nil
}

// maxIncidents bounds the incidents that a post remembers.
const maxIncidents = 1000

// merge takes over what the entry brings, whatever it does.
func (p *Post) merge(e *Entry) {
	if len(e.Title) > 0 {
		p.Title = mergeWords(p.Title, e.Title)
	}
	if e.Impact != "" {
		p.Impact = e.Impact
	}
	for _, site := range e.Components {
		if !slices.Contains(p.Components, site) {
			p.Components = append(p.Components, site)
		}
	}
	for _, incident := range e.Incidents {
		if !slices.Contains(p.Incidents, incident) && len(p.Incidents) < maxIncidents {
			p.Incidents = append(p.Incidents, incident)
		}
	}
	if !e.Began.IsZero() {
		p.Began = e.Began
	}
	if !e.From.IsZero() {
		p.From, p.Until = e.From, e.Until
	}
}

// step moves the post on.
func (p *Post) step(e *Entry) {
	say := func(stage Stage) {
		p.Updates = append(p.Updates, Update{Time: e.Time, Stage: stage, Text: e.Text, Next: e.Next, By: e.By})
	}
	switch e.Do {
	case doDraft, doEdit:
		p.Held = e.Held
		if len(e.Text) > 0 { // a draft has one text, its words if it is published
			p.Updates = []Update{{Time: e.Time, Stage: orStage(e.Stage, Investigating), Text: e.Text, Next: e.Next, By: e.By}}
		}
	case doExtend:
		p.Held = e.Held
	case doPublish:
		p.Standing, p.Published, p.Updates = Public, e.Time, nil
		first := Investigating
		if p.Planned() {
			first = Scheduled
		}
		say(orStage(e.Stage, first))
	case doUpdate:
		say(orStage(e.Stage, p.Stage(e.Time)))
	case doResolve:
		p.Resolved = e.Time
		if p.Planned() {
			say(Completed)
		} else {
			say(Resolved)
		}
	case doDiscard:
		p.Standing = Discarded
	case doEnd:
		p.Ended = e.Time
	case doReopen:
		p.Ended = time.Time{}
	case doMark:
		if p.Marks == nil {
			p.Marks = make(map[string]time.Time)
		}
		p.Marks[e.Mark] = e.Time
	}
}

func orStage(s, otherwise Stage) Stage {
	if s == "" {
		return otherwise
	}
	return s
}

func mergeWords(old, more Words) Words {
	if _, all := more[""]; all {
		return more
	}
	out := Words{}
	for language, text := range old {
		out[language] = text
	}
	for language, text := range more {
		out[language] = text
	}
	return out
}
