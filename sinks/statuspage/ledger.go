package statuspage

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
)

// ledgerVersion is the layout of the ledger's file.
const ledgerVersion = 1

const (
	windowSeconds = 10
	keptMinutes   = 60
	// ahead is how far in the future a window may lie: an edge's clock may be wrong.
	ahead = 10 * time.Minute
	// dayLayout names a day, UTC.
	dayLayout = "2006-01-02"
)

// Tally is visitors, as the package's text defines them: estimated numbers of requests.
type Tally struct {
	Visitors float64 `json:"visitors"`
	Served   float64 `json:"served"`
	Fast     float64 `json:"fast"` // of all visitors, served within five seconds
	Windows  int     `json:"windows"`
}

// Shares are those of the visitors that were served and fast; ok is whether there were
// any.
func (t Tally) Shares() (served, fast float64, ok bool) {
	if t.Visitors <= 0 {
		return 0, 0, false
	}
	return t.Served / t.Visitors, t.Fast / t.Visitors, true
}

func (t *Tally) add(o Tally) {
	t.Visitors += o.Visitors
	t.Served += o.Served
	t.Fast += o.Fast
	t.Windows += o.Windows
}

// Day is one day of a component.
type Day struct {
	Date string `json:"date"` // 2026-11-28, UTC
	Tally
}

// minute is one of the last, for the present state.
type minute struct {
	At int64 `json:"at"` // unix minute
	Tally
}

// siteLedger is what is kept of one site: bounded by Days and keptMinutes.
type siteLedger struct {
	// Last is the end of the newest window counted, unix seconds. Windows come in the
	// order of time; one that is no newer was counted before.
	Last    int64    `json:"last"`
	Days    []Day    `json:"days"`
	Minutes []minute `json:"minutes"`

	// Half is a window some of whose signals have come: they may stand in two messages.
	Half partial `json:"half"`
}

// partial is a window some of whose signals have come.
type partial struct {
	End      int64   `json:"end"`
	Rate     float64 `json:"rate"`
	Normal   float64 `json:"normal"`
	Slow     float64 `json:"slow"`
	Stopped  float64 `json:"stopped"`
	Unserved float64 `json:"unserved"`
	Have     int     `json:"have"` // one bit each
}

// openIncident is one that has not closed, on public sites.
type openIncident struct {
	Sites  []string     `json:"sites"`
	Kind   schemas.Kind `json:"kind"`
	Opened time.Time    `json:"opened"`
}

// ledger is all that weir has measured for the page. Not for concurrent use.
type ledger struct {
	Version int                     `json:"version"`
	Stream  string                  `json:"stream"`  // whose sequences Read holds
	Read    map[string]uint64       `json:"read"`    // by stream: the message from which on to read again
	Sites   map[string]*siteLedger  `json:"sites"`   // the components alone
	Open    map[string]openIncident `json:"open"`    // by incident
	Changed time.Time               `json:"changed"` // of the last window counted
}

// maxOpen bounds the open incidents that are remembered.
const maxOpen = 1000

func newLedger(components []Component) *ledger {
	l := &ledger{Version: ledgerVersion, Read: make(map[string]uint64), Sites: make(map[string]*siteLedger), Open: make(map[string]openIncident)}
	l.keep(components)
	return l
}

// keep makes a place for each component, and leaves the days of those that are not
// listed now: they may be again.
func (l *ledger) keep(components []Component) {
	for _, c := range components {
		if l.Sites[c.Site] == nil {
			l.Sites[c.Site] = new(siteLedger)
		}
	}
}

// openLedger reads the file; none is an empty ledger.
func openLedger(path string, components []Component) (*ledger, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return newLedger(components), nil
	}
	if err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	return parseLedger(path, data, components)
}

func parseLedger(path string, data []byte, components []Component) (*ledger, error) {
	l := newLedger(nil)
	if err := json.Unmarshal(data, l); err != nil {
		return nil, fmt.Errorf("status page: %s is damaged (%w): move it away to begin anew", path, err)
	}
	if l.Version != ledgerVersion {
		return nil, fmt.Errorf("status page: %s has version %d, this reads %d: move it away to begin anew", path, l.Version, ledgerVersion)
	}
	for site, s := range l.Sites {
		if s == nil {
			delete(l.Sites, site)
		}
	}
	if l.Read == nil || l.Open == nil {
		return nil, fmt.Errorf("status page: %s is damaged: move it away to begin anew", path)
	}
	if len(l.Sites) > 2*MaxComponents { // of configurations of long ago
		clear(l.Sites)
	}
	l.keep(components)
	return l, nil
}

func (l *ledger) save(path string) error {
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	return writeAtomic(path, data, 0o640, true)
}

