package statuspage

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Paces of drafts and reminders.
const (
	// sameMatter: an incident so soon after a draft's last is the same matter.
	sameMatter = 30 * time.Minute
	// staleDraft is after how long a draft whose matter is over is let go.
	staleDraft = 7 * 24 * time.Hour
	// remindEvery and reminders are how a promised update is asked for again.
	remindEvery = 30 * time.Minute
	reminders   = 4
)

// watch drafts, publishes by itself where that is wanted, and reminds.
func (p *Page) watch(now time.Time) {
	p.mu.Lock()
	if p.ready {
		p.draft(now)
		for _, post := range p.journal.all() {
			p.follow(post, now)
		}
	}
	notices, sayings := p.unheard, p.unsaid
	p.unheard, p.unsaid = nil, nil
	p.mu.Unlock()
	for _, n := range notices {
		p.o.Notify(n)
	}
	for _, s := range sayings {
		p.o.Said(s)
	}
}

// sayNewest hands the newest words of a public post on.
func (p *Page) sayNewest(post *Post) {
	n := len(post.Updates)
	if post.Standing != Public || n == 0 {
		return
	}
	own := p.o.Texts[0].Tag
	s := Saying{
		ID: fmt.Sprintf("%s/%d", post.ID, n), Post: post.ID, Title: post.Title.In(own, "en"),
		Text: post.Updates[n-1].Text.In(own, "en"), Over: !post.Resolved.IsZero(),
	}
	if p.o.URL != "" {
		s.Link = p.o.URL + "#" + post.ID
	}
	p.unsaid = append(p.unsaid, s)
}

// sayAgain hands on what was said of late: a crash may have come between.
func (p *Page) sayAgain(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, post := range p.journal.all() {
		if post.Standing == Public && now.Sub(post.changed()) < time.Hour {
			p.sayNewest(post)
		}
	}
}

// do makes an entry of weir's own.
func (p *Page) do(e Entry, now time.Time) *Post {
	e.Time, e.By = now, byWeir
	post, err := p.journal.add(e)
	if err != nil {
		p.o.Logger.Error("the status page's journal", "do", e.Do, "post", e.Post, "error", err)
		return nil
	}
	if e.Do == doPublish || e.Do == doUpdate || e.Do == doResolve {
		p.sayNewest(post)
	}
	return post
}

// tell notes that a notice was given, and gives it: once, also over restarts.
func (p *Page) tell(post *Post, mark string, n Notice, now time.Time) {
	if _, told := post.Marks[mark]; told {
		return
	}
	n.ID, n.Post, n.Title = "status/"+post.ID+"/"+mark, post.ID, post.Title.In(p.o.Texts[0].Tag, "en")
	if n.Title == "" {
		title, text := p.draftWords(post, now)
		n.Title, n.Text = title.In(p.o.Texts[0].Tag, "en"), text.In(p.o.Texts[0].Tag, "en")
	}
	if p.do(Entry{Do: doMark, Post: post.ID, Mark: mark}, now) != nil {
		p.unheard = append(p.unheard, n)
	}
}

// draft sees to it that every open incident that the public may notice is in a post.
func (p *Page) draft(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(p.ledger.Open)) {
		incident := p.ledger.Open[id]
		impact := p.impact(incident.Sites, now)
		if !needsWords(incident.Kind, impact) {
			continue
		}
		post := p.postFor(id, now)
		if post == nil {
			post = p.do(Entry{
				Do: doDraft, Post: p.journal.newID(now), Began: incident.Opened, Incidents: []string{id},
				Components: incident.Sites, Impact: impact, Held: impact == NoImpact,
			}, now)
			if post == nil {
				return
			}
			p.o.Logger.Info("a public post is drafted", "post", post.ID, "components", incident.Sites)
			p.tell(post, "draft", Notice{Kind: DraftReady, Command: "weir status publish " + post.ID}, now)
			continue
		}
		p.extend(post, id, incident.Sites, impact, now)
	}
}

