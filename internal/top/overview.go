// Package top shows what a running weir sees, in a terminal: the sites with their
// signals, what is open, what is decided, and how far behind it is.
package top

import (
	"time"

	"github.com/weir-project/weir/schemas"
)

// Overview is one look, as GET /api/overview answers it.
type Overview struct {
	Time time.Time `json:"time"` // of the answer
	// EventTime is up to when requests were processed; zero before the first.
	EventTime time.Time `json:"event_time,omitzero"`
	Mode      string    `json:"mode"`
	Sites     []Site    `json:"sites"` // those with an open incident first, then the busiest; at most MaxSites
	AllSites  int       `json:"all_sites"`
	// Incidents are those that are open, the newest first, and then the last that closed.
	Incidents []schemas.Event `json:"incidents"`
	// Decisions are the newest in force; InForce says how many there are of each action.
	Decisions []schemas.Event `json:"decisions"`
	InForce   map[string]int  `json:"in_force"`
	// Proposed are those of them that no edge holds as they wait for a person, Observed those that no edge will.
	Proposed int `json:"proposed,omitempty"`
	Observed int `json:"observed,omitempty"`
	// Cap says that no more is decided, as so many are in force; "" where more is.
	Cap string `json:"cap,omitempty"`
	// Clocks are those of sources that are wrong, the worst first; Vitals how the edges are.
	Clocks []Clock           `json:"clocks,omitempty"`
	Vitals []*schemas.Vitals `json:"vitals,omitempty"`
	// Held is what edges hold of what is decided, those first that lack something.
	Held []Held `json:"held,omitempty"`
}

// Held is what one edge holds, in all its parts.
type Held struct {
	Edge     string  `json:"edge"`
	Intended int     `json:"intended"`
	Loaded   int     `json:"loaded"`
	Refused  int     `json:"refused"`
	Matching uint64  `json:"matching"` // requests or packets that it has stopped since it started
	Lacks    bool    `json:"lacks"`    // what is decided is not in force there
	Off      bool    `json:"off"`      // by weir panic off
	Silent   float64 `json:"silent"`   // seconds; 0 where it has just reported
}

// Trouble orders them: the worst is the greatest.
func (h *Held) Trouble() float64 {
	switch {
	case h.Lacks && !h.Off:
		return 3000
	case h.Silent > 0:
		return 2500
	case h.Off:
		return 1500
	}
	return 0
}

// Clock is the clock of a source that is wrong.
type Clock struct {
	Edge   string  `json:"edge"`
	Source string  `json:"source"`
	Ahead  float64 `json:"ahead"` // seconds; negative where it is behind
	// Doubted is the share of its requests whose times fit nothing: it stands still, or jumps.
	Doubted float64 `json:"doubted,omitempty"`
}

// Bounds of an Overview.
const (
	MaxSites     = 200
	MaxIncidents = 20
	MaxDecisions = 50
	MaxEdges     = 50
	// History is how many windows of 10 s a site's history reaches back: ten minutes.
	History = 60
)

// Site is a site's last window of 10 s.
type Site struct {
	Name    string           `json:"site"`
	End     time.Time        `json:"end"` // of the window
	Signals []schemas.Signal `json:"signals"`
	Rate    []float64        `json:"rate"` // requests a second of the last windows, the newest last
	// Incident is the newest that is open there, "" for none.
	Incident string `json:"incident,omitempty"`
}

// signal is the value of a signal, 0 where the site has none.
func (s *Site) signal(name string) schemas.Signal {
	for _, g := range s.Signals {
		if g.Name == name {
			return g
		}
	}
	return schemas.Signal{Name: name}
}

// Lag is how far behind the clock the processor is; negative where it has seen nothing.
func (o *Overview) Lag() time.Duration {
	if o.EventTime.IsZero() {
		return -1
	}
	return max(0, o.Time.Sub(o.EventTime))
}
