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

// reminders begins the threads of what Remind tells.
const reminders = "status-"

func (m *Message) reminds() bool { return m.Kind == Review && strings.HasPrefix(m.Thread, reminders) }

// promised reports whether a message reminds of words that the public was promised by
// now: in the morning it is too late for them.
func (m *Message) promised() bool {
	return m.reminds() && m.Call == Accept && m.Severity.rank() >= Warning.rank()
}

// answered ends the alerts that reminded of a post a person has now said something about.
// Where no alert is kept, the words themselves say it. The lock is held.
func (n *Notifier) answered(post string, now time.Time) {
	thread := reminders + inert(post, 100)
	t := n.state.Threads[thread]
	for _, name := range n.names {
		if !n.alerts(name) {
			continue
		}
		var last *Message // that waits
		for _, e := range n.state.Queues[name] {
			if e.Message.Thread == thread {
				last = e.Message
			}
		}
		if last != nil && last.Last || last == nil && (t == nil || !t.Told[name]) {
			continue
		}
		m := &Message{
			Thread: thread, Kind: Review, Severity: Info, Call: Nothing, Time: now.UTC(), Last: true,
			Subject: "[weir " + n.o.Name + "] status page: " + inert(post, 100), Headline: "The public has been told; nothing to do.",
		}
		n.state.identify(m)
		n.state.Queues[name] = append(n.state.Queues[name], &entry{Message: m, Queued: now})
		n.metrics.pending.WithLabelValues(name).Set(float64(len(n.state.Queues[name])))
		n.dirty = true
		n.rouse(name)
	}
}

// Remind tells the routes that take messages of the kind review.
func (n *Notifier) Remind(r Reminder) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	t := n.state.thread(reminders+inert(r.Thread, 100), now)
	if t.Told["#"+r.ID] {
		return
	}
	first := len(t.Told) == 0
	t.Told["#"+r.ID] = true
	m := &Message{
		Thread: reminders + inert(r.Thread, 100), Kind: Review, Severity: Info, Call: Nothing, Time: now.UTC(), First: first, Last: r.Over,
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
