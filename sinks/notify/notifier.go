package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// Options are what New needs.
type Options struct {
	// Dir is where the state is kept: a folder of its own.
	Dir string
	// Name is what messages call this weir.
	Name string
	// Stream names the bus that the positions of Apply count on: on another they begin anew.
	Stream string
	// Grafana is the page that messages link to; empty is none.
	Grafana string
	// Mode is a site's mode: observe, propose or enforce; of all sites for "". nil: observe.
	Mode func(site string) string
	// Enforcing reports whether what is decided is enforced on this machine. nil: it is.
	Enforcing func() bool
	// Idle says why where Enforcing says no, in brackets in the first line. Empty is
	// weir panic off, from which a person can come back.
	Idle string

	Channels  map[string]ChannelOptions
	Routes    []Route // none: everything to every channel
	Quiet     Quiet
	Heartbeat HeartbeatOptions

	// Gather is how long a message waits for what follows at once. 5 s.
	Gather time.Duration
	// UpdateEvery is the least time between two messages of a thread, its end apart. 2 min.
	UpdateEvery time.Duration
	// MaxAge is how long a message is worth delivering. 24 h.
	MaxAge time.Duration

	// Ailing is asked every ten seconds what is wrong with weir and its edges. May be nil.
	Ailing func() []Ailment
	// Healthy is asked before each heartbeat. May be nil.
	Healthy func() error

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

// Notifier tells people. Apply, Signals and Publish may be called at any time, from any
// goroutine; Run does the work.
type Notifier struct {
	o        Options
	log      *slog.Logger
	metrics  *metrics
	secrets  *secrets
	channels map[string]channel
	names    []string // of the channels, sorted
	heart    *heartbeat
	wake     map[string]chan struct{}
	due      chan struct{} // something may be due earlier than thought

	mu      sync.Mutex // all that follows
	story   story
	state   *state
	dirty   bool
	crowded map[string]bool // channels whose messages had to wait for room
	stepped time.Time

	saving sync.Mutex // one file at a time
	failed bool       // the last save
}

// New checks the options and opens the state. It sends and runs nothing. Errors name the
// key that is wrong and hold no secret.
func New(o Options) (*Notifier, error) {
	n, err := prepare(o)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s, damaged, err := loadState(n.o.Dir, now)
	if err != nil {
		return nil, err
	}
	if damaged != nil {
		n.log.Error("what was still to be told is lost", "error", damaged)
	}
	if s.Stream != n.o.Stream {
		s.Stream, s.Positions = n.o.Stream, make(map[string]uint64)
	}
	n.state = s
	n.story = story{o: &n.o, state: s, readings: make(map[string]reading), mode: n.o.Mode}
	for name := range s.Queues { // a channel that is no more
		if n.channels[name] == nil {
			delete(s.Queues, name)
		}
	}
	for _, name := range n.names {
		n.metrics.pending.WithLabelValues(name).Set(float64(len(s.Queues[name])))
	}
	return n, nil
}

// Check says what is wrong with options, without touching the disk but for secrets.
func Check(o Options) error {
	o.Registerer = nil
	_, err := prepare(o)
	return err
}

func prepare(o Options) (*Notifier, error) {
	o.Gather = orDefault(o.Gather, 5*time.Second)
	o.UpdateEvery = orDefault(o.UpdateEvery, 2*time.Minute)
	o.MaxAge = orDefault(o.MaxAge, 24*time.Hour)
	if o.Mode == nil {
		o.Mode = func(string) string { return "observe" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name = "weir"
	}
	n := &Notifier{
		o: o, log: o.Logger, secrets: new(secrets), channels: make(map[string]channel), wake: make(map[string]chan struct{}),
		due: make(chan struct{}, 1), crowded: make(map[string]bool), stepped: time.Now(),
	}
	n.o.Name = inert(o.Name, 60)
	if o.Grafana != "" {
		if u, err := url.Parse(o.Grafana); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
			return nil, errors.New("notify.grafana: want https://..., without a password")
		}
	}
	for name := range o.Channels {
		n.names = append(n.names, name)
	}
	slices.Sort(n.names)
	for _, name := range n.names {
		c, err := newChannel(o.Channels[name], n.secrets)
		if err != nil {
			return nil, fmt.Errorf("notify.channels.%s.%w", name, err)
		}
		n.channels[name], n.wake[name] = c, make(chan struct{}, 1)
		if e, ok := c.(*email); ok {
			e.refused = func(to string, err error) {
				n.log.Error("a recipient was passed over: the server refuses it, the others have the message", "channel", name, "to", to, "error", n.secrets.clean(err))
			}
		}
	}
	if err := checkRoutes(o.Routes, o.Channels); err != nil {
		return nil, fmt.Errorf("notify.%w", err)
	}
	var err error
	if n.heart, err = newHeartbeat(o.Heartbeat, n.secrets); err != nil {
		return nil, fmt.Errorf("notify.heartbeat.%w", n.secrets.clean(err))
	}
	n.metrics, err = newMetrics(o.Registerer)
	return n, err
}

func orDefault(d, standard time.Duration) time.Duration {
	if d <= 0 {
		return standard
	}
	return d
}

// Position is the last sequence of a stream that was applied: read on from the next.
func (n *Notifier) Position(stream string) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state.Positions[stream]
}

