package statuspage

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Stage is how far the public story of an incident or a maintenance is.
type Stage string

// The stages of an incident, and those of a maintenance.
const (
	Investigating Stage = "investigating"
	Identified    Stage = "identified"
	Monitoring    Stage = "monitoring"
	Resolved      Stage = "resolved"

	Scheduled  Stage = "scheduled"
	InProgress Stage = "in_progress"
	Completed  Stage = "completed"
)

// Standing says who can read a post.
type Standing string

// The standings.
const (
	Draft     Standing = "draft"
	Public    Standing = "public"
	Discarded Standing = "discarded"
)

// Words are a text by language; "" is of every language that has none of its own.
type Words map[string]string

// In is the text in a language, or else in the fallback's.
func (w Words) In(language, fallback string) string {
	return cmp.Or(w[language], w[""], w[fallback], w.first())
}

// With are the languages of two texts, in order.
func (w Words) With(other Words) []string {
	all := maps.Clone(w)
	if all == nil {
		all = Words{}
	}
	maps.Copy(all, other)
	return slices.Sorted(maps.Keys(all))
}

func (w Words) first() string {
	for _, key := range slices.Sorted(maps.Keys(w)) {
		return w[key]
	}
	return ""
}

// Update is one thing said about a post's matter.
type Update struct {
	Time  time.Time `json:"time"`
	Stage Stage     `json:"stage"`
	Text  Words     `json:"text"`
	Next  time.Time `json:"next,omitzero"` // the promised next update
	By    string    `json:"by"`            // never public
}

// Post is what is, or may be, told about one incident or maintenance. It is what its
// entries in the journal make of it.
type Post struct {
	ID         string    `json:"id"` // "p261128-050812", the UTC second in which it was made
	Version    int       `json:"version"`
	Standing   Standing  `json:"standing"`
	Title      Words     `json:"title,omitempty"`
	Impact     Impact    `json:"impact"`
	Components []string  `json:"components"`          // sites
	Incidents  []string  `json:"incidents,omitempty"` // of weir; never public
	Began      time.Time `json:"began"`
	Made       time.Time `json:"made"`
	Published  time.Time `json:"published,omitzero"`
	Ended      time.Time `json:"ended,omitzero"` // its incidents have all closed
	Resolved   time.Time `json:"resolved,omitzero"`
	From       time.Time `json:"from,omitzero"` // of a maintenance
	Until      time.Time `json:"until,omitzero"`
	Updates    []Update  `json:"updates,omitempty"`
	// Held says that visitors were served all the while.
	Held bool `json:"held,omitempty"`
	// ByHand says that a person has had a hand in it: weir leaves it to people then.
	ByHand bool `json:"by_hand,omitempty"`
	// Marks are the notices that were given, by what they were about.
	Marks map[string]time.Time `json:"marks,omitempty"`
	Audit []Entry              `json:"-"`
}

// Planned reports whether the post is about a maintenance.
func (p *Post) Planned() bool { return !p.From.IsZero() }

// open reports whether the public may wait for more.
func (p *Post) open() bool { return p.Standing == Public && p.Resolved.IsZero() }

// Stage is the post's at a moment: a maintenance goes by the clock.
func (p *Post) Stage(now time.Time) Stage {
	if !p.Resolved.IsZero() {
		if p.Planned() {
			return Completed
		}
		return Resolved
	}
	if p.Planned() {
		switch {
		case now.Before(p.From):
			return Scheduled
		case now.Before(p.Until):
			return InProgress
		}
		return Completed
	}
	if n := len(p.Updates); n > 0 {
		return p.Updates[n-1].Stage
	}
	return Investigating
}

// over reports whether a post belongs to the past.
func (p *Post) over(now time.Time) bool {
	s := p.Stage(now)
	return s == Resolved || s == Completed
}

// endOf is when a post that is over ended.
func (p *Post) endOf() time.Time {
	if p.Resolved.IsZero() && p.Planned() {
		return p.Until
	}
	return p.Resolved
}

// Due is when the next update was promised; zero where none was, or the matter is over.
func (p *Post) Due() time.Time {
	if !p.open() || p.Planned() || len(p.Updates) == 0 {
		return time.Time{}
	}
	return p.Updates[len(p.Updates)-1].Next
}

// changed is when the public last had something new to read.
func (p *Post) changed() time.Time {
	if n := len(p.Updates); n > 0 {
		return p.Updates[n-1].Time
	}
	return p.Published
}

// automatic reports whether every word so far was weir's own.
func (p *Post) automatic() bool { return p.Standing == Public && !p.ByHand }

func (p *Post) clone() Post {
	c := *p
	c.Title, c.Marks = maps.Clone(p.Title), maps.Clone(p.Marks)
	c.Components, c.Incidents = slices.Clone(p.Components), slices.Clone(p.Incidents)
	c.Audit = slices.Clone(p.Audit)
	c.Updates = slices.Clone(p.Updates)
	for i := range c.Updates {
		c.Updates[i].Text = maps.Clone(c.Updates[i].Text)
	}
	return c
}
