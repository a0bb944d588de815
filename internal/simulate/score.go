package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Grace is how long after the attack's first request its requests do not count
// yet as late: by then an attack should be stopped.
const Grace = 60 * time.Second

// Stopped counts requests by what an edge did with them.
type Stopped struct {
	Requests  int64 `json:"requests"`
	Block     int64 `json:"block"`
	Challenge int64 `json:"challenge"`
	Throttle  int64 `json:"throttle"`
}

func (s *Stopped) add(a schemas.Action) {
	s.Requests++
	switch a {
	case schemas.Block:
		s.Block++
	case schemas.Challenge:
		s.Challenge++
	case schemas.Throttle:
		s.Throttle++
	}
}

// Join adds others.
func (s *Stopped) Join(o Stopped) {
	s.Requests, s.Block, s.Challenge, s.Throttle = s.Requests+o.Requests, s.Block+o.Block, s.Challenge+o.Challenge, s.Throttle+o.Throttle
}

// Any is how many were not let through as they came.
func (s Stopped) Any() int64 { return s.Block + s.Challenge + s.Throttle }

// BlockShare is the share blocked, 0 to 1; 0 of none.
func (s Stopped) BlockShare() float64 { return share(s.Block, s.Requests) }

// Share is the share blocked, challenged or throttled.
func (s Stopped) Share() float64 { return share(s.Any(), s.Requests) }

// Touched counts actors, and those of them who lost something.
type Touched struct {
	Actors  int64 `json:"actors"`
	Blocked int64 `json:"blocked"` // at least one request blocked that would have succeeded
	Slowed  int64 `json:"slowed"`  // not blocked, but at least one such challenged or throttled
}

// BlockedShare is the share of the actors with a blocked request, 0 to 1.
func (t Touched) BlockedShare() float64 { return share(t.Blocked, t.Actors) }

func share(part, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(part) / float64(of)
}

// Scorecard compares verdicts with the truth. Times are when requests were sent.
type Scorecard struct {
	Lines       int64     `json:"lines"`
	AttackSite  string    `json:"attack_site,omitempty"` // "" where there is no attack
	AttackFirst time.Time `json:"attack_first,omitzero"`
	AttackLast  time.Time `json:"attack_last,omitzero"`

	Attack Stopped `json:"attack"` // all of the attack's requests
	Late   Stopped `json:"late"`   // those later than Grace after the first

	// Visitors are the people, tools, crawlers and monitors with a request at the
	// attacked site between the attack's first request and its last.
	Visitors Touched          `json:"visitors"`
	ByKind   map[Kind]Touched `json:"by_kind"` // Visitors by kind
	// ToTheEnd are the same until the end of the log: decisions outlast attacks.
	ToTheEnd Touched `json:"to_the_end"`
	// Shared are those visitors whose client a bot uses too; Visitors are without them.
	Shared Touched `json:"shared"`
	// Scanners are background noise, which nobody minds to lose; not in Visitors.
	Scanners Touched `json:"scanners"`
	// Elsewhere are the actors but bots and scanners at other sites, or before the attack.
	Elsewhere Touched `json:"elsewhere"`

	Events *EventScore `json:"events,omitempty"` // nil where none were given
}

// EventScore judges the incidents and decisions.
type EventScore struct {
	// Flood and Noticed are the seconds from the attack's first request to the
	// first incident opened on its site of kind flood, and of any attack kind; nil: none.
	Flood   *float64 `json:"flood_seconds"`
	Noticed *float64 `json:"noticed_seconds"`
	// Opened is how many incidents of an attack kind were opened on the attacked site since.
	Opened int64 `json:"opened"`
	// False are incidents of an attack kind before the attack or at other sites, as
	// "kind site,site time".
	False []string `json:"false,omitempty"`
	// Other counts opened incidents of the kinds that are no attack.
	Other           map[schemas.Kind]int64 `json:"other,omitempty"`
	Decisions       int64                  `json:"decisions"` // added
	DecisionsBefore int64                  `json:"decisions_before"`
}

