package demo

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// slotLength is the table's step.
const slotLength = 10 * time.Second

// maxRefusals bounds the examples that a report carries.
const maxRefusals = 20

// Report is a demo in numbers. Durations and moments are seconds of the story;
// a moment that did not come is absent.
type Report struct {
	Slots  []Slot        `json:"slots"`  // ten seconds each
	Phases []PhaseReport `json:"phases"` // before, attack, after

	Attack AttackReport `json:"attack"`
	// FirstMinute is the attack without what came after its first minute, Later
	// what did: the verdict is about Later.
	FirstMinute AttackReport `json:"first_minute"`
	Later       AttackReport `json:"later"`
	Addresses   int          `json:"addresses"` // distinct bots that sent anything

	AttackBegan *float64 `json:"attack_began,omitempty"` // seconds from the beginning
	// Seconds from the attack's first request: to weir's first incident, to its
	// first decision, to the first bot that nginx stopped.
	Noticed      *float64 `json:"noticed,omitempty"`
	Decided      *float64 `json:"decided,omitempty"`
	FirstStopped *float64 `json:"first_stopped,omitempty"`

	// Flooded is what visitors got from twenty seconds into the attack on, Settled what they got from
	// a minute after the first block on; both until the attack's end.
	Flooded VisitorReport `json:"flooded"`
	Settled VisitorReport `json:"settled"`

	Visitors        int       `json:"visitors"`         // people, tools, crawlers and monitors, each counted once
	VisitorsRefused int       `json:"visitors_refused"` // those of them who were refused at least once what they would have got
	VisitorsBlocked int       `json:"visitors_blocked"` // those of these who were not asked for anything: no challenge
	Refusals        []Refusal `json:"refusals,omitempty"`
	ScannersRefused int       `json:"scanners_refused"` // requests of background scanners
	Uncounted       int       `json:"uncounted,omitempty"`

	// Unjudged leaves the verdict out of the table: somebody else judges.
	Unjudged bool `json:"-"`
}

// AttackReport is what became of the botnet's requests: Sent = Stopped + Reached +
// Failed + Open.
type AttackReport struct {
	Sent    int `json:"sent"`
	Stopped int `json:"stopped"` // at nginx
	Reached int `json:"reached"` // the application
	Failed  int `json:"failed"`  // neither: no connection, no answer, nginx's own error
	Open    int `json:"open"`    // not answered yet
}

// StoppedShare is 0 to 1; 0 where nothing was sent.
func (a AttackReport) StoppedShare() float64 {
	if a.Sent == 0 {
		return 0
	}
	return float64(a.Stopped) / float64(a.Sent)
}

func (a *AttackReport) add(r *record) {
	a.Sent++
	switch r.outcome() {
	case reached:
		a.Reached++
	case stopped:
		a.Stopped++
	case failed:
		a.Failed++
	case open:
		a.Open++
	}
}

// VisitorReport is what became of visitors' requests.
type VisitorReport struct {
	Requests int `json:"requests"`
	Refused  int `json:"refused"`
	Failed   int `json:"failed"` // 5xx, no answer, or none in time
	// Median and P95 are what pages took, in seconds, where there was a page or the
	// visitor hung up: who hung up has waited as long as they did. An error that
	// came at once is no short wait, it is Failed. 0 where there was none of these.
	Median float64 `json:"median_wait"`
	P95    float64 `json:"p95_wait"`
	// Endured is the p95 where whoever got no page waits for ever: +Inf where those are too many.
	Endured float64 `json:"-"`

	waits   []time.Duration
	endured []time.Duration // endless where no page came
}

// endless is the wait for a page that never comes.
const endless = time.Duration(math.MaxInt64)

func (v *VisitorReport) add(r *record) {
	v.Requests++
	if r.refused() {
		v.Refused++
	} else if r.failed() {
		v.Failed++
	}
	if r.Page && r.done && (r.HungUp || r.Status > 0 && r.Status < 500) && !r.refused() {
		v.waits = append(v.waits, r.wait)
	}
	switch {
	case !r.Page || r.refused():
	case !r.done || r.failed():
		v.endured = append(v.endured, endless)
	default:
		v.endured = append(v.endured, r.wait)
	}
}