// Apply takes the events of one message of a stream of events. What was applied before
// is passed over.
func (n *Notifier) Apply(stream string, sequence uint64, events []schemas.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if sequence <= n.state.Positions[stream] {
		return
	}
	now := time.Now()
	for i := range events {
		if events[i].Validate() == nil {
			n.story.apply(&events[i], now)
		}
	}
	n.state.Positions[stream], n.dirty = sequence, true
	select {
	case n.due <- struct{}{}:
	default:
	}
}

// Signals takes the signals of windows: what visitors met, every ten seconds.
func (n *Notifier) Signals(rows []schemas.SignalRow) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	sites := make(map[string][]schemas.Signal)
	at := make(map[string]time.Time)
	for _, r := range rows {
		if r.Window != "10s" {
			continue
		}
		if r.Time.After(at[r.Site]) { // of several windows the newest counts
			at[r.Site], sites[r.Site] = r.Time, nil
		}
		if r.Time.Equal(at[r.Site]) {
			sites[r.Site] = append(sites[r.Site], r.Signal)
		}
	}
	for site, signals := range sites {
		n.story.read([]string{site}, signals, at[site], now)
		n.story.peak(site, signals, at[site])
	}
	n.story.judge(now)
	select {
	case n.due <- struct{}{}:
	default:
	}
}

// PublicWords are what a person has published for everybody.
type PublicWords struct {
	ID     string // the same words have the same id: they are posted once
	Thread string // the incident as the public knows it
	Title  string
	Text   string
	Link   string // to the status page
	Over   bool
}

// Publish hands a person's words to the channels for the public. Which words those are
// is not decided here.
func (n *Notifier) Publish(p PublicWords) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	t := n.state.thread("public-"+p.Thread, now)
	if t.Told["#"+p.ID] {
		return
	}
	t.Told["#"+p.ID] = true
	n.answered(p.Thread, now)
	var lines []string // a person's own words: their links are links
	for line := range strings.SplitSeq(cut(p.Text, 4000), "\n") {
		lines = append(lines, visible(strings.TrimRight(line, "\r"), 1000))
	}
	n.post(&Message{
		Thread: "public-" + p.Thread, Kind: Public, Severity: Info, Call: Nothing, Time: now.UTC(), Subject: visible(p.Title, 200),
		Headline: visible(p.Title, 200), Lines: lines, Link: p.Link, Last: p.Over,
	}, now)
}

// Run tells people until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	for _, name := range n.names {
		parts.Go(func() { n.deliver(ctx, name) })
	}
	parts.Go(func() { n.beat(ctx) })
	parts.Go(func() { n.watch(ctx) })
	for ctx.Err() == nil {
		wait := n.step()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-n.due:
		}
		timer.Stop()
	}
	parts.Wait()
	n.save()
	return nil
}

// stepAtLeast is how often the state is looked at and saved, whatever happens.
const stepAtLeast = 5 * time.Second

// step posts what is due, saves what has changed, and returns when to look again.
func (n *Notifier) step() time.Duration {
	n.mu.Lock()
	now := time.Now()
	n.stepped = now
	for _, m := range n.story.due(now) {
		n.post(m, now)
	}
	n.state.prune(now)
	next := n.story.next()
	n.mu.Unlock()
	n.save()
	if next.IsZero() {
		return stepAtLeast
	}
	return min(max(time.Until(next), time.Millisecond), stepAtLeast)
}

