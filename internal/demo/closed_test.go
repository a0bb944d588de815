package demo

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

func TestClosedLoopJudgesEachPromise(t *testing.T) {
	const end, quiet = 100 * time.Second, 0.5
	at := time.Unix(1_800_000_000, 0)
	type loop struct {
		without, with Report
		ending        Ending
	}
	good := func() *loop {
		phases := []PhaseReport{{Phase: PhaseBefore, Visitors: VisitorReport{P95: quiet}}}
		return &loop{
			Report{Phases: phases, Flooded: VisitorReport{Requests: 100, Failed: 25, P95: 3 * quiet}},
			Report{Phases: phases, Later: AttackReport{Sent: 1000, Stopped: 950}, Settled: VisitorReport{Requests: 100, Failed: 1, P95: 2 * quiet, Endured: 2 * quiet}, Visitors: 200, VisitorsRefused: 2},
			Ending{AttackEnded: at, Opened: 1, Closed: at.Add(end), Expired: at.Add(2 * end)},
		}
	}
	for _, x := range []struct {
		name  string
		spoil func(*loop)
		want  string // what does not hold
	}{
		{"as promised", func(*loop) {}, ""},
		{"not overwhelmed", func(l *loop) { l.without.Flooded.Failed = 24 }, "overwhelmed"},
		{"too many reach it", func(l *loop) { l.with.Later.Stopped = 949 }, "never reach it"},
		{"no late attack", func(l *loop) { l.with.Later = AttackReport{} }, "never reach it"},
		{"still slow", func(l *loop) { l.with.Settled.Endured = 2.01 * quiet }, "p95"},
		{"more fail", func(l *loop) { l.with.Settled.Failed = 2 }, "p95"},
		{"half of them never come", func(l *loop) { l.with.Settled = settledOf(0, 50, 50, Answered{Status: 502}) }, "p95"},
		{"half of them hang up", func(l *loop) { l.with.Settled = settledOf(0, 50, 50, Answered{HungUp: true}) }, "p95"},
		{"one in a hundred hangs up", func(l *loop) { l.with.Settled = settledOf(0, 99, 1, Answered{HungUp: true}) }, ""},
		{"of ten pages one, among files", func(l *loop) { l.with.Settled = settledOf(90, 9, 1, Answered{Status: 504}) }, "p95"},
		{"never blocked", func(l *loop) { l.with.Settled = VisitorReport{} }, "p95"},
		{"three refused", func(l *loop) { l.with.VisitorsRefused = 3 }, "refusal"},
		{"closed too soon", func(l *loop) { l.ending.Closed = at.Add(-time.Second) }, "stays open"},
		{"never closed", func(l *loop) { l.ending.Closed = time.Time{} }, "stays open"},
		{"opened again", func(l *loop) { l.ending.Opened = 2 }, "stays open"},
		{"one left", func(l *loop) { l.ending.Held, l.ending.Expired = 1, time.Time{} }, "expires"},
	} {
		l := good()
		x.spoil(l)
		clauses := ClosedLoop(&l.without, &l.with, l.ending)
		var broken []string
		for _, c := range clauses {
			if !c.Held {
				broken = append(broken, c.What)
			}
		}
		if len(clauses) != 6 || len(broken) > 1 || (x.want == "") != (len(broken) == 0) || !strings.Contains(strings.Join(broken, ""), x.want) {
			t.Errorf("%s: %q do not hold, want one about %q", x.name, broken, x.want)
		}
		var text strings.Builder
		if held := WriteClauses(&text, clauses); held != (x.want == "") || strings.Count(text.String(), "\n") != 12 {
			t.Errorf("%s: %v\n%s", x.name, held, &text)
		}
	}
}

// settledOf are so many files and pages that came in no time, and so many pages that did not.
func settledOf(files, came, lost int, a Answered) (v VisitorReport) {
	for i := range files + came + lost {
		r := &record{Sent: Sent{Page: i >= files}, Answered: Answered{Status: 200}, wait: time.Second / 10, done: true, reached: true}
		if i >= files+came {
			r.Answered = a
		}
		v.add(r)
	}
	v.close()
	return v
}

// A closed loop's plan has the short plan's rate, and so many visitors that one in a hundred of
// them is a number.
func TestClosedPlan(t *testing.T) {
	short, long := ClosedPlanWithout(), ClosedPlan()
	if err := long.Validate(); err != nil {
		t.Fatal(err)
	}
	rate := func(c simulate.Attack, n int) float64 { return float64(n) / c.Duration.Seconds() }
	s, l := StoryConfig(3, time.Now(), short).Attack, StoryConfig(3, time.Now(), long).Attack
	if rate(s, s.Requests) != rate(l, l.Requests) || rate(s, s.Addresses) != rate(l, l.Addresses) || long.Workers != short.Workers {
		t.Errorf("%+v is not the rate of %+v", l, s)
	}
	visits, err := simulate.NewTraffic(StoryConfig(3, time.Date(2026, 11, 29, 23, 0, 0, 0, time.UTC), long))
	if err != nil {
		t.Fatal(err)
	}
	come := make(map[simulate.Actor]bool)
	for v := visits.Next(); v != nil && v.Start < long.Total(); v = visits.Next() {
		if (&record{Sent: Sent{Actor: v.Actor}}).visitor() && v.Start >= -time.Minute {
			come[v.Actor] = true
		}
	}
	if len(come) < 400 {
		t.Errorf("%d visitors come, want 400", len(come))
	}
}

// What is late begins with the attack's first request and with the first block, and neither
// has what came before or after the attack.
func TestReportOfWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		var scenes []scene
		for at := time.Duration(0); at < 150*s; at += s {
			scenes = append(scenes, scene{at: at, wait: time.Second / 10, kind: simulate.Person, id: fmt.Sprint("p", at/(10*s)), reached: true, answered: Answered{Status: 200}})
		}
		scenes = append(scenes,
			scene{at: 31 * s, kind: simulate.Bot, id: "b1", reached: true, answered: Answered{Status: 404}},
			scene{at: 40 * s, kind: simulate.Bot, id: "b2", answered: Answered{Status: 403}})
		r := board(DefaultPlan(), scenes...).Report()
		if r.Flooded.Requests != 79 || r.Settled.Requests != 30 { // of seconds 51 to 129, and 100 to 129
			t.Errorf("flooded %+v, settled %+v", r.Flooded, r.Settled)
		}
	})
}