// failedShare is 0 to 1; 0 where nobody asked.
func (v *VisitorReport) failedShare() float64 {
	if v.Requests == 0 {
		return 0
	}
	return float64(v.Failed) / float64(v.Requests)
}

func (v *VisitorReport) close() {
	slices.Sort(v.waits)
	v.Median, v.P95 = quantile(v.waits, .5), quantile(v.waits, .95)
	slices.Sort(v.endured)
	if v.Endured = quantile(v.endured, .95); v.Endured == endless.Seconds() {
		v.Endured = math.Inf(1)
	}
	v.waits, v.endured = nil, nil
}

// Slot is ten seconds of the story.
type Slot struct {
	From     float64       `json:"from"`
	Phase    Phase         `json:"phase"`
	Attack   AttackReport  `json:"attack"`
	Visitors VisitorReport `json:"visitors"`
}

// PhaseReport is the visitors' part of a phase.
type PhaseReport struct {
	Phase    Phase         `json:"phase"`
	Visitors VisitorReport `json:"visitors"`
}

// Refusal is an example of a visitor's refused request.
type Refusal struct {
	At      float64       `json:"at"`
	Kind    simulate.Kind `json:"kind"`
	Actor   string        `json:"actor"`
	Request string        `json:"request"`
	Status  int           `json:"status"`
}

// Report is the state of affairs; to be asked for at any time.
func (s *Scoreboard) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := newReporter(s)
	for i := range s.records {
		b.add(&s.records[i])
	}
	return b.close()
}

// loss is the worst that a visitor met.
type loss uint8

const (
	nothing loss = iota
	challenged
	blocked
)

func lossOf(r *record) loss {
	switch {
	case r.blocked():
		return blocked
	case r.lost():
		return challenged
	}
	return nothing
}

// reporter makes a Report of records.
type reporter struct {
	Report
	board     *Scoreboard
	began     time.Duration // the attack's first request
	attacked  bool
	firstStop time.Duration
	stopped   bool
	bots      map[string]bool
	visitors  map[simulate.Actor]loss
}

func newReporter(s *Scoreboard) *reporter {
	b := &reporter{board: s, bots: map[string]bool{}, visitors: map[simulate.Actor]loss{}}
	b.Uncounted = s.over
	total := min(max(s.elapsed(), slotLength), s.plan.Total())
	for from := time.Duration(0); from < total; from += slotLength {
		b.Slots = append(b.Slots, Slot{From: from.Seconds(), Phase: s.plan.phase(from)})
	}
	for _, p := range []Phase{PhaseBefore, PhaseDuring, PhaseAfter} {
		b.Phases = append(b.Phases, PhaseReport{Phase: p})
	}
	for i := range s.records {
		if r := &s.records[i]; r.bot() && (!b.attacked || r.at < b.began) {
			b.began, b.attacked = r.at, true
		}
	}
	return b
}

func (b *reporter) add(r *record) {
	slot := &b.Slots[min(int(r.at/slotLength), len(b.Slots)-1)]
	if r.bot() {
		slot.Attack.add(r)
		b.addBot(r)
		return
	}
	if !r.visitor() {
		if r.refused() {
			b.ScannersRefused++
		}
		return
	}
	slot.Visitors.add(r)
	phase := b.board.plan.phase(r.at)
	for i := range b.Phases {
		if b.Phases[i].Phase == phase {
			b.Phases[i].Visitors.add(r)
		}
	}
	b.visitors[r.Actor] = max(b.visitors[r.Actor], lossOf(r))
	if r.lost() && len(b.Refusals) < maxRefusals {
		b.Refusals = append(b.Refusals, Refusal{r.at.Seconds(), r.Actor.Kind, r.Actor.ID, r.Method + " " + r.URI, r.Status})
	}
}

