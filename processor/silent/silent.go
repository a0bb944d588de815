// Package silent tells from an edge's vitals that it is attacked where its log does not show it:
// connections that never become requests, or packets that keep requests from coming. What it
// tells of is an incident of the kind silent, from which no decision follows: there is no
// request to decide on.
package silent

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-project/weir/processor/baseline"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

const (
	// span is the length of a window, and of the steps in which normal vitals are learned.
	span = 10 * time.Second
	// most bounds the vitals of a window: ten a second, as often as they can be read, and some.
	most = 128
	// gap is a pause after which a window begins anew.
	gap = time.Minute
	// learnedLeast is how many windows must be learned before anything is judged: five minutes.
	learnedLeast = 30
	// quarantine is how many windows wait before they are learned: two minutes.
	quarantine = 12
	// lasts is for how long vitals must depart from normal to open an incident, quiet for how
	// long they must not to close it.
	lasts = 5 * time.Second
	quiet = 2 * time.Minute
)

// Watch judges the vitals of one edge, in the order of their times. Not for concurrent use.
type Watch struct {
	edge string
	base *baseline.Site

	moments []moment // of the window
	stepped time.Time
	waiting [][numSignals]float64 // windows in quarantine, the oldest first

	since  time.Time // since when it departs; zero where it does not
	calm   time.Time // since when an open incident is quiet; zero where it is not
	id     string    // of the open incident, "" for none
	opened time.Time
}

// moment is one reading, of what the edge knows.
type moment struct {
	at       time.Time
	interval float64 // seconds
	values   [numSignals]float64
	answered bool // nginx said how it is
}

// New watches an edge of which nothing is known.
func New(edge string) *Watch {
	return &Watch{edge: edge, base: baseline.New(scales())}
}

// ID is that of an incident of an edge which opened at a time.
func ID(edge string, opened time.Time) string {
	name := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}
	short := strings.Map(name, strings.ToLower(edge))
	return opened.UTC().Format("i060102-150405-") + short[:min(len(short), 40)]
}

// Edge is whose vitals it judges.
func (w *Watch) Edge() string { return w.edge }

// Open is the incident that is open, "" for none.
func (w *Watch) Open() string { return w.id }

// Resume takes up an incident that is open, of a watch that is gone.
func (w *Watch) Resume(id string, opened time.Time) { w.id, w.opened = id, opened }

// Take judges the next vitals of the edge, and returns what follows, if anything does. Those without
// nginx's status say nothing of requests, and are passed over.
func (w *Watch) Take(v *schemas.Vitals) (e schemas.Event, changed bool) {
	if v.Nginx == nil || v.Interval <= 0 || !w.add(v) {
		return e, false
	}
	now := w.window()
	sc := score(w.base, &now)
	departs := w.base.Windows() >= learnedLeast && sc.silent(&now)
	switch {
	case !departs:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = v.Time
	}
	w.step(v.Time, &now)
	switch {
	case w.id == "" && !w.since.IsZero() && v.Time.Sub(w.since) >= lasts:
		w.opened, w.id, w.calm, w.waiting = v.Time, ID(w.edge, v.Time), time.Time{}, nil
		return w.event(schemas.IncidentOpened, v.Time, &now, &sc), true
	case w.id == "" || departs:
		w.calm = time.Time{}
	case w.calm.IsZero():
		w.calm = v.Time
	case v.Time.Sub(w.calm) >= quiet:
		e = w.event(schemas.IncidentClosed, v.Time, &now, &sc)
		e.Closed = v.Time
		w.id, w.calm = "", time.Time{}
		return e, true
	}
	return e, false
}

// add puts vitals into the window, and reports whether they come after those before.
func (w *Watch) add(v *schemas.Vitals) bool {
	if n := len(w.moments); n > 0 {
		switch since := v.Time.Sub(w.moments[n-1].at); {
		case since <= 0:
			return false
		case since > gap:
			w.moments, w.since, w.stepped = w.moments[:0], time.Time{}, v.Time
		}
	}
	if w.stepped.IsZero() {
		w.stepped = v.Time
	}
	first := 0
	for first < len(w.moments) && (v.Time.Sub(w.moments[first].at) >= span || len(w.moments)-first >= most) {
		first++
	}
	w.moments = append(w.moments[:copy(w.moments, w.moments[first:])], momentOf(v))
	return true
}

// step learns a window, two minutes after it was, where all has been well since.
func (w *Watch) step(now time.Time, r *reading) {
	if now.Sub(w.stepped) < span {
		return
	}
	w.stepped = now
	if w.id != "" || !w.since.IsZero() {
		w.waiting = nil
		return
	}
	w.waiting = append(w.waiting, r.even)
	if len(w.waiting) > quarantine {
		w.base.Learn(baseline.HourOf(now.Add(-quarantine*span)), w.waiting[0][:])
		w.waiting = w.waiting[1:]
	}
}

func (w *Watch) event(t schemas.EventType, at time.Time, r *reading, sc *scores) schemas.Event {
	return schemas.Event{
		Type: t, Time: at.UTC(), Incident: w.id, Kind: schemas.Silent, Opened: w.opened.UTC(), Signals: sc.list(r), Cause: w.cause(r, sc),
	}
}

// cause is one sentence for a person.
func (w *Watch) cause(r *reading, sc *scores) string {
	i := sc.worst(r)
	requests := fmt.Sprintf("%.1f requests/s (normal %.1f)", r.values[Begun], sc.level[Begun])
	if !r.answered {
		requests = "nginx does not say how many requests"
	}
	return fmt.Sprintf("edge %s: %s %s (normal %s), while %s come: an attack that no log shows, and on which nothing can be decided here; %s",
		w.edge, number(r.values[i]), signals[i].says, number(sc.level[i]), requests, signals[i].advice)
}

// number is a figure for a person.
func number(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// Write appends what is known of the edge.
func (w *Watch) Write(out *state.Writer) {
	out.Text(w.edge)
	w.base.Write(out)
	out.Text(w.id)
	out.Int(w.opened.UnixMilli())
}

// Read is what Write wrote.
func Read(in *state.Reader) *Watch {
	w := New(in.Text(schemas.MaxSite))
	w.base.Read(in)
	w.id = in.Text(schemas.MaxID)
	w.opened = time.UnixMilli(in.Int()).UTC()
	return w
}