// needsWords reports whether the public may notice an incident: what strikes a site, and
// whatever else visitors are not served through.
func needsWords(kind schemas.Kind, impact Impact) bool {
	return kind.Attack() || kind == schemas.Silent || kind == schemas.Breakage || impact == Serious || impact == Critical
}

// impact is the worst that is measured at the sites.
func (p *Page) impact(sites []string, now time.Time) Impact {
	state := Operational
	for _, site := range sites {
		state = worse(state, p.ledger.state(site, now))
	}
	return impactOf(state)
}

// postFor is the post that an incident belongs to: its own, or the one that is being
// told at this time. An estate under attack is one story.
func (p *Page) postFor(incident string, now time.Time) *Post {
	var current *Post
	for _, post := range p.journal.all() {
		if post.Planned() {
			continue
		}
		if slices.Contains(post.Incidents, incident) {
			return post
		}
		ended := !post.Ended.IsZero() && now.Sub(post.Ended) > sameMatter
		telling := post.open() || post.Standing == Draft && len(post.Incidents) > 0
		if current == nil && telling && !ended {
			current = post
		}
	}
	return current
}

// extend notes more of the same matter, where it is more.
func (p *Page) extend(post *Post, incident string, sites []string, impact Impact, now time.Time) {
	if post.Standing == Discarded || post.Standing == Public && !post.Resolved.IsZero() {
		return // a person has decided that enough is said
	}
	if !post.Ended.IsZero() {
		p.do(Entry{Do: doReopen, Post: post.ID}, now)
	}
	e := Entry{Do: doExtend, Post: post.ID, Held: post.Held && impact == NoImpact}
	if !slices.Contains(post.Incidents, incident) {
		e.Incidents = []string{incident}
	}
	for _, site := range sites {
		if !slices.Contains(post.Components, site) {
			e.Components = append(e.Components, site)
		}
	}
	if !post.ByHand && impact.state().rank() > post.Impact.state().rank() {
		e.Impact = impact
	}
	if e.Incidents != nil || e.Components != nil || e.Impact != "" || e.Held != post.Held {
		p.do(e, now)
		if post.Standing == Public {
			p.changed()
		}
	}
}

// follow is what time does to a post.
func (p *Page) follow(post *Post, now time.Time) {
	if post.Standing == Discarded || post.over(now) {
		return
	}
	if len(post.Incidents) > 0 && post.Ended.IsZero() && !p.anyOpen(post) {
		p.do(Entry{Do: doEnd, Post: post.ID}, now)
	}
	switch {
	case post.Standing == Draft:
		p.followDraft(post, now)
	case post.automatic():
		p.followAutomatic(post, now)
	default:
		p.remind(post, now)
	}
}

func (p *Page) anyOpen(post *Post) bool {
	return slices.ContainsFunc(post.Incidents, func(id string) bool { _, open := p.ledger.Open[id]; return open })
}

func (p *Page) followDraft(post *Post, now time.Time) {
	if len(post.Incidents) == 0 {
		return // a person's own
	}
	if !post.Ended.IsZero() {
		if now.Sub(post.Ended) > staleDraft {
			p.do(Entry{Do: doDiscard, Post: post.ID}, now)
		}
		return
	}
	if after := p.o.AutomaticAfter; after == 0 || post.ByHand || now.Sub(post.Made) < after || p.impact(post.Components, now) == NoImpact {
		return // nobody is told of what nobody notices
	}
	title, text := p.draftWords(post, now)
	e := Entry{Do: doPublish, Post: post.ID, Title: title, Text: text, Next: now.Add(p.o.UpdateEvery), Impact: post.Impact}
	if p.do(e, now) == nil {
		return
	}
	p.o.Logger.Warn("published by itself: nobody did within the time that the owner set", "post", post.ID, "after", p.o.AutomaticAfter)
	p.tell(post, "automatic", Notice{Kind: Automatically, Text: text.In(p.o.Texts[0].Tag, "en"), Command: "weir status update " + post.ID}, now)
	p.changed()
}

