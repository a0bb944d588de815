package notify

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Case is what a post-mortem is drafted from.
type Case struct {
	Name     string // of this weir
	Mode     func(site string) string
	Incident string
	// Events are those of the incident and its decisions, and decisions by hand on its
	// sites meanwhile, in any order.
	Events []schemas.Event
	// Signals are those of its sites, from a little before to a little after. May be empty.
	Signals []schemas.SignalRow
	Figures *Figures // of the requests; nil where they are not known
	Public  []Told   // what the status page said meanwhile, in order
	// PublicUnknown says why Public may lack something; "" where it does not.
	PublicUnknown string
	Written       time.Time
}

// Told is what the public was told at a moment.
type Told struct {
	Time  time.Time
	By    string // "weir", or a user of the machine
	Step  string // publish, update or resolve
	Title string
	Text  string
}

// Figures are counted in the stored requests from the incident's opening to its end.
type Figures struct {
	Requests, Clients           uint64
	Stopped, StoppedClients     uint64 // blocked, challenged or throttled
	Errors, Abandoned, NotFound uint64 // of those let through
	// Known are clients that the site had answered well on the day before, Touched those
	// of them that an edge stopped meanwhile, Served those that it answered well.
	Known, Touched, Served uint64
	Decisions              []DecisionFigures
}

// DecisionFigures are what one decision did.
type DecisionFigures struct {
	Decision          string
	Requests, Clients uint64
	First, Last       time.Time
}

// Bounds on a draft.
const (
	maxTimeline  = 400
	maxDecisions = 40
	maxSamples   = 5
	shownEnds    = 5 // decisions that end at one moment, for one reason
)

// draft is a post-mortem on its way.
type draft struct {
	*Case
	w         *bufio.Writer
	opened    schemas.Event
	last      schemas.Event
	incidents []schemas.Event
	decisions []schemas.Event // the first event of each decision, with its evidence
	timeline  []moment
}

type moment struct {
	at   time.Time
	text string
}

// Postmortem writes a draft in Markdown: what is known, and what only people know. It is
// for those inside: it names addresses. Whatever a client chose stands in code spans,
// inert.
func Postmortem(w io.Writer, c Case) error {
	d := &draft{Case: &c, w: bufio.NewWriter(w)}
	if d.Mode == nil {
		d.Mode = func(string) string { return "observe" }
	}
	if err := d.sort(); err != nil {
		return err
	}
	d.head()
	d.figures()
	d.line()
	d.apart()
	d.done()
	d.public()
	d.collateral()
	d.questions()
	return d.w.Flush()
}

func (d *draft) sort() error {
	slices.SortStableFunc(d.Events, func(a, b schemas.Event) int { return a.Time.Compare(b.Time) })
	at := make(map[string]int)
	for _, e := range d.Events {
		if e.Decision == nil || e.ID == "" {
			if e.Incident == d.Incident {
				d.incidents = append(d.incidents, e)
			}
			continue
		}
		if i, ok := at[e.ID]; !ok {
			at[e.ID] = len(d.decisions)
			d.decisions = append(d.decisions, e)
		} else if d.decisions[i].Evidence == nil && e.Evidence != nil {
			d.decisions[i].Decision.Evidence = e.Evidence
		}
	}
	if len(d.incidents) == 0 {
		return fmt.Errorf("no event of an incident %s is known", inert(d.Incident, 80))
	}
	d.opened, d.last = d.incidents[0], d.incidents[len(d.incidents)-1]
	return nil
}

func (d *draft) say(format string, args ...any) { fmt.Fprintf(d.w, format, args...) }

// code is text as a code span that nothing in it can end.
func code(text string, width int) string {
	text = inert(text, width)
	if text == "" {
		return "(empty)"
	}
	fence, run := 1, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		fence = max(fence, run+1)
	}
	marks := strings.Repeat("`", fence)
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") || strings.Trim(text, " ") != text {
		text = " " + text + " "
	}
	return marks + text + marks
}

// cell is code in a table, where a bar would end the cell even so.
func cell(text string, width int) string {
	return code(strings.ReplaceAll(inert(text, width), "|", "¦"), width)
}

func (d *draft) sites() string {
	var all []string
	for _, s := range d.opened.Sites[:min(len(d.opened.Sites), 20)] {
		all = append(all, code(s, siteWidth))
	}
	return strings.Join(all, ", ")
}

func (d *draft) began() time.Time {
	if !d.opened.Opened.IsZero() {
		return d.opened.Opened
	}
	return d.opened.Time
}

// ended is when it was over; ok is false while it is not.
func (d *draft) ended() (at time.Time, ok bool) {
	if d.last.Type != schemas.IncidentClosed {
		return d.Written, false
	}
	if !d.last.Closed.IsZero() {
		return d.last.Closed, true
	}
	return d.last.Time, true
}

