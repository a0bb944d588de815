package notify

import (
	"slices"
	"strings"
	"time"
)

// Ailment is something that is wrong with weir itself or with an edge, at this moment.
type Ailment struct {
	Key      string // names it, and is the same while it lasts
	Edge     bool   // an edge does not enforce what it should
	Severity Severity
	What     string // a sentence for a person; may quote what somebody else wrote
	Mend     string // what to do about it
	Command  string // to see more
}

// ailing is what is known of an ailment.
type ailing struct {
	Ailment
	Since time.Time `json:"since"`
	Seen  time.Time `json:"seen"`
	Told  bool      `json:"told,omitempty"`
}

const (
	troublePace = 10 * time.Second // of looking
	troubleFor  = 25 * time.Second // how long it must last to be told
	troubleGone = time.Minute      // how long it must be gone
	maxAilments = 50
)

// ail takes what is wrong now and tells what has lasted, and what has ended.
func (n *Notifier) ail(found []Ailment, now time.Time) {
	for _, a := range found {
		t := n.state.Troubles[a.Key]
		if t == nil {
			if len(n.state.Troubles) >= maxAilments {
				continue
			}
			t = &ailing{Since: now}
			n.state.Troubles[a.Key], n.dirty = t, true
		}
		t.Ailment, t.Seen = a, now
	}
	var keys []string
	for key := range n.state.Troubles {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		t := n.state.Troubles[key]
		switch {
		case now.Sub(t.Seen) >= troubleGone:
			delete(n.state.Troubles, key)
			n.dirty = true
			if t.Told {
				n.post(n.troubleMessage(t, true, now), now)
			}
		case !t.Told && t.Seen.Equal(now) && now.Sub(t.Since) >= troubleFor:
			t.Told = true
			n.post(n.troubleMessage(t, false, now), now)
		}
	}
}

func (n *Notifier) troubleMessage(t *ailing, over bool, now time.Time) *Message {
	m := &Message{
		Thread: "weir-" + inert(t.Key, 100) + "-" + t.Since.UTC().Format("060102-150405"), Kind: Trouble, Severity: t.Severity, Call: Nothing,
		Time: now.UTC(), First: !over, Last: over, Commands: []string{"weir top"},
	}
	subject := "trouble"
	if t.Edge {
		m.Kind, subject = Edge, "an edge is out of force"
	}
	m.Subject = "[weir " + n.o.Name + "] " + subject + ": " + quote(t.Key, 60)
	what := inert(t.What, 400)
	served := "It is not known what share of visitors is being served"
	share, known := n.story.everywhere(now)
	if known {
		served = percent(share) + " of visitors are being served"
		m.Served = &share
	}
	if over {
		m.Kind, m.Severity = Over, Info
		m.Headline = "Over after " + duration(t.Seen.Sub(t.Since)) + ": " + span(what) + "; " + lowerFirst(served) + "; nothing to do."
		return m
	}
	effect := "weir itself is in trouble"
	if t.Edge {
		effect = "weir's decisions are not in force at an edge"
	}
	m.Headline = served + "; " + effect + "; nothing to accept or to lift, but to mend: see below."
	m.Lines = []string{span(what), "Since " + instant(t.Since) + "."}
	if t.Mend != "" {
		m.Lines = append(m.Lines, "To mend it: "+quote(t.Mend, 400))
	}
	if t.Command != "" {
		m.Commands = append([]string{strings.ReplaceAll(inert(t.Command, 100), "\n", " ")}, m.Commands...)
	}
	return m
}

// everywhere is the share served on all sites together.
func (s *story) everywhere(now time.Time) (float64, bool) {
	var through, served float64
	for _, r := range s.readings {
		if r.known && now.Sub(r.at) <= readingAge {
			through, served = through+r.through, served+r.through*r.served
		}
	}
	if through == 0 {
		return 0, false
	}
	return served / through, true
}