// followAutomatic keeps what weir published by itself true, for as long as nobody has
// taken it over.
func (p *Page) followAutomatic(post *Post, now time.Time) {
	f := p.facts(post, now)
	f.withoutTitle = true
	switch {
	case !post.Ended.IsZero() && now.Sub(post.Ended) >= p.o.AutomaticAfter:
		f.key = "draft.resolve"
		_, text := f.words(p.o.Texts)
		p.do(Entry{Do: doResolve, Post: post.ID, Text: text}, now)
		p.changed()
	case post.Ended.IsZero() && !post.Due().IsZero() && !now.Before(post.Due()) && len(post.Updates) < maxUpdates:
		f.key = "draft.update"
		_, text := f.words(p.o.Texts)
		p.do(Entry{Do: doUpdate, Post: post.ID, Text: text, Next: f.next}, now)
		p.changed()
	}
}

// remind asks for the update that was promised, and says when a post seems to be over.
func (p *Page) remind(post *Post, now time.Time) {
	if !post.Ended.IsZero() && !post.Planned() {
		p.tell(post, "over/"+post.Ended.UTC().Format(time.RFC3339), Notice{Kind: SeemsOver, Command: "weir status resolve " + post.ID}, now)
	}
	due := post.Due()
	if due.IsZero() || now.Before(due) {
		return
	}
	n := int(now.Sub(due) / remindEvery)
	if n < reminders {
		p.tell(post, fmt.Sprintf("due/%s/%d", due.UTC().Format(time.RFC3339), n+1),
			Notice{Kind: UpdateDue, Due: due, Command: "weir status update " + post.ID}, now)
	}
}

// facts are what a post's draft is made of.
func (p *Page) facts(post *Post, now time.Time) facts {
	f := facts{
		since: post.Began, until: now, next: now.Add(p.o.UpdateEvery), from: post.From, zone: p.o.Zone,
		titleKey: "draft.title", key: "draft.text", affected: p.names(post.Components),
	}
	if !post.Ended.IsZero() {
		f.until = post.Ended
	}
	if post.Planned() {
		f.until = post.Until
	}
	measures := p.protected(post, now)
	switch {
	case post.Held && measures:
		f.titleKey, f.key = "draft.title.held", "draft.text.held"
	case post.Held:
		f.titleKey, f.key = "draft.title.held", "draft.text.held.bare"
	case p.onlyErrors(post):
		f.key = "draft.text.errors"
	case !measures:
		f.key = "draft.text.bare"
	}
	return f
}

// protected reports whether a measure is enforced on any of the post's sites.
func (p *Page) protected(post *Post, now time.Time) bool {
	return slices.ContainsFunc(post.Components, func(site string) bool {
		t := p.touched[site]
		if t == nil {
			return false
		}
		p.touchedAt(site, now) // what has expired goes
		return len(t.decisions) > 0 || t.over.After(now)
	})
}

// onlyErrors reports whether nothing unusual comes in, and the answers are bad.
func (p *Page) onlyErrors(post *Post) bool {
	some := false
	for _, id := range post.Incidents {
		if i, ok := p.ledger.Open[id]; ok {
			if some = true; i.Kind != schemas.Breakage {
				return false
			}
		}
	}
	return some
}

// names are the public names of sites, in the order of the page.
func (p *Page) names(sites []string) []string {
	var names []string
	for _, c := range p.o.Components {
		if slices.Contains(sites, c.Site) {
			names = append(names, c.Name)
		}
	}
	return names
}

// draftWords are the words that a draft has, or that weir would give it now.
func (p *Page) draftWords(post *Post, now time.Time) (title, text Words) {
	f := p.facts(post, now)
	title, text = f.words(p.o.Texts)
	if len(post.Title) > 0 {
		title = post.Title
	}
	if n := len(post.Updates); n > 0 && len(post.Updates[n-1].Text) > 0 {
		text = post.Updates[n-1].Text
	}
	return title, text
}