// watch asks what is wrong, until ctx ends.
func (n *Notifier) watch(ctx context.Context) {
	if n.o.Ailing == nil {
		return
	}
	tick := time.NewTicker(troublePace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		found := n.o.Ailing()
		n.mu.Lock()
		n.ail(found, time.Now())
		n.mu.Unlock()
	}
}

// save writes the state where it has changed. A disk that takes nothing is complained
// of, and keeps nobody from being told: what is sent then may be sent again after a crash.
func (n *Notifier) save() {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	if !n.dirty {
		n.mu.Unlock()
		return
	}
	n.dirty = false
	text, err := json.Marshal(n.state)
	n.mu.Unlock()
	if err == nil {
		err = writeState(n.o.Dir, text)
	}
	if err != nil {
		n.mu.Lock()
		n.dirty = true
		n.mu.Unlock()
		if !n.failed {
			n.log.Error("what is to be told is not on disk: a crash may lose or repeat it", "error", err)
		}
	}
	n.failed = err != nil
}

// neverArrived reports whether an error is from before anything was sent.
func neverArrived(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// Tried is what became of a test message.
type Tried struct {
	Channel string `json:"channel"`
	Type    string `json:"type"`
	Err     error  `json:"-"`
	Error   string `json:"error,omitempty"`
	// Refused are recipients that were refused, and why, where others have the message.
	Refused []string `json:"refused,omitempty"`
	Took    time.Duration
}

// Try sends a test message to a channel, or to each for "", at once and past routes,
// limits and quiet hours. Options.Dir is not touched.
func Try(ctx context.Context, o Options, only string) ([]Tried, error) {
	o.Registerer = nil
	n, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if only != "" && n.channels[only] == nil {
		return nil, fmt.Errorf("notify.channels: there is no %q", inert(only, 60))
	}
	var all []Tried
	for _, name := range n.names {
		if only != "" && name != only {
			continue
		}
		now := time.Now()
		m := &Message{
			Version: 1, ID: fmt.Sprintf("test-%d", now.UnixNano()), Thread: fmt.Sprintf("weir-test-%d", now.UnixNano()), Kind: Test, Severity: Info, Call: Nothing,
			Time: now.UTC(), Subject: "[weir " + n.o.Name + "] test", First: true, Link: o.Grafana,
			Headline: "It is not known what share of visitors is being served; weir only tests this channel; nothing to do.",
			Lines:    []string{"This is what " + span("weir notify test") + " sends. Messages about incidents look like it."}, Commands: []string{"weir top"},
		}
		var refused []string
		if e, ok := n.channels[name].(*email); ok {
			e.refused = func(to string, err error) { refused = append(refused, fmt.Sprintf("%s %v", to, n.secrets.clean(err))) }
		}
		within, cancel := context.WithTimeout(ctx, sendTimeout)
		_, err := n.channels[name].send(within, m, "")
		if r, ok := n.channels[name].(resolver); ok && r.resolves() && err == nil {
			m.Last, m.First = true, false // nobody is to be woken by a test for long
			_, err = n.channels[name].send(within, m, "")
		}
		cancel()
		t := Tried{Channel: name, Type: o.Channels[name].Type, Err: n.secrets.clean(err), Refused: refused, Took: time.Since(now)}
		if t.Err != nil {
			t.Error = t.Err.Error()
		}
		all = append(all, t)
	}
	return all, nil
}

// Describe says where each channel goes, a line each, without what is secret. Errors are
// those of New.
func Describe(o Options) ([]string, error) {
	o.Registerer = nil
	n, err := prepare(o)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, name := range n.names {
		c := o.Channels[name]
		where := "its usual place"
		if address, err := resolve("url", c.URL, c.URLFile); err == nil && address != "" {
			if u, err := url.Parse(address); err == nil && u.Host != "" {
				where = u.Scheme + "://" + u.Host
			}
		}
		line := fmt.Sprintf("%s: %s at %s", name, c.Type, n.secrets.hide(where))
		if len(c.To) > 0 {
			line += fmt.Sprintf(" to %s", plural(len(c.To), "recipient"))
		}
		if c.Limit > 0 {
			line += fmt.Sprintf(", at most %s in 10 min", plural(c.Limit, "message"))
		}
		lines = append(lines, line)
	}
	return lines, nil
}
