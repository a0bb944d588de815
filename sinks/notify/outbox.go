package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	maxQueue    = 256
	firstPause  = time.Second
	lastPause   = 5 * time.Minute
	finalTries  = 3  // of a message that the service says it will never take
	goneTries   = 10 // and where the service says that there is no such address
	digestLines = 20 // messages that a digest names
)

// entry is a message on its way to one channel.
type entry struct {
	Message  *Message  `json:"message"`
	Queued   time.Time `json:"queued"`
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`     // not before
	Sending  bool      `json:"sending,omitempty"` // handed over; whether it arrived is not known yet
	Unsure   bool      `json:"unsure,omitempty"`  // an earlier attempt may have arrived
	Refused  bool      `json:"refused,omitempty"` // it alone: other threads do not wait for it
}

// post hands a message to the outboxes of those who are to have it. The lock is held.
func (n *Notifier) post(m *Message, now time.Time) {
	n.state.identify(m)
	for _, name := range n.channelsOf(m) {
		queue := append(n.state.Queues[name], &entry{Message: m, Queued: now})
		if len(queue) > maxQueue {
			queue = n.join(name, queue, 1, now)
		}
		for len(queue) > maxQueue {
			n.log.Error("a message was dropped: too many wait for the channel", "channel", name, "subject", plain(queue[0].Message.Subject))
			n.metrics.dropped.WithLabelValues(name).Inc()
			queue = queue[1:]
		}
		n.state.Queues[name] = queue
		n.metrics.pending.WithLabelValues(name).Set(float64(len(queue)))
		n.rouse(name)
	}
	n.dirty = true
}

// farewell is how long a stop waits for the answer to a message that is on its way: cut
// off, it would be sent again after the restart, and people would read it twice.
const farewell = 2 * time.Second

// lingering is a context of sendTimeout that outlives ctx by farewell.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(farewell):
			cancel()
		case <-within.Done():
		}
	})
	return within, func() { stop(); cancel() }
}

func (n *Notifier) rouse(name string) {
	select {
	case n.wake[name] <- struct{}{}:
	default:
	}
}

// deliver sends a channel's messages, in order and one at a time, until ctx ends.
func (n *Notifier) deliver(ctx context.Context, name string) {
	for ctx.Err() == nil {
		e, m, earlier, wait := n.pick(name)
		if e == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-n.wake[name]:
			}
			timer.Stop()
			continue
		}
		n.save() // that it is on its way, before it is
		within, cancel := lingering(ctx)
		ref, err := n.channels[name].send(within, &m, earlier)
		cancel()
		if ctx.Err() != nil && err != nil && !errors.As(err, new(*refusal)) {
			return // it stays marked: whether it arrived is not known
		}
		n.settle(name, e, earlier, ref, err)
		n.save()
	}
}

// idle is how long a worker sleeps that nobody wakes.
const idle = time.Minute

// again says in a message that it may not be new, where the channel cannot tell.
const again = "This may have reached you before: an earlier attempt ended without an answer."

// pick takes the message that a channel should have now and marks it, or says how long
// there is none.
func (n *Notifier) pick(name string) (e *entry, m Message, earlier string, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.expire(name, now)
	room := n.room(name, now)
	if n.crowded[name] && room > n.reserve(name) {
		n.crowded[name] = false
		n.state.Queues[name] = n.join(name, n.state.Queues[name], room-n.reserve(name), now)
	}
	end, quiet := n.o.Quiet.until(now)
	quiet = quiet && !n.o.Channels[name].Awake
	// held says how long a message has to wait, other than for the service.
	held := func(m *Message) time.Duration {
		switch {
		case n.resolves(name, m):
		case quiet && m.Severity.rank() <= n.o.Quiet.Hold.rank() && m.Kind != Public && !m.promised():
			return end.Sub(now)
		case room <= 0, room <= n.reserve(name) && m.Severity != Critical:
			return n.state.Sent[name][0].At.Add(LimitSpan).Sub(now)
		}
		return 0
	}
	n.state.Queues[name] = n.supersede(n.state.Queues[name], held)
	wait = idle
	refused := make(map[string]bool) // threads that wait for a message of theirs
	for _, c := range n.state.Queues[name] {
		if refused[c.Message.Thread] {
			continue
		}
		if pause := held(c.Message); pause > 0 {
			n.crowded[name] = true
			wait = min(wait, pause)
			continue
		}
		if c.Next.After(now) && c.Refused {
			refused[c.Message.Thread] = true
			wait = min(wait, c.Next.Sub(now))
			continue
		}
		if c.Next.After(now) {
			return nil, m, "", min(wait, c.Next.Sub(now)) // what follows waits for it: order
		}
		c.Sending, n.dirty = true, true
		if t := n.state.Threads[c.Message.Thread]; t != nil {
			earlier = t.Refs[name]
		}
		m = *c.Message
		if c.Unsure && !n.channels[name].idempotent() {
			m.Lines = append([]string{again}, m.Lines...)
		}
		return c, m, earlier, 0
	}
	return nil, m, "", wait
}

// resolves reports whether a message ends an alert that somebody is still woken by.
func (n *Notifier) resolves(name string, m *Message) bool {
	t := n.state.Threads[m.Thread]
	return n.alerts(name) && m.Last && t != nil && t.Told[name]
}

// alerts reports whether a channel keeps an alert for each thread.
func (n *Notifier) alerts(name string) bool {
	r, ok := n.channels[name].(resolver)
	return ok && r.resolves()
}

// room is how many messages the channel may have now.
func (n *Notifier) room(name string, now time.Time) int {
	sent := n.state.Sent[name]
	for len(sent) > 0 && now.Sub(sent[0].At) >= LimitSpan {
		sent = sent[1:]
	}
	n.state.Sent[name] = sent
	limit := n.o.Channels[name].Limit
	if limit == 0 {
		return maxQueue
	}
	return limit - len(sent)
}

// reserve is how much of the room is kept for what is critical.
func (n *Notifier) reserve(name string) int {
	if n.o.Channels[name].Limit >= 3 {
		return 1
	}
	return 0
}

// expire drops what is too old to be of use.
func (n *Notifier) expire(name string, now time.Time) {
	queue := n.state.Queues[name]
	for len(queue) > 0 && now.Sub(queue[0].Queued) > n.o.MaxAge {
		n.log.Error("a message was dropped: it could not be delivered for too long", "channel", name,
			"subject", plain(queue[0].Message.Subject), "waited", now.Sub(queue[0].Queued))
		n.metrics.dropped.WithLabelValues(name).Inc()
		queue, n.dirty = queue[1:], true
	}
	n.state.Queues[name] = queue
}

// supersede takes out what has to wait and has been overtaken by a message of the same
// thread that has not.
func (n *Notifier) supersede(queue []*entry, held func(*Message) time.Duration) []*entry {
	urgent := make(map[string]int)
	for i, e := range queue {
		if held(e.Message) == 0 {
			urgent[e.Message.Thread] = i
		}
	}
	var kept []*entry
	for i, e := range queue {
		if at, ok := urgent[e.Message.Thread]; ok && i < at && held(e.Message) > 0 && !e.Sending {
			queue[at].Message = withFirst(queue[at].Message, e.Message.First)
			n.dirty = true
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// join makes few of many that had to wait: of each thread the newest, and where even
// these are more than there is room for, one that names them.
func (n *Notifier) join(name string, queue []*entry, room int, now time.Time) []*entry {
	newest := make(map[string]int)
	first := make(map[string]bool)
	for i, e := range queue {
		newest[e.Message.Thread] = i
		first[e.Message.Thread] = first[e.Message.Thread] || e.Message.First
	}
	var kept []*entry
	for i, e := range queue {
		if newest[e.Message.Thread] != i && !e.Sending {
			continue
		}
		e.Message = withFirst(e.Message, first[e.Message.Thread])
		kept = append(kept, e)
	}
	n.dirty = true
	if len(kept) <= room || len(kept) < 3 {
		return kept
	}
	digest, rest := &Message{Kind: Digest, Severity: Info, Call: Nothing, Time: now.UTC(), First: true, Last: true}, kept[:0]
	joined, alerts := 0, n.alerts(name)
	var worst *Message
	for i, e := range kept {
		if i < room-1 || e.Sending || n.resolves(name, e.Message) {
			rest = append(rest, e)
			continue
		}
		joined++
		if alerts && !e.Message.Last { // what is over is no alert; all else is, until a person ends it
			digest.Last = false
		}
		if worst == nil || e.Message.Severity.rank() > worst.Severity.rank() {
			worst = e.Message
		}
		if len(digest.Lines) < digestLines {
			digest.Lines = append(digest.Lines, e.Message.Subject+": "+e.Message.Headline)
		}
		n.state.thread(e.Message.Thread, now).Told[name] = true
	}
	if more := joined - len(digest.Lines); more > 0 {
		digest.Lines = append(digest.Lines, fmt.Sprintf("And %d more.", more))
	}
	digest.Severity, digest.Call, digest.Served = worst.Severity, worst.Call, worst.Served
	digest.Headline = fmt.Sprintf("%d messages in one, the most urgent: %s", joined, worst.Headline)
	digest.Subject = fmt.Sprintf("[weir %s] %d messages in one", n.o.Name, joined)
	digest.Link, digest.Commands = worst.Link, worst.Commands
	n.state.identify(digest)
	digest.Thread = "weir-digest-" + digest.ID
	return append(rest, &entry{Message: digest, Queued: now})
}

func withFirst(m *Message, first bool) *Message {
	if m.First == first || !first {
		return m
	}
	c := *m
	c.First = true
	return &c
}

// settle notes what became of an attempt to send an answer to earlier.
func (n *Notifier) settle(name string, e *entry, earlier, ref string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.dirty = true
	e.Sending = false
	if err == nil {
		n.remove(name, e)
		t := n.state.thread(e.Message.Thread, now)
		t.Told[name] = true
		if e.Message.Last && e.Message.reminds() && n.alerts(name) {
			delete(t.Told, name) // there is no alert any more
		}
		edits, ok := n.channels[name].(editor)
		if ref != "" && (t.Refs[name] == "" || ok && edits.edits()) {
			t.Refs[name] = ref
		}
		n.state.Sent[name] = append(n.state.Sent[name], sentNote{now})
		n.metrics.sent.WithLabelValues(name).Inc()
		if e.Attempts > 0 {
			n.log.Info("the channel takes messages again", "channel", name, "attempts", e.Attempts+1)
		}
		return
	}
	n.metrics.failures.WithLabelValues(name).Inc()
	var r *refusal
	e.Refused = errors.As(err, &r) && r.own()
	if e.Refused && earlier != "" { // it may be gone: the message is a new one then
		delete(n.state.thread(e.Message.Thread, now).Refs, name)
		e.Next, e.Unsure = now, false
		n.log.Warn("a message is sent as a new one: the channel refuses it as an answer or an edit", "channel", name,
			"subject", plain(e.Message.Subject), "error", n.secrets.clean(err))
		return
	}
	e.Attempts++
	pause := min(firstPause<<min(e.Attempts-1, 20), lastPause)
	pause += time.Duration(rand.Int64N(int64(pause)/4 + 1))
	if r != nil {
		pause = max(pause, r.after)
		if r.final() && e.Attempts >= r.tries() {
			n.log.Error("a message was dropped: the channel refuses it", "channel", name, "subject", plain(e.Message.Subject), "error", n.secrets.clean(err))
			n.metrics.dropped.WithLabelValues(name).Inc()
			n.remove(name, e)
			return
		}
	} else {
		e.Unsure = e.Unsure || !neverArrived(err)
	}
	e.Next = now.Add(pause)
	if e.Attempts == 1 || e.Attempts%10 == 0 {
		n.log.Error("a message waits: the channel does not take it", "channel", name, "attempts", e.Attempts, "again_in", pause.Round(time.Second), "error", n.secrets.clean(err))
	}
}

func (n *Notifier) remove(name string, e *entry) {
	queue := n.state.Queues[name]
	for i, c := range queue {
		if c == e {
			n.state.Queues[name] = append(queue[:i:i], queue[i+1:]...)
			break
		}
	}
	n.metrics.pending.WithLabelValues(name).Set(float64(len(n.state.Queues[name])))
}
