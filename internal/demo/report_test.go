package demo

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/internal/simulate"
)

var update = flag.Bool("update", false, "write testdata anew")

// scene is one request for a test's scoreboard.
type scene struct {
	at, wait time.Duration
	kind     simulate.Kind
	id       string
	reached  bool
	answered Answered
	open     bool
}

// board plays scenes, in the order of their at, on a scoreboard; fake time only.
func board(plan Plan, scenes ...scene) *Scoreboard {
	s := NewScoreboard(plan)
	s.Begin()
	begun := time.Now()
	done := make(chan struct{})
	for _, x := range scenes {
		go func() {
			<-time.After(x.at - time.Since(begun))
			ticket := s.Send(Sent{Actor: simulate.Actor{Kind: x.kind, ID: x.id}, Method: "GET", URI: "/" + x.id, Page: true})
			if x.reached {
				s.Reached(ticket.String())
			}
			if !x.open {
				<-time.After(x.wait)
				s.Answer(ticket, x.answered)
			}
			done <- struct{}{}
		}()
	}
	for range scenes {
		<-done
	}
	<-time.After(plan.Total() - time.Since(begun))
	return s
}

// goodStory is a demo as it should go: noticed after 6 s, blocked after 9.
func goodStory() (scenes []scene) {
	const s, ms = time.Second, time.Millisecond
	for at := time.Duration(0); at < 150*s; at += 2 * s {
		scenes = append(scenes, scene{at: at, wait: 300*ms + at/100, kind: simulate.Person, id: fmt.Sprint("p", at/(10*s)), reached: true, answered: Answered{Status: 200}})
	}
	for at := 30 * s; at < 130*s; at += 50 * ms {
		bot := scene{at: at, wait: 4 * ms, kind: simulate.Bot, id: fmt.Sprint("b", at/(150*ms)), answered: Answered{Status: 403}}
		if at < 39*s || at%(2*s) == 0 { // probes are let through
			bot.reached, bot.answered, bot.wait = true, Answered{Status: 404}, s
		}
		scenes = append(scenes, bot)
	}
	return append(scenes, scene{at: 50 * s, kind: simulate.Scanner, id: "s1", wait: ms, answered: Answered{Status: 403}})
}

func TestReportGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := board(DefaultPlan(), goodStory()...)
		s.Noticed(begun.Add(36 * time.Second))
		s.Noticed(begun.Add(99 * time.Second)) // only the first counts
		s.Decided(begun.Add(36500 * time.Millisecond))
		r := s.Report()
		if v := r.Verdict(); !v.Passed {
			t.Errorf("verdict %+v", v)
		}
		var table, object strings.Builder
		if err := r.Table(&table); err != nil {
			t.Fatal(err)
		}
		golden(t, "table.golden", table.String())
		if err := r.JSON(&object); err != nil {
			t.Fatal(err)
		}
		golden(t, "report.golden", object.String())
		for line := range strings.Lines(table.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (write it anew with -update):\n%s", path, got)
	}
}

func TestOutcome(t *testing.T) {
	for _, x := range []struct {
		name            string
		r               record
		want            outcome
		refused, failed bool
	}{
		{"on its way", record{}, open, false, false},
		{"at the application", record{reached: true}, reached, false, false},
		{"answered by the application", record{reached: true, done: true, Answered: Answered{Status: 200}}, reached, false, false},
		{"refused by the application itself", record{reached: true, done: true, Answered: Answered{Status: 403}}, reached, false, false},
		{"application full", record{reached: true, done: true, Answered: Answered{Status: 502}}, reached, false, true},
		{"hung up on the application", record{reached: true, done: true, Answered: Answered{HungUp: true}}, reached, false, true},
		{"blocked", record{done: true, Answered: Answered{Status: 403}}, stopped, true, false},
		{"throttled", record{done: true, Answered: Answered{Status: 429}}, stopped, true, false},
		{"closed, nginx's 444", record{done: true, Answered: Answered{Closed: true}}, stopped, true, false},
		{"nginx says 404 itself", record{done: true, Answered: Answered{Status: 404}}, stopped, false, false},
		{"no request at all", record{done: true, Answered: Answered{Status: 400}}, stopped, false, false},
		{"nginx's own error", record{done: true, Answered: Answered{Status: 500}}, failed, false, true},
		{"no connection", record{done: true}, failed, false, true},
		{"hung up on nginx", record{done: true, Answered: Answered{HungUp: true}}, failed, false, true},
	} {
		if got := x.r.outcome(); got != x.want || x.r.refused() != x.refused || x.r.failed() != x.failed {
			t.Errorf("%s: outcome %d, refused %v, failed %v; want %d, %v, %v",
				x.name, got, x.r.refused(), x.r.failed(), x.want, x.refused, x.failed)
		}
	}
}