// Score reads a truth file, the verdicts on the same log, and the events, which
// may be nil. The verdicts are those of one input file.
func Score(truth, verdicts, events io.Reader) (Scorecard, error) {
	s := newScorer()
	if err := s.read(truth, verdicts); err != nil {
		return Scorecard{}, err
	}
	card := s.judge()
	if events == nil {
		return card, nil
	}
	score, err := scoreEvents(events, &card)
	card.Events = score
	return card, err
}

// scoreEvents judges events alone against a card's attack.
func scoreEvents(r io.Reader, card *Scorecard) (*EventScore, error) {
	e := &EventScore{Other: map[schemas.Kind]int64{}}
	lines := newLines(r)
	for n := 1; lines.Scan(); n++ {
		var event schemas.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("events line %d: %w", n, err)
		}
		e.add(&event, card)
	}
	return e, end(lines, "events", nil)
}

func (e *EventScore) add(event *schemas.Event, card *Scorecard) {
	before := card.AttackSite == "" || event.Time.Before(card.AttackFirst)
	switch event.Type {
	case schemas.DecisionAdded:
		e.Decisions++
		if before {
			e.DecisionsBefore++
		}
	case schemas.IncidentOpened:
		if !event.Kind.Attack() {
			e.Other[event.Kind]++
			return
		}
		here, elsewhere := false, false
		for _, site := range event.Sites {
			here = here || site == card.AttackSite
			elsewhere = elsewhere || site != card.AttackSite
		}
		if before || elsewhere || !here {
			e.False = append(e.False, fmt.Sprintf("%s %s %s", event.Kind, strings.Join(event.Sites, ","), event.Time.UTC().Format(time.RFC3339)))
		}
		if before || !here {
			return
		}
		e.Opened++
		seconds := event.Time.Sub(card.AttackFirst).Seconds()
		earliest(&e.Noticed, seconds)
		if event.Kind == schemas.Flood {
			earliest(&e.Flood, seconds)
		}
	}
}

func earliest(at **float64, seconds float64) {
	if *at == nil || seconds < **at {
		*at = &seconds
	}
}

// verdict is one line of a verdicts file.
type verdict struct {
	file   string
	line   int64
	site   string
	action schemas.Action
}

func parseVerdict(text string, n int64) (v verdict, err error) {
	f := strings.Split(text, "\t")
	if len(f) != 7 {
		return v, fmt.Errorf("verdicts line %d: %d fields, want 7", n, len(f))
	}
	v = verdict{file: f[0], site: f[3], action: schemas.Action(f[5])}
	if v.line, err = strconv.ParseInt(f[1], 10, 64); err != nil {
		return v, fmt.Errorf("verdicts line %d: %.20q is no line number", n, f[1])
	}
	if v.action != schemas.Allow && v.action.Severity() == 0 {
		return v, fmt.Errorf("verdicts line %d: action %.20q; want allow, throttle, challenge or block", n, f[5])
	}
	return v, nil
}

// read pairs truth and verdicts line by line.
func (s *scorer) read(truth, verdicts io.Reader) error {
	lines, rows := newLines(verdicts), NewTruthReader(truth)
	file := ""
	for n := int64(1); ; n++ {
		t, err := rows.Next()
		more := lines.Scan()
		if errors.Is(err, io.EOF) {
			if more {
				return fmt.Errorf("verdicts: more lines than the truth's %d; they are of another log", n-1)
			}
			return end(lines, "verdicts", nil)
		}
		if err != nil {
			return err
		}
		if !more {
			return end(lines, "verdicts", fmt.Errorf("verdicts: end after %d lines, but the truth goes on", n-1))
		}
		v, err := parseVerdict(lines.Text(), n)
		if err != nil {
			return err
		}
		if n == 1 {
			file = v.file
		}
		if v.file != file || v.line != n || v.site != "" && v.site != t.Site {
			return fmt.Errorf("verdicts line %d: is about %s:%d at %q, the truth about line %d at %q; score one log at a time",
				n, v.file, v.line, v.site, n, t.Site)
		}
		s.add(&t, v.action)
	}
}