// signal takes one signal of a window and counts the window once all that it needs are
// there. touched is the share of visitors that measures may refuse at this moment.
func (l *ledger) signal(row *schemas.SignalRow, now time.Time, touched float64) (counted bool) {
	s := l.Sites[row.Site]
	if s == nil || row.Window != "10s" || math.IsNaN(row.Value) || math.IsInf(row.Value, 0) {
		return false
	}
	end := row.Time.Unix()
	if end <= s.Last || row.Time.After(now.Add(ahead)) || row.Time.Before(now.AddDate(0, 0, -Days)) {
		return false
	}
	h := &s.Half
	if h.End != end {
		*h = partial{End: end}
	}
	switch row.Name {
	case "request_rate":
		h.Rate, h.Normal = row.Value, row.Normal
		h.Have |= 1
	case "slow_share":
		h.Slow = row.Value
		h.Have |= 2
	case schemas.StoppedShare:
		h.Stopped = row.Value
		h.Have |= 4
	case schemas.UnservedShare:
		h.Unserved = row.Value
		h.Have |= 8
	default:
		return false
	}
	if h.Have != 15 {
		return false
	}
	s.Last = end
	l.Changed = time.Unix(max(end, l.Changed.Unix()), 0).UTC()
	s.count(end, h.tally(touched))
	return true
}

// tally is the window's visitors.
func (p *partial) tally(touched float64) Tally {
	requests := p.Rate * windowSeconds
	through := requests * (1 - share(p.Stopped))
	if through < 0.5 { // nobody
		return Tally{}
	}
	weight := through
	if p.Normal > 0 {
		weight = min(weight, max(p.Normal*windowSeconds, 1))
	}
	served := (1 - share(p.Unserved)) * (1 - share(touched))
	// Slow is of all requests, and what an edge stops is not slow.
	fast := min(served, (1-share(p.Slow*requests/through))*(1-share(touched)))
	return Tally{Visitors: weight, Served: weight * served, Fast: weight * fast, Windows: 1}
}

func share(x float64) float64 { return min(max(x, 0), 1) }

// count adds a window to its day and its minute.
func (s *siteLedger) count(end int64, t Tally) {
	if t.Windows == 0 {
		return
	}
	began := end - windowSeconds
	date := time.Unix(began, 0).UTC().Format(dayLayout)
	if n := len(s.Days); n == 0 || s.Days[n-1].Date != date {
		s.Days = append(s.Days, Day{Date: date})
	}
	s.Days[len(s.Days)-1].add(t)
	if n := len(s.Days); n > Days+1 {
		s.Days = slices.Delete(s.Days, 0, n-Days-1)
	}
	at := began / 60
	if n := len(s.Minutes); n == 0 || s.Minutes[n-1].At != at {
		s.Minutes = append(s.Minutes, minute{At: at})
	}
	s.Minutes[len(s.Minutes)-1].add(t)
	if n := len(s.Minutes); n > keptMinutes {
		s.Minutes = slices.Delete(s.Minutes, 0, n-keptMinutes)
	}
}

// How present measurements must be, and how many visitors a state needs.
const (
	presentFor  = 5 * time.Minute  // nothing measured for so long is no data
	lookBack    = 5                // minutes
	lookFurther = 60               // where fewer came
	enough      = 20.0             // visitors
	measureGap  = 90 * time.Second // between a window's end and its arrival, at most
)

// state is a site's at a moment: of the last five minutes, or of as many more as it
// takes to have seen enough visitors.
func (l *ledger) state(site string, now time.Time) State {
	s := l.Sites[site]
	if s == nil || now.Sub(time.Unix(s.Last, 0)) > presentFor+measureGap {
		return Unknown
	}
	var sum Tally
	for i := len(s.Minutes) - 1; i >= 0; i-- {
		age := s.Last/60 - s.Minutes[i].At
		if age > lookFurther || age > lookBack && sum.Visitors >= enough {
			break
		}
		sum.add(s.Minutes[i].Tally)
	}
	served, fast, ok := sum.Shares()
	if !ok {
		return Unknown
	}
	return stateOf(served, fast)
}

// days are the last n days up to today, the oldest first, those without data as nil.
func (l *ledger) days(site string, now time.Time, n int) []dayOf {
	known := make(map[string]Tally)
	if s := l.Sites[site]; s != nil {
		for _, d := range s.Days {
			known[d.Date] = d.Tally
		}
	}
	out := make([]dayOf, n)
	today := now.UTC().Truncate(24 * time.Hour)
	for i := range out {
		out[i].start = today.AddDate(0, 0, i-n+1)
		out[i].Tally = known[out[i].start.Format(dayLayout)]
	}
	return out
}

// dayOf is a day of a component; no visitors is no data.
type dayOf struct {
	start time.Time
	Tally
}
