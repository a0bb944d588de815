package notify

import (
	"strings"
	"time"
)

// Reminder is something about the status page that a person should know: words that
// wait, an update that was promised, a place that shows something old.
type Reminder struct {
	ID      string // the same is said once
	Thread  string // what it is about
	Waits   bool   // for a person to do something
	Urgent  bool
	Over    bool     // what the thread was about has ended
	Subject string   // of the thread
	What    string   // a clause for the first line
	Lines   []string // may quote anything
	Command string   // what to type
}

// Remind tells the routes that take messages of the kind review.
func (n *Notifier) Remind(r Reminder) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	t := n.state.thread("status-"+r.Thread, now)
	if t.Told["#"+r.ID] {
		return
	}
	first := len(t.Told) == 0
	t.Told["#"+r.ID] = true
	m := &Message{
		Thread: "status-" + inert(r.Thread, 100), Kind: Review, Severity: Info, Call: Nothing, Time: now.UTC(), First: first, Last: r.Over,
		Subject: "[weir " + n.o.Name + "] status page: " + inert(r.Subject, 100),
	}
	served := "It is not known what share of visitors is being served"
	if share, known := n.story.everywhere(now); known {
		served = percent(share) + " of visitors are being served"
		m.Served = &share
	}
	call := "nothing to do"
	if r.Waits {
		m.Call, call = Accept, "accept, with the command below, or say something else"
	}
	if r.Urgent {
		m.Severity = Warning
	}
	m.Headline = served + "; " + inert(r.What, 200) + "; " + call + "."
	for _, line := range r.Lines {
		m.Lines = append(m.Lines, quote(line, 2000))
	}
	if r.Command != "" {
		m.Commands = []string{strings.ReplaceAll(inert(r.Command, 200), "\n", " ")}
	}
	n.post(m, now)
	select {
	case n.due <- struct{}{}:
	default:
	}
}