func TestVerdict(t *testing.T) {
	good := func() Report {
		return Report{Visitors: 50, Later: AttackReport{Sent: 1000, Stopped: 900, Reached: 100}}
	}
	for _, x := range []struct {
		name  string
		spoil func(*Report)
		want  string // "" passes
	}{
		{"as promised", func(*Report) {}, ""},
		{"too many through", func(r *Report) { r.Later.Stopped = 899 },
			"89.9 % of the botnet's requests after the first minute were stopped, want at least 90 %"},
		{"never 90.0 by rounding", func(r *Report) { r.Later = AttackReport{Sent: 100000, Stopped: 89999} },
			"89.9 % of the botnet's requests after the first minute were stopped, want at least 90 %"},
		{"one visitor", func(r *Report) { r.VisitorsRefused, r.VisitorsBlocked = 1, 1 }, "1 of 50 visitors were blocked"},
		{"one challenged", func(r *Report) { r.VisitorsRefused = 1 }, ""},
		{"two challenged", func(r *Report) { r.VisitorsRefused = 2 }, "2 of 50 visitors were challenged, want at most 2 %"},
		{"no late attack", func(r *Report) { r.Later = AttackReport{} },
			"the botnet sent nothing after the attack's first minute: there is nothing to judge"},
		{"nobody there", func(r *Report) { r.Visitors = 0 }, "no visitor came: there is nothing to judge"},
		{"full", func(r *Report) { r.Uncounted = 7 }, "7 requests went uncounted: the scoreboard was full"},
	} {
		r := good()
		x.spoil(&r)
		v := r.Verdict()
		if v.Passed != (x.want == "") || strings.Join(v.Why, "; ") != x.want {
			t.Errorf("%s: %+v, want %q", x.name, v, x.want)
		}
	}
}

// A visitor counts once however often refused; scanners and bots are no visitors.
func TestReportVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		refused := Answered{Status: 403}
		r := board(DefaultPlan(),
			scene{at: 40 * s, kind: simulate.Person, id: "p1", answered: refused},
			scene{at: 41 * s, kind: simulate.Person, id: "p1", answered: refused},
			scene{at: 42 * s, kind: simulate.Monitor, id: "m1", answered: Answered{Status: 200}, reached: true},
			scene{at: 43 * s, kind: simulate.Crawler, id: "c1", answered: refused},
			scene{at: 44 * s, kind: simulate.Scanner, id: "s1", answered: refused},
			scene{at: 45 * s, kind: simulate.Bot, id: "b1", answered: refused},
			scene{at: 146 * s, kind: simulate.Bot, id: "b1", open: true},
		).Report()
		if r.Visitors != 3 || r.VisitorsRefused != 2 || r.VisitorsBlocked != 2 || len(r.Refusals) != 3 || r.ScannersRefused != 1 || r.Addresses != 1 {
			t.Errorf("%+v", r)
		}
		if want := (AttackReport{Sent: 2, Stopped: 1, Open: 1}); r.Attack != want {
			t.Errorf("attack %+v, want %+v", r.Attack, want)
		}
		if want := (AttackReport{Sent: 1, Open: 1}); r.Later != want {
			t.Errorf("later %+v, want %+v", r.Later, want)
		}
	})
}