func (b *reporter) addBot(r *record) {
	b.Attack.add(r)
	if r.at < b.began+firstMinute {
		b.FirstMinute.add(r)
	} else {
		b.Later.add(r)
	}
	b.bots[r.Actor.ID] = true
	if at := r.at + r.wait; r.outcome() == stopped && (!b.stopped || at < b.firstStop) {
		b.firstStop, b.stopped = at, true
	}
}

func (b *reporter) close() Report {
	for i := range b.Slots {
		b.Slots[i].Visitors.close()
	}
	for i := range b.Phases {
		b.Phases[i].Visitors.close()
	}
	b.Addresses = len(b.bots)
	b.Visitors = len(b.visitors)
	for _, lost := range b.visitors {
		if lost > nothing {
			b.VisitorsRefused++
		}
		if lost == blocked {
			b.VisitorsBlocked++
		}
	}
	if b.attacked {
		b.AttackBegan = seconds(b.began)
		b.Noticed, b.Decided = b.sinceAttack(b.board.noticed), b.sinceAttack(b.board.decided)
	}
	if b.stopped {
		b.FirstStopped = seconds(b.firstStop - b.began)
	}
	b.late()
	return b.Report
}

// late adds up what the beginning of the attack is left out of.
func (b *reporter) late() {
	for i := range b.board.records {
		r := &b.board.records[i]
		if !r.visitor() || !b.attacked || b.board.plan.phase(r.at) != PhaseDuring {
			continue
		}
		if r.at >= b.began+floodedAfter {
			b.Flooded.add(r)
		}
		if b.stopped && r.at >= b.firstStop+firstMinute {
			b.Settled.add(r)
		}
	}
	b.Flooded.close()
	b.Settled.close()
}

// floodedAfter is how long into the attack the application's queue is full without weir.
const floodedAfter = 20 * time.Second

// sinceAttack is a moment of the clock as seconds from the attack's first request.
func (b *reporter) sinceAttack(at time.Time) *float64 {
	if at.IsZero() {
		return nil
	}
	return seconds(b.board.plan.story(at.Sub(b.board.began)) - b.began)
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

// quantile of sorted waits, in seconds: the smallest value that at least the
// share q does not exceed.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted))+.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)].Seconds()
}

// Verdict is whether weir did what the demo promises.
type Verdict struct {
	Passed bool     `json:"passed"`
	Why    []string `json:"why,omitempty"` // what it failed for, a line each
}

// wantStopped is the share of the botnet's later requests that must be stopped, mayChallenge
// that of the visitors who may be challenged or throttled.
const wantStopped, mayChallenge = 0.90, 0.02

// Verdict asks that at least 90 % of the botnet's requests after the first minute
// of attack were stopped, that no visitor was blocked from what he would have got, and that
// at most 2 % were challenged or throttled: as `weir evaluate` counts people.
func (r *Report) Verdict() Verdict {
	var why []string
	switch {
	case r.Later.Sent == 0:
		why = append(why, "the botnet sent nothing after the attack's first minute: there is nothing to judge")
	case r.Later.StoppedShare() < wantStopped:
		why = append(why, fmt.Sprintf("%.1f %% of the botnet's requests after the first minute were stopped, want at least %.0f %%",
			floor(100*r.Later.StoppedShare()), 100*wantStopped))
	}
	if r.Visitors == 0 {
		why = append(why, "no visitor came: there is nothing to judge")
	}
	if r.VisitorsBlocked > 0 {
		why = append(why, fmt.Sprintf("%d of %d visitors were blocked", r.VisitorsBlocked, r.Visitors))
	}
	if asked := r.VisitorsRefused - r.VisitorsBlocked; float64(asked) > mayChallenge*float64(r.Visitors) {
		why = append(why, fmt.Sprintf("%d of %d visitors were challenged, want at most %.0f %%", asked, r.Visitors, 100*mayChallenge))
	}
	if r.Uncounted > 0 {
		why = append(why, fmt.Sprintf("%d requests went uncounted: the scoreboard was full", r.Uncounted))
	}
	return Verdict{Passed: len(why) == 0, Why: why}
}

// floor cuts after the first decimal, so that 89.96 does not read 90.0.
func floor(percent float64) float64 { return float64(int(percent*10)) / 10 }
