package simulate

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weir-project/weir/schemas"
)

var attackBegins = time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)

// scene writes a truth file and its verdicts together.
type scene struct {
	truth, verdicts bytes.Buffer
	n               int
}

func newScene() *scene {
	s := &scene{}
	s.truth.WriteString(TruthHeader + "\n")
	return s
}

func (s *scene) add(second int, site string, kind Kind, actor, client string, succeeds int, action schemas.Action) {
	s.n++
	attack := 0
	if kind == Bot {
		attack = 1
	}
	at := attackBegins.Add(time.Duration(second) * time.Second).Format(truthTime)
	fmt.Fprintf(&s.truth, "%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", s.n, site, kind, actor, client, attack, succeeds, at)
	fmt.Fprintf(&s.verdicts, "a.log\t%d\t%s\t%s\t%s\t%s\t\n", s.n, at, site, client, action)
}

func TestScore(t *testing.T) {
	s := newScene()
	s.add(-50, "www", Person, "before", "1.0.0.1", 1, schemas.Block) // elsewhere: before
	s.add(0, "www", Bot, "b1", "9.0.0.1", 0, schemas.Allow)
	s.add(5, "www", Person, "fine", "1.0.0.2", 1, schemas.Allow)
	s.add(6, "shop", Person, "shopper", "1.0.0.3", 1, schemas.Challenge)
	s.add(61, "www", Bot, "b1", "9.0.0.1", 0, schemas.Block)
	s.add(70, "www", Bot, "b2", "9.0.0.2", 0, schemas.Throttle)
	s.add(71, "www", Bot, "b3", "9.0.0.3", 0, schemas.Block)
	s.add(72, "www", Bot, "b3", "9.0.0.3", 1, schemas.Allow)
	s.add(73, "www", Person, "lost", "1.0.0.4", 1, schemas.Block)
	s.add(74, "www", Person, "lost", "1.0.0.4", 1, schemas.Block)
	s.add(75, "www", Person, "mistyped", "1.0.0.5", 0, schemas.Block) // lost nothing
	s.add(76, "www", Tool, "slow", "1.0.0.6", 1, schemas.Throttle)
	s.add(77, "www", Person, "neighbour", "9.0.0.2", 1, schemas.Block)
	s.add(78, "www", Scanner, "noise", "8.0.0.1", 1, schemas.Block)
	s.add(100, "www", Bot, "b4", "9.0.0.4", 0, schemas.Challenge)
	s.add(200, "www", Person, "later", "1.0.0.7", 1, schemas.Block)
	events := strings.Join([]string{
		`{"type":"incident.opened","time":"2026-11-21T05:00:00Z","sites":["www"],"incident":"i1","kind":"crowd"}`,
		`{"type":"incident.opened","time":"2026-11-21T05:07:00Z","sites":["shop"],"incident":"i2","kind":"scan"}`,
		`{"type":"decision.added","time":"2026-11-21T05:07:01Z","sites":["shop"],"incident":"i2","decision":"i2-1","action":"block","scope":"client","value":"1.2.3.4"}`,
		`{"type":"incident.opened","time":"2026-11-21T05:08:09.5Z","sites":["www"],"incident":"i3","kind":"scrape"}`,
		`{"type":"incident.opened","time":"2026-11-21T05:08:12Z","sites":["www"],"incident":"i4","kind":"flood"}`,
		`{"type":"incident.closed","time":"2026-11-21T05:20:00Z","sites":["www"],"incident":"i4","kind":"flood"}`,
		`{"type":"decision.added","time":"2026-11-21T05:08:13Z","sites":["www"],"incident":"i4","decision":"i4-1","action":"block","scope":"signature","value":"x"}`,
	}, "\n")
	got, err := Score(&s.truth, &s.verdicts, strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	flood, noticed := 12.0, 9.5
	want := Scorecard{
		Lines: 16, AttackSite: "www", AttackFirst: attackBegins, AttackLast: attackBegins.Add(100 * time.Second),
		Attack:   Stopped{Requests: 6, Block: 2, Challenge: 1, Throttle: 1},
		Late:     Stopped{Requests: 5, Block: 2, Challenge: 1, Throttle: 1},
		Visitors: Touched{Actors: 4, Blocked: 1, Slowed: 1},
		ByKind:   map[Kind]Touched{Person: {Actors: 3, Blocked: 1}, Tool: {Actors: 1, Slowed: 1}},
		ToTheEnd: Touched{Actors: 5, Blocked: 2, Slowed: 1},
		Shared:   Touched{Actors: 1, Blocked: 1}, Scanners: Touched{Actors: 1, Blocked: 1},
		Elsewhere: Touched{Actors: 2, Blocked: 1, Slowed: 1},
		Events: &EventScore{
			Flood: &flood, Noticed: &noticed, Opened: 2, False: []string{"scan shop 2026-11-21T05:07:00Z"},
			Other: map[schemas.Kind]int64{schemas.Crowd: 1}, Decisions: 2, DecisionsBefore: 1,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Late.BlockShare() != .4 || got.Late.Share() != .8 || got.Visitors.BlockedShare() != .25 {
		t.Errorf("shares %v, %v, %v", got.Late.BlockShare(), got.Late.Share(), got.Visitors.BlockedShare())
	}
	for _, part := range []string{"2 of 5 blocked (40.00 %), 80.00 % with", "1 of 4 blocked (25.00 %), 1 slowed", "12.0 flood, 9.5 any"} {
		if !strings.Contains(got.String(), part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
}

func TestScoreWithoutAttack(t *testing.T) {
	s := newScene()
	s.add(0, "www", Person, "one", "1.0.0.1", 1, schemas.Block)
	s.add(1, "www", Person, "two", "1.0.0.2", 1, schemas.Allow)
	got, err := Score(&s.truth, &s.verdicts, strings.NewReader(
		`{"type":"incident.opened","time":"2026-11-21T05:08:09Z","sites":["www"],"kind":"flood"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.AttackSite != "" || got.Elsewhere != (Touched{Actors: 2, Blocked: 1}) || got.Events.Flood != nil || len(got.Events.False) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestScoreRefuses(t *testing.T) {
	one := "1\twww\tperson\tp\t1.0.0.1\t0\t1\t2026-11-21T05:08:00.000Z\n"
	for _, test := range []struct{ name, truth, verdicts, events, want string }{
		{"empty", "", "", "", "truth: empty; it begins with a header line"},
		{"header", "x\n", "", "", `truth: first line is "x", want the header of a truth file`},
		{"fields", TruthHeader + "\n1\t2\n", "", "", "truth line 2: 2 fields, want 8"},
		{"time", TruthHeader + "\n" + strings.Replace(one, "2026", "x", 1), "", "", `truth line 2: sent "x-11-21T05:08:00.000Z" is no RFC 3339 time`},
		{"gap", TruthHeader + "\n3" + one[1:], "", "", "truth line 2: is about line 3 of the log, want 1"},
		{"short", TruthHeader + "\n" + one, "", "", "verdicts: end after 0 lines, but the truth goes on"},
		{"long", TruthHeader + "\n", "x\n", "", "verdicts: more lines than the truth's 0; they are of another log"},
		{"verdict", TruthHeader + "\n" + one, "a\t1\n", "", "verdicts line 1: 2 fields, want 7"},
		{"number", TruthHeader + "\n" + one, "a\tb\tc\twww\te\tallow\t\n", "", `verdicts line 1: "b" is no line number`},
		{"action", TruthHeader + "\n" + one, "a\t1\tc\twww\te\tstop\t\n", "", `verdicts line 1: action "stop"; want allow, throttle, challenge or block`},
		{"site", TruthHeader + "\n" + one, "a\t1\tc\tshop\te\tallow\t\n", "", `verdicts line 1: is about a:1 at "shop", the truth about line 1 at "www"; score one log at a time`},
		{"events", TruthHeader + "\n" + one, "a\t1\tc\twww\te\tallow\t\n", "{", "events line 1: unexpected end of JSON input"},
	} {
		_, err := Score(strings.NewReader(test.truth), strings.NewReader(test.verdicts), strings.NewReader(test.events))
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got  %v\nwant %s", test.name, err, test.want)
		}
	}
}

// TestScoreOfASimulatedLog: verdicts that follow the truth stop everything and
// harm nobody.
func TestScoreOfASimulatedLog(t *testing.T) {
	_, truth := written(t, small(4), FormatJSON, "")
	var verdicts bytes.Buffer
	rows := NewTruthReader(bytes.NewReader(truth))
	for {
		row, err := rows.Next()
		if err != nil {
			break
		}
		action := schemas.Allow
		if row.Attack {
			action = schemas.Block
		}
		fmt.Fprintf(&verdicts, "x\t%d\t\t%s\t%s\t%s\t\n", row.Line, row.Site, row.Client, action)
	}
	card, err := Score(bytes.NewReader(truth), &verdicts, nil)
	if err != nil {
		t.Fatal(err)
	}
	if card.Attack.Block != 1500 || card.Late.BlockShare() != 1 || card.Late.Requests == 0 || card.Visitors.Actors < 20 ||
		card.Visitors.Blocked+card.ToTheEnd.Blocked+card.Elsewhere.Blocked != 0 {
		t.Errorf("%s", card)
	}
}

func FuzzScore(f *testing.F) {
	s := newScene()
	s.add(0, "www", Bot, "b", "1.0.0.1", 1, schemas.Block)
	f.Add(s.truth.Bytes(), s.verdicts.Bytes(), []byte(`{"type":"incident.opened","sites":["www"],"kind":"flood"}`))
	f.Fuzz(func(t *testing.T, truth, verdicts, events []byte) {
		card, err := Score(bytes.NewReader(truth), bytes.NewReader(verdicts), bytes.NewReader(events))
		if err == nil && card.Attack.Requests > card.Lines {
			t.Errorf("%d attack requests in %d lines", card.Attack.Requests, card.Lines)
		}
	})
}
