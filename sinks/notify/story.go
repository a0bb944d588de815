package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Bounds on the story.
const (
	maxGroups    = 50
	maxIncidents = 400 // of one group; those beyond are counted
	maxMeasures  = 300 // of one incident
	maxWaiting   = 64  // incidents whose decisions came first
	shownSites   = 5
	siteWidth    = 80
	whyWidth     = 600 // bytes
)

// group is incidents that are told as one: a thread.
type group struct {
	Thread    string      `json:"thread"`
	Class     string      `json:"class"`
	Subject   string      `json:"subject,omitempty"` // once told
	Incidents []*incident `json:"incidents"`
	Beyond    int         `json:"beyond,omitempty"` // incidents that are only counted
	Began     time.Time   `json:"began"`

	Pending Kind      `json:"pending,omitempty"` // what is to be told at Due
	Due     time.Time `json:"due,omitzero"`
	Last    time.Time `json:"last,omitzero"` // when something was told
	Silent  bool      `json:"silent,omitempty"`

	Good      int      `json:"good,omitempty"` // readings in a row that show visitors served
	Bad       int      `json:"bad,omitempty"`  // and in a row that are worse than what was told
	Served    *float64 `json:"served,omitempty"`
	Worst     *float64 `json:"worst,omitempty"`
	Stopped   float64  `json:"stopped,omitempty"` // greatest share stopped that was seen
	Mitigated bool     `json:"mitigated,omitempty"`
	Reviewed  bool     `json:"reviewed,omitempty"` // the reader knows of decisions that wait
	Hurt      bool     `json:"hurt,omitempty"`     // a decision was lifted because it hurt
	Lapsed    bool     `json:"lapsed,omitempty"`   // the first enforcement on a site lapsed
}

type incident struct {
	ID       string              `json:"id"`
	Kind     schemas.Kind        `json:"kind"`
	Sites    []string            `json:"sites"`
	Opened   time.Time           `json:"opened"`
	Closed   time.Time           `json:"closed,omitzero"`
	ClosedBy string              `json:"closed_by,omitempty"` // the person who called it normal
	Rate     schemas.Signal      `json:"rate"`                // at its worst
	Clients  schemas.Signal      `json:"clients"`
	Measures map[string]*measure `json:"measures,omitempty"`
	unsaid
}

// unsaid is why nothing is decided in an incident, or no more, as an event said.
type unsaid struct {
	Why   string  `json:"why,omitempty"`
	Cap   string  `json:"cap,omitempty"`
	Where string  `json:"where,omitempty"` // the first site of which it is said, and of how many more the like is
	Left  float64 `json:"left,omitempty"`  // share of the attack's requests that what is decided leaves; 0 where nothing is
}

// measure is what is kept of a decision.
type measure struct {
	Action     schemas.Action `json:"action"`
	Enforced   bool           `json:"enforced"`
	Collateral float64        `json:"collateral"`
	Together   float64        `json:"together,omitempty"` // with all that was in force when it was taken
	Until      time.Time      `json:"until"`
	Ended      bool           `json:"ended,omitempty"`
}

func (m *measure) counts(now time.Time) bool { return !m.Ended && m.Until.After(now) }

// reading is what a site's newest signals say. Those of long ago say nothing.
type reading struct {
	at      time.Time // of the clock
	through float64   // requests a second that no edge stopped
	served  float64
	known   bool
	stopped float64
	rate    float64
}

// readingAge is how long signals, which come every ten seconds, count.
const readingAge = 45 * time.Second

// classOf says what is told together.
func classOf(k schemas.Kind) string {
	switch {
	case k.Attack() || k == schemas.Silent:
		return "attack"
	case k == schemas.Breakage:
		return "breakage"
	}
	return "visitors"
}

func (g *group) open() int {
	n := 0
	for _, i := range g.Incidents {
		if i.Closed.IsZero() {
			n++
		}
	}
	return n
}

// story turns events into messages that are due. Its state is the Notifier's, which
// also holds the lock.
type story struct {
	o        *Options
	state    *state
	readings map[string]reading
	mode     func(site string) string
}

// apply takes one event.
func (s *story) apply(e *schemas.Event, now time.Time) {
	if e.Decision != nil && e.ID != "" {
		s.decision(e, now)
		return
	}
	g, i := s.find(e.Incident)
	switch e.Type {
	case schemas.IncidentOpened, schemas.IncidentUpdated:
		if g == nil {
			g = s.opened(e, now)
			if g == nil {
				return
			}
			_, i = s.find(e.Incident)
		} else if i != nil {
			if was := classOf(i.Kind); was != classOf(e.Kind) && e.Kind.Attack() {
				i.Kind, g.Class = e.Kind, classOf(e.Kind)
				s.pend(g, Worsened, now)
			}
			i.Kind, i.Sites = e.Kind, bounded(e.Sites)
			s.undecided(g, i, e, now)
		}
		if i != nil {
			i.peak(e.Signals)
		}
	case schemas.IncidentClosed:
		if i == nil || !i.Closed.IsZero() {
			return
		}
		i.Closed = e.Closed
		if i.Closed.IsZero() {
			i.Closed = e.Time
		}
		if by, ok := strings.CutPrefix(e.Cause, schemas.ClosedAsNormal); ok {
			i.ClosedBy, _, _ = strings.Cut(by, ": ")
		}
		if g.open() == 0 {
			s.pend(g, Closed, now)
		}
	}
	s.read(e.Sites, e.Signals, e.Time, now)
}