func (d *draft) head() {
	end, over := d.ended()
	kind := kindText(d.opened.Kind)
	for _, e := range d.incidents {
		if e.Kind != "" {
			kind = kindText(e.Kind)
		}
	}
	d.say("# Post-mortem of %s (draft)\n\n", code(d.Incident, 80))
	d.say("<!-- Drafted by weir from what it measured, at %s. For those inside: it may name addresses. -->\n\n", instant(d.Written))
	d.say("| | |\n|---|---|\n| what | %s |\n| sites | %s |\n| opened | %s |\n", kind, strings.ReplaceAll(d.sites(), "|", "¦"), instant(d.began()))
	if over {
		d.say("| closed | %s |\n| lasted | %s |\n", instant(end), duration(end.Sub(d.began())))
	} else {
		d.say("| closed | it is still open |\n")
	}
	for _, site := range d.opened.Sites[:min(len(d.opened.Sites), 1)] {
		d.say("| mode | %s |\n", d.Mode(site))
	}
	if d.opened.Cause != "" {
		d.say("\nWhat weir saw when it opened: %s\n", code(d.opened.Cause, 500))
	}
}

func (d *draft) figures() {
	d.say("\n## Figures\n\n")
	if worst, at, ok := d.worst(); ok {
		d.say("- Fewest visitors served in any 10 s: **%s**, at %s.\n", percent(worst), instant(at))
	} else {
		d.say("- What share of visitors was served is not known.\n")
	}
	for _, name := range []string{schemas.RequestRate, "unique_clients"} {
		if s, at, ok := d.peak(name); ok {
			d.say("- Most %s: %s at %s (normal %s).\n", map[string]string{schemas.RequestRate: "requests a second", "unique_clients": "clients in 10 s"}[name], figure(s.Value), instant(at), figure(s.Normal))
		}
	}
	f := d.Figures
	if f == nil {
		d.say("- The requests themselves could not be counted: ClickHouse did not answer.\n")
		return
	}
	d.say("- %d requests from %d clients; edges stopped %d (%s) from %d clients.\n", f.Requests, f.Clients, f.Stopped, percent(share(f.Stopped, f.Requests)), f.StoppedClients)
	through := f.Requests - min(f.Stopped, f.Requests)
	d.say("- Of the %d let through, %d ended with an error of the server (%s), %d were given up by the client (%s), %d asked for what is not there.\n",
		through, f.Errors, percent(share(f.Errors, through)), f.Abandoned, percent(share(f.Abandoned, through)), f.NotFound)
}

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// worst is the lowest share served from the opening to the end.
func (d *draft) worst() (least float64, at time.Time, ok bool) {
	end, _ := d.ended()
	for _, w := range d.windows() {
		if w.at.Before(d.began()) || w.at.After(end) {
			continue
		}
		if s, known := schemas.Served(w.signals); known && (!ok || s < least) {
			least, at, ok = s, w.at, true
		}
	}
	if ok {
		return least, at, ok
	}
	for _, e := range d.incidents {
		if s, known := schemas.Served(e.Signals); known && (!ok || s < least) {
			least, at, ok = s, e.Time, true
		}
	}
	return least, at, ok
}

type windowOf struct {
	at      time.Time
	site    string
	signals []schemas.Signal
}

// windows are the signals by time and site, in order.
func (d *draft) windows() []windowOf {
	rows := slices.Clone(d.Signals)
	slices.SortStableFunc(rows, func(a, b schemas.SignalRow) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Site, b.Site))
	})
	var out []windowOf
	for _, r := range rows {
		if n := len(out); n == 0 || !out[n-1].at.Equal(r.Time) || out[n-1].site != r.Site {
			out = append(out, windowOf{at: r.Time, site: r.Site})
		}
		w := &out[len(out)-1]
		w.signals = append(w.signals, r.Signal)
	}
	return out
}

func (d *draft) peak(name string) (most schemas.Signal, at time.Time, ok bool) {
	take := func(s schemas.Signal, t time.Time) {
		if s.Name == name && (!ok || s.Value > most.Value) {
			most, at, ok = s, t, true
		}
	}
	for _, r := range d.Signals {
		take(r.Signal, r.Time)
	}
	for _, e := range d.incidents {
		for _, s := range e.Signals {
			take(s, e.Time)
		}
	}
	return most, at, ok
}

// recovered is when visitors were first served well again for half a minute, after they
// were not.
func (d *draft) recovered() (at time.Time, ok bool) {
	ill, good := false, 0
	for _, w := range d.windows() {
		s, known := schemas.Served(w.signals)
		switch {
		case w.at.Before(d.began()) || !known:
		case s < illServed:
			ill, good = true, 0
		case ill && s >= wellServed:
			if good++; good == 1 {
				at = w.at
			}
			if good == readingsInRow {
				return at, true
			}
		default:
			good = 0
		}
	}
	return time.Time{}, false
}
