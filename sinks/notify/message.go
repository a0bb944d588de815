package notify

import (
	"strings"
	"time"
)

// Kind is what a message tells.
type Kind string

// The kinds.
const (
	Opened    Kind = "opened"    // an incident
	Worsened  Kind = "worsened"  // more sites, another kind, fewer visitors served, or measures that hurt
	Mitigated Kind = "mitigated" // it goes on, and visitors are served
	Closed    Kind = "closed"
	Review    Kind = "review"  // decisions wait for a person
	Edge      Kind = "edge"    // an edge does not enforce what it should
	Trouble   Kind = "trouble" // weir's own
	Over      Kind = "over"    // an edge's or weir's own trouble has ended
	Digest    Kind = "digest"  // several messages in one
	Test      Kind = "test"
	Public    Kind = "public" // a person's words for everybody
)

// Kinds are those that a route may name.
func Kinds() []string {
	return []string{string(Opened), string(Worsened), string(Mitigated), string(Closed), string(Review), string(Edge), string(Trouble), string(Over)}
}

// Severity says how urgent a message is.
type Severity string

// The severities, the mildest first.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Severities are all of them.
func Severities() []string { return []string{string(Info), string(Warning), string(Critical)} }

func (s Severity) rank() int {
	switch s {
	case Critical:
		return 2
	case Warning:
		return 1
	}
	return 0
}

// Call is which of three things a message is for its reader.
type Call string

// The calls.
const (
	Nothing  Call = "nothing to do"
	Accept   Call = "accept"    // decisions wait for a person
	PanicOff Call = "panic off" // what weir enforces seems to hurt visitors
)

// Message is one message, the same for every channel, and the body of the signed
// webhook. Texts may hold spans (inert.go) until a channel renders them.
type Message struct {
	Version int `json:"version"` // of this form: 1
	// ID is the same each time that this message is sent, and no other's.
	ID string `json:"id"`
	// Thread joins the messages about one thing.
	Thread   string    `json:"thread"`
	Kind     Kind      `json:"kind"`
	Severity Severity  `json:"severity"`
	Call     Call      `json:"call"`
	Time     time.Time `json:"time"` // when it was written
	// Subject is the same for all messages of a thread.
	Subject  string `json:"subject"`
	Headline string `json:"headline"` // who is served, what weir has done, what is to do
	// Lines are what follows: sites, since when, kind, figures, measures.
	Lines     []string `json:"lines,omitempty"`
	Sites     []string `json:"sites,omitempty"`
	Incidents []string `json:"incidents,omitempty"`
	Served    *float64 `json:"served,omitempty"`   // share of visitors, 0 to 1; absent where unknown
	Link      string   `json:"link,omitempty"`     // Grafana
	Commands  []string `json:"commands,omitempty"` // to see more, on the machine of weir
	First     bool     `json:"first,omitempty"`    // of its thread
	Last      bool     `json:"last,omitempty"`     // of its thread: it is over
}

// body is everything but the headline, a line each, with spans.
func (m *Message) body() []string {
	lines := append([]string(nil), m.Lines...)
	if m.Link != "" {
		lines = append(lines, "Grafana: "+m.Link)
	}
	if len(m.Commands) > 0 {
		quoted := make([]string, len(m.Commands))
		for i, c := range m.Commands {
			quoted[i] = span(c)
		}
		lines = append(lines, "See more: "+strings.Join(quoted, "  or  "))
	}
	return lines
}

// text is the whole message as plain text of at most limit bytes.
func (m *Message) text(limit int) string {
	return cut(plain(strings.Join(append([]string{m.Headline}, m.body()...), "\n")), limit)
}

// flat is the message without spans, for programs.
func (m *Message) flat() Message {
	f := *m
	f.Subject, f.Headline = plain(m.Subject), plain(m.Headline)
	f.Lines, f.Sites = nil, nil
	for _, l := range m.Lines {
		f.Lines = append(f.Lines, plain(l))
	}
	for _, s := range m.Sites {
		f.Sites = append(f.Sites, plain(s))
	}
	return f
}