// undecided keeps why nothing is decided, or no more, and has it told: once for each reason, whatever becomes of its
// figures, and where visitors are served all the same not of what is left.
func (s *story) undecided(g *group, i *incident, e *schemas.Event, now time.Time) {
	was := i.unsaid
	i.unsaid = unsaid{}
	if len(e.Undecided) == 0 {
		return
	}
	u := &e.Undecided[0]
	i.unsaid = unsaid{Why: inert(u.Why, whyWidth), Cap: inert(u.Cap, schemas.MaxID), Where: quote(u.Site, siteWidth), Left: u.Left}
	more := -1
	for _, o := range e.Undecided {
		if (o.Left > 0) == (u.Left > 0) {
			more++
		}
	}
	if more > 0 {
		i.Where += fmt.Sprintf(" and %d more", more)
	}
	share, known, _ := s.served(g, now)
	if was.Cap == i.Cap && (was.Left > 0) == (i.Left > 0) || i.Left > 0 && known && share >= illServed {
		return
	}
	s.pend(g, Worsened, now)
}

func (s *story) find(id string) (*group, *incident) {
	for _, g := range s.state.Groups {
		for _, i := range g.Incidents {
			if i.ID == id {
				return g, i
			}
		}
	}
	return nil, nil
}

// opened puts a new incident into the group that is open of its class, or a new one. It
// returns nil where it is only counted.
func (s *story) opened(e *schemas.Event, now time.Time) *group {
	i := &incident{ID: e.Incident, Kind: e.Kind, Sites: bounded(e.Sites), Opened: e.Opened, Measures: s.state.Waiting[e.Incident]}
	if i.Opened.IsZero() {
		i.Opened = e.Time
	}
	delete(s.state.Waiting, e.Incident)
	silent := now.Sub(e.Time) > s.o.MaxAge || e.Time.Before(s.state.Born)
	for _, g := range s.state.Groups {
		if g.Class != classOf(e.Kind) || g.open() == 0 || g.Silent != silent {
			continue
		}
		if len(g.Incidents) >= maxIncidents {
			g.Beyond++
			s.pend(g, Worsened, now)
			return nil
		}
		g.Incidents = append(g.Incidents, i)
		s.pend(g, Worsened, now)
		return g
	}
	if len(s.state.Groups) >= maxGroups {
		s.state.Groups = s.state.Groups[1:]
	}
	g := &group{Thread: "weir-" + inert(e.Incident, schemas.MaxID), Class: classOf(e.Kind), Incidents: []*incident{i}, Began: i.Opened, Silent: silent}
	s.state.Groups = append(s.state.Groups, g)
	s.pend(g, Opened, now)
	return g
}

func bounded(sites []string) []string {
	return append([]string(nil), sites[:min(len(sites), shownSites+1)]...)
}

// peak keeps the signals of the worst moment.
func (i *incident) peak(signals []schemas.Signal) {
	for _, g := range signals {
		switch {
		case g.Name == schemas.RequestRate && g.Value >= i.Rate.Value:
			i.Rate = g
		case g.Name == "unique_clients" && g.Value >= i.Clients.Value:
			i.Clients = g
		}
	}
}

// peak keeps the worst moment of a site's open incidents.
func (s *story) peak(site string, signals []schemas.Signal, at time.Time) {
	for _, g := range s.state.Groups {
		for _, i := range g.Incidents {
			if i.Closed.IsZero() && !at.Before(i.Opened) && slices.Contains(i.Sites, site) {
				i.peak(signals)
			}
		}
	}
}

// lifted begins the reason of a decision that weir itself took back because it hurt.
const lifted = "lifted:"

// lapsed begins the reason of one that ended with its site's probation.
const lapsed = "lapsed:"