// TestWhatIsLost: who is refused a page that there is not has lost nothing, and a challenge is no block.
func TestWhatIsLost(t *testing.T) {
	for _, x := range []struct {
		status int
		absent bool
		want   loss
	}{{200, false, nothing}, {403, false, blocked}, {429, false, challenged}, {403, true, nothing}, {429, true, nothing}} {
		r := record{Sent: Sent{Absent: x.absent}, Answered: Answered{Status: x.status}, done: true, reached: x.status == 200}
		if got := lossOf(&r); got != x.want {
			t.Errorf("%d for a page that is absent, %t: %d, want %d", x.status, x.absent, got, x.want)
		}
	}
}

// Whatever happens, every request is counted in one slot and under one outcome.
func TestReportAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := DefaultPlan()
		s := NewScoreboard(plan)
		s.began = time.Now().Add(-plan.Total())
		n := rapid.IntRange(0, 60).Draw(t, "requests")
		kinds := []simulate.Kind{simulate.Person, simulate.Tool, simulate.Scanner, simulate.Bot}
		bots, visitors := 0, 0
		for i := range n {
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			ticket := s.Send(Sent{Actor: simulate.Actor{Kind: kind, ID: fmt.Sprint(i % 7)}, Page: rapid.Bool().Draw(t, "page")})
			s.at(ticket).at = time.Duration(rapid.Int64Range(0, int64(plan.Total()+time.Minute)).Draw(t, "at"))
			if rapid.Bool().Draw(t, "reached") {
				s.Reached(ticket.String())
			}
			if rapid.Bool().Draw(t, "answered") {
				s.Answer(ticket, Answered{Status: rapid.SampledFrom([]int{0, 200, 403, 404, 502}).Draw(t, "status"), Closed: rapid.Bool().Draw(t, "closed")})
			}
			switch kind {
			case simulate.Bot:
				bots++
			case simulate.Scanner:
			default:
				visitors++
			}
		}
		r := s.Report()
		var slots, halves AttackReport
		sum := func(to *AttackReport, a AttackReport) {
			to.Sent, to.Stopped, to.Reached = to.Sent+a.Sent, to.Stopped+a.Stopped, to.Reached+a.Reached
			to.Failed, to.Open = to.Failed+a.Failed, to.Open+a.Open
		}
		ofVisitors := 0
		for _, slot := range r.Slots {
			sum(&slots, slot.Attack)
			ofVisitors += slot.Visitors.Requests
		}
		sum(&halves, r.FirstMinute)
		sum(&halves, r.Later)
		a := r.Attack
		if slots != a || halves != a || a.Sent != bots || a.Sent != a.Stopped+a.Reached+a.Failed+a.Open || ofVisitors != visitors {
			t.Fatalf("attack %+v, slots %+v, halves %+v, %d bots; visitors %d of %d", a, slots, halves, bots, ofVisitors, visitors)
		}
	})
}

func TestScoreboardIgnoresStrangers(t *testing.T) {
	s := NewScoreboard(DefaultPlan())
	s.Begin()
	for _, ticket := range []string{"", "0", "1", "-1", "4294967296", "x", "99999999999999999999"} {
		s.Reached(ticket)
	}
	s.Answer(0, Answered{Status: 200})
	s.Answer(77, Answered{Status: 200})
	ticket := s.Send(Sent{})
	s.Answer(ticket, Answered{Status: 200})
	s.Answer(ticket, Answered{Status: 500})
	if got := s.records[0].Status; got != 200 {
		t.Errorf("status %d after a second answer", got)
	}
}

func TestScoreboardIsBounded(t *testing.T) {
	s := NewScoreboard(DefaultPlan())
	s.Begin()
	s.records = make([]record, maxRecords)
	if ticket := s.Send(Sent{}); ticket != 0 {
		t.Errorf("ticket %d from a full scoreboard", ticket)
	}
	r := s.Report()
	if len(s.records) != maxRecords || r.Uncounted != 1 || r.Verdict().Passed {
		t.Errorf("%d records, %d uncounted", len(s.records), r.Uncounted)
	}
}

func TestReportJSON(t *testing.T) {
	r := NewScoreboard(DefaultPlan()).Report()
	var b strings.Builder
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatal(err)
	}
	if _, ok := back["noticed"]; ok {
		t.Error("noticed, before anything was")
	}
	if _, ok := back["verdict"].(map[string]any)["why"]; !ok {
		t.Error("no reasons")
	}
}
