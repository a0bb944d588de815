package statuspage

import (
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxFeed bounds the entries of a feed.
const maxFeed = 50

// The Atom Syndication Format, RFC 4287.
type atomFeed struct {
	XMLName   xml.Name      `xml:"http://www.w3.org/2005/Atom feed"`
	Language  string        `xml:"xml:lang,attr"`
	ID        string        `xml:"id"`
	Title     string        `xml:"title"`
	Subtitle  string        `xml:"subtitle"`
	Updated   string        `xml:"updated"`
	Author    atomAuthor    `xml:"author"`
	Generator atomGenerator `xml:"generator"`
	Links     []atomLink    `xml:"link"`
	Entries   []atomEntry   `xml:"entry"`
}

type atomAuthor struct {
	Name string `xml:"name"`
}

type atomGenerator struct {
	Name string `xml:",chardata"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Type string `xml:"type,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID        string         `xml:"id"`
	Title     string         `xml:"title"`
	Published string         `xml:"published"`
	Updated   string         `xml:"updated"`
	Links     []atomLink     `xml:"link"`
	Category  []atomCategory `xml:"category"`
	Content   atomContent    `xml:"content"`
}

type atomCategory struct {
	Term string `xml:"term,attr"`
}

// atomContent is plain text: nothing in it is markup.
type atomContent struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// atom is the feed in a language.
func (r *renderer) atom(v *view, t Texts, first bool) ([]byte, error) {
	feed := atomFeed{
		Language: t.Tag, ID: r.feedID(t, first), Title: xmlText(r.o.Title), Subtitle: xmlText(t.Get("overall." + string(v.state))),
		Author: atomAuthor{xmlText(r.o.Title)}, Generator: atomGenerator{"weir"},
		Links: []atomLink{
			{"self", "application/atom+xml", r.link(feedName(t, first))},
			{"alternate", "text/html", r.link(pageName(t, first))},
		},
	}
	posts := slices.Concat(v.current, v.planned, v.past)
	slices.SortStableFunc(posts, func(a, b *Post) int { return b.changed().Compare(a.changed()) })
	updated := r.began(v)
	for _, post := range posts[:min(len(posts), maxFeed)] {
		feed.Entries = append(feed.Entries, r.entry(post, v, t, first))
		updated = latest(updated, post.changed())
	}
	feed.Updated = updated.UTC().Format(time.RFC3339)
	body, err := xml.MarshalIndent(feed, "", " ")
	if err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	return slices.Concat([]byte(xml.Header), body, []byte("\n")), nil
}

// began is the feed's time where it has no entry: the first day that anything is known
// of, so that it does not change by itself.
func (r *renderer) began(v *view) time.Time {
	for i := range v.components {
		for _, d := range v.components[i].days {
			if d.Visitors > 0 {
				return d.start
			}
		}
	}
	return v.now.UTC().Truncate(24 * time.Hour)
}

func (r *renderer) entry(post *Post, v *view, t Texts, first bool) atomEntry {
	e := atomEntry{
		ID: r.urn(post.ID), Title: xmlText(r.words(post.Title, t)),
		Published: post.Published.UTC().Format(time.RFC3339), Updated: post.changed().UTC().Format(time.RFC3339),
		Links: []atomLink{{"alternate", "text/html", r.link(pageName(t, first)) + "#" + post.ID}},
	}
	for _, name := range r.names(post.Components) {
		e.Category = append(e.Category, atomCategory{xmlText(name)})
	}
	var text strings.Builder
	for i := len(post.Updates) - 1; i >= 0; i-- {
		u := &post.Updates[i]
		fmt.Fprintf(&text, "%s – %s\n%s\n\n", r.moment(u.Time), t.Get("stage."+string(u.Stage)), strings.TrimSpace(r.words(u.Text, t)))
	}
	e.Content = atomContent{"text", xmlText(strings.TrimSpace(text.String()))}
	return e
}

// link is absolute where the page's address is known.
func (r *renderer) link(name string) string {
	if r.o.URL == "" {
		return name
	}
	return strings.TrimSuffix(r.o.URL, "/") + "/" + name
}

func (r *renderer) feedID(t Texts, first bool) string { return r.urn("feed/" + feedName(t, first)) }

// urn is an id that stays the same over restarts and moves, a UUID made of a hash
// (RFC 9562, version 8).
func (r *renderer) urn(name string) string {
	site := ""
	if len(r.o.Components) > 0 {
		site = r.o.Components[0].Site
	}
	sum := sha256.Sum256([]byte("weir status page/" + r.o.URL + "/" + site + "/" + name))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// xmlText drops what XML cannot hold; encoding/xml escapes the rest.
func xmlText(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || c == 0xfffe || c == 0xffff {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