func (s *story) decision(e *schemas.Event, now time.Time) {
	if e.Incident == "" {
		return // by hand: who took it knows
	}
	g, i := s.find(e.Incident)
	var measures map[string]*measure
	if i != nil {
		if i.Measures == nil {
			i.Measures = make(map[string]*measure)
		}
		measures = i.Measures
	} else if measures = s.state.Waiting[e.Incident]; measures == nil {
		if g != nil || len(s.state.Waiting) >= maxWaiting {
			return
		}
		measures = make(map[string]*measure)
		s.state.Waiting[e.Incident] = measures
	}
	m := measures[e.ID]
	if m == nil {
		if len(measures) >= maxMeasures {
			return
		}
		m = new(measure)
		measures[e.ID] = m
	}
	together := m.Together // told once: renewals may come without evidence
	if e.Evidence != nil {
		together = e.Evidence.Together
	}
	*m = measure{
		Together: together, Action: e.Action, Enforced: e.Origin != "weir" || s.enforced(e.Sites), Collateral: e.Collateral, Until: e.Expires,
		Ended: e.Type == schemas.DecisionRemoved,
	}
	if g == nil {
		return
	}
	switch {
	case m.Ended && m.Enforced && strings.HasPrefix(e.Reason, lapsed) && g.open() > 0:
		g.Lapsed = true
		s.pend(g, Worsened, now)
	case m.Ended && m.Enforced && strings.HasPrefix(e.Reason, lifted) && g.open() > 0:
		g.Hurt = true
		s.pend(g, Worsened, now)
	case !m.Ended && m.Enforced && g.Lapsed: // confirmed
		g.Lapsed = false
	case !m.Ended && !m.Enforced && !g.Reviewed && e.Type == schemas.DecisionAdded:
		s.pend(g, Review, now)
	}
}

func (s *story) enforced(sites []string) bool {
	if len(sites) == 0 {
		return s.mode("") == "enforce"
	}
	for _, site := range sites {
		if s.mode(site) == "enforce" {
			return true
		}
	}
	return false
}

// weight orders what is pending: the greater is told.
var weight = map[Kind]int{"": 0, Mitigated: 1, Review: 2, Worsened: 3, Opened: 4, Closed: 5}

// pend sees to it that something is told of a group: soon, but not before what follows
// at once has come, and not too often.
func (s *story) pend(g *group, k Kind, now time.Time) {
	if weight[k] > weight[g.Pending] {
		g.Pending = k
	}
	due := now.Add(s.o.Gather)
	if spaced := g.Last.Add(s.o.UpdateEvery); !g.Last.IsZero() && k != Closed && due.Before(spaced) {
		due = spaced
	}
	if g.Due.IsZero() || due.Before(g.Due) || k == Closed {
		g.Due = due
	}
}

// read takes the signals of sites and looks whether they change what was told.
func (s *story) read(sites []string, signals []schemas.Signal, at, now time.Time) {
	if len(signals) == 0 || now.Sub(at) > readingAge {
		return
	}
	r := reading{at: now}
	for _, g := range signals {
		switch g.Name {
		case schemas.RequestRate:
			r.rate = g.Value
		case schemas.StoppedShare:
			r.stopped = g.Value
		}
	}
	r.through = r.rate * (1 - r.stopped)
	r.served, r.known = schemas.Served(signals)
	for _, site := range sites {
		if _, ok := s.readings[site]; ok || len(s.readings) < 10_000 {
			s.readings[site] = r
		}
	}
}

// judge looks at every open group after a round of signals.
func (s *story) judge(now time.Time) {
	for _, g := range s.state.Groups {
		if g.open() == 0 {
			continue
		}
		share, known, stopped := s.served(g, now)
		if !known {
			g.Good, g.Bad = 0, 0
			continue
		}
		g.Stopped = max(g.Stopped, stopped)
		if g.Worst == nil || share < *g.Worst {
			g.Worst = &share
		}
		g.Good, g.Bad = inRow(g.Good, share >= wellServed && s.count(g, now).enforced > 0), inRow(g.Bad, g.worse(share))
		switch {
		case g.Last.IsZero():
		case g.Good >= readingsInRow && !g.Mitigated:
			s.pend(g, Mitigated, now)
		case g.Bad >= readingsInRow:
			s.pend(g, Worsened, now)
		}
	}
}

// due returns the messages whose time has come, and forgets groups that are over.
func (s *story) due(now time.Time) []*Message {
	var out []*Message
	kept := s.state.Groups[:0]
	for _, g := range s.state.Groups {
		over := g.Pending == Closed && g.open() == 0
		if g.Pending != "" && !g.Due.After(now) {
			if !g.Silent {
				out = append(out, s.tell(g, now))
			}
			g.Pending, g.Due, g.Last = "", time.Time{}, now
			if over {
				continue
			}
		}
		kept = append(kept, g)
	}
	clear(s.state.Groups[len(kept):])
	s.state.Groups = kept
	return out
}

// next is when the next message is due; zero where none is.
func (s *story) next() (at time.Time) {
	for _, g := range s.state.Groups {
		if !g.Due.IsZero() && (at.IsZero() || g.Due.Before(at)) {
			at = g.Due
		}
	}
	return at
}
