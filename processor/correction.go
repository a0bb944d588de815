package processor

import (
	"time"

	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/schemas"
)

// Correction is a person's word about an incident: that it was normal traffic, or that it
// is an attack; or about decisions: that they are not to be.
type Correction struct {
	Incident string `json:"incident,omitempty"`
	Attack   bool   `json:"attack,omitempty"`
	// Decisions are weir's own that the person has lifted; then there is no incident.
	Decisions []string  `json:"decisions,omitempty"`
	By        string    `json:"by"`
	Time      time.Time `json:"time"` // when it was said
	// From is the unix second of event time from which on it counts: one that was not judged yet when a detector
	// first heard of it. Whoever judges the same seconds again then comes to the same events, also where these
	// are long past, as in a backlog. 0 is from Time on.
	From int64 `json:"from,omitempty"`
}

const (
	// maxCorrections bounds those that are kept: a restart may read them again, and before
	// the incident that they are about.
	maxCorrections = 256
	// acceptedSeconds is for how long what a person called normal is taken to be so.
	acceptedSeconds = 30 * 86400
)

// accepted is what a person called normal: see detect.Scores.Accept.
type accepted struct {
	Peak  detect.Peak `json:"peak"`
	Until int64       `json:"until"` // unix second
}

// past is the incident of a site that closed last.
type past struct {
	ID   string      `json:"id"`
	Peak detect.Peak `json:"peak"`
}

// Correct takes a person's word. It counts from the first second that is judged after it
// was given, and from its From on. An open incident is closed by it and its decisions end; what it brought is
// learned, and traffic like it, up to twice as much, opens no incident for thirty days. Of one that
// is closed, only the last of its site is still known. That one is an attack ends its probation, and that of all that is
// decided on the site from then on. The same word may be given again.
//
// Decisions that a person has lifted are not renewed, and neither they nor the like of them are taken again in
// their incident; after it what they were about is only asked. That they have ended was told by the person.
func (d *Detector) Correct(c Correction) {
	if len(c.Decisions) > 0 {
		d.reject(&c)
		return
	}
	for _, known := range d.corrections {
		if known.Incident == c.Incident && known.Attack == c.Attack {
			return
		}
	}
	if len(d.corrections) >= maxCorrections {
		d.corrections = append(d.corrections[:0], d.corrections[1:]...)
	}
	d.corrections = append(d.corrections, c)
}

// correct does what was said of the site's incidents.
func (s *site) correct(second int64, emit func(schemas.Event)) {
	if s.incident == nil && s.past == nil {
		return
	}
	for _, c := range s.d.corrections {
		if second < c.From || c.Time.After(s.d.knownAt(second)) {
			continue
		}
		switch {
		case c.Attack:
			if s.incident != nil && s.incident.id == c.Incident {
				s.confirm(second, emit)
			} else if s.past != nil && s.past.ID == c.Incident { // its decisions lapsed, and were right
				s.trusted = true
			}
		case s.incident != nil && s.incident.id == c.Incident:
			s.closeAsNormal(second, c.By, emit)
		case s.past != nil && s.past.ID == c.Incident:
			s.accept(&s.past.Peak, second)
			s.withdraw(c.Incident, c.By, s.d.knownAt(second), emit)
			s.past = nil
		}
	}
}

// withdraw ends the decisions of an incident that a person called normal, and keeps none of
// its signatures armed.
func (s *site) withdraw(incident, by string, now time.Time, emit func(schemas.Event)) {
	s.keepDecisions(func(d *decision) bool {
		if d.incident != incident {
			return true
		}
		d.Reason = schemas.RemovedBy + by
		s.tell(schemas.DecisionRemoved, d, now, emit)
		return false
	})
	s.disarm(now, schemas.RemovedBy+by, func(a *armed) bool { return a.Incident == incident }, emit)
}

func (s *site) closeAsNormal(second int64, by string, emit func(schemas.Event)) {
	now := s.d.knownAt(second)
	s.withdraw(s.incident.id, by, now, emit)
	s.accept(&s.incident.peak, second)
	for i := range s.buckets { // they are learned when their quarantine is over
		s.buckets[i].tainted = false
	}
	s.incident.last.Cause = schemas.ClosedAsNormal + by + ": " + s.incident.last.Cause
	s.closed(now, emit)
	s.state, s.past = detect.State{}, nil
}

// accept raises what opens nothing to a peak.
func (s *site) accept(peak *detect.Peak, second int64) {
	if s.accepted == nil || second >= s.accepted.Until {
		s.accepted = &accepted{}
	}
	s.accepted.Peak.Raise(peak)
	s.accepted.Until = second + acceptedSeconds
}
