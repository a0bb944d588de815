package notify

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// hostileCase is an incident whose every text is somebody else's.
func hostileCase(text string) Case {
	began := time.Date(2026, 11, 22, 5, 8, 12, 0, time.UTC)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	evidence := &schemas.Evidence{
		Traits:      []schemas.TraitEvidence{{Trait: "user_agent", Value: text, Attack: 0.97, Normal: 0.01, Bits: 6.6}},
		AttackShare: 0.9, NormalShare: 0.001, RiskRatio: 80, Samples: []string{text, "GET / | x"}, Nearest: []string{text},
	}
	decision := func(id, origin string, s int, t schemas.EventType, reason string) schemas.Event {
		return schemas.Event{Type: t, Time: at(s), Sites: []string{text}, Incident: "i1", Decision: &schemas.Decision{
			ID: id, Action: schemas.Block, Scope: schemas.ScopeSignature, Value: text, Expires: at(600), Collateral: 0.001, CollateralPerHour: 2,
			Origin: origin, Reason: reason, Evidence: evidence}}
	}
	var rows []schemas.SignalRow
	for s := 10; s <= 120; s += 10 {
		unserved := 0.7
		if s > 40 {
			unserved = 0.01
		}
		for _, g := range signals(112, 0, unserved) {
			rows = append(rows, schemas.SignalRow{Time: at(s), Site: text, Window: "10s", Signal: g})
		}
	}
	return Case{
		Name: "edge-1", Incident: "i1", Mode: func(string) string { return "enforce" }, Written: at(700), Signals: rows,
		Events: []schemas.Event{
			{Type: schemas.IncidentOpened, Time: at(0), Opened: at(0), Sites: []string{text}, Incident: "i1", Kind: schemas.Flood, Cause: text, Signals: signals(112, 0, 0.7)},
			decision("i1-1", "weir", 2, schemas.DecisionAdded, ""), decision("m1", text, 30, schemas.DecisionAdded, text), decision("i1-1", "weir", 90, schemas.DecisionRenewed, ""),
			decision("i1-1", "weir", 100, schemas.DecisionRemoved, lifted+" it hurts"), decision("m1", text, 300, schemas.DecisionRemoved, schemas.RemovedBy+text),
			{Type: schemas.IncidentClosed, Time: at(400), Opened: at(0), Closed: at(400), Sites: []string{text}, Incident: "i1", Kind: schemas.Flood, Cause: text},
		},
		Figures: &Figures{Requests: 11804, Clients: 3963, Stopped: 9899, StoppedClients: 3494, Errors: 421, Abandoned: 186, Known: 288, Touched: 2, Served: 219,
			Decisions: []DecisionFigures{{Decision: "i1-1", Requests: 9000, Clients: 3000, First: at(3), Last: at(99)}}},
		Public: []Told{{Time: at(60), By: text, Step: "publish", Title: text, Text: text}, {Time: at(90), By: "weir", Step: "update", Title: text}, {Time: at(410), By: text, Step: "resolve", Title: text}},
	}
}

func TestPostmortem(t *testing.T) {
	var b strings.Builder
	if err := Postmortem(&b, hostileCase("www.example.org")); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, part := range []string{
		"# Post-mortem of `i1` (draft)", "| lasted | 6 min 40 s |", "Fewest visitors served in any 10 s: **30 %**, at 2026-11-22 05:08:22 UTC",
		"11804 requests from 3963 clients; edges stopped 9899 (83 %)",
		"| 2026-11-22 05:08:12 | +0 s | weir opened the incident: flood |",
		"| 2026-11-22 05:08:14 | +2 s | weir decided `i1-1`: block of a signature |",
		"| 2026-11-22 05:08:42 | +30 s | `www.example.org` (a person) decided `m1`: block of a signature |",
		"| 2026-11-22 05:09:02 | +50 s | visitors are served again (95 % or more) |",
		"`i1-1` ended: weir lifted it, because it matched visitors that the site knows", "`m1` ended: `www.example.org` (a person) lifted it before its time",
		"| 2026-11-22 05:14:52 | +400 s | weir closed it: quiet for two minutes |", "Renewals of decisions, left out above: 1.",
		"| `user_agent` | `www.example.org` | 97.0 % | 1.0 % | 6.6 |", "| `i1-1` | weir | block of a signature | 9000 | 3000 | 05:08:15 | 05:09:51 |",
		"edges stopped 2 (0 %)", "2 known clients were stopped: were they visitors?", "## Open questions", "- [ ] What would have made it shorter",
		"| 2026-11-22 05:09:12 | +60 s | `www.example.org` (a person) on the status page: published `www.example.org` |", "| 2026-11-22 05:15:02 | +410 s |",
		"| 2026-11-22 05:09:42 | weir | said more of `www.example.org` | (empty) |", "said that `www.example.org` is over",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q", part)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if err := Postmortem(&b, Case{Incident: "i2", Events: hostileCase("x").Events}); err == nil {
		t.Error("a post-mortem of an incident that nobody knows")
	}
	normal := hostileCase("x") // a person closed it, and much ended at once
	last := &normal.Events[len(normal.Events)-1]
	last.Cause = schemas.ClosedAsNormal + "anna: 112 requests/s"
	normal.PublicUnknown = "posts.ndjson:9 is damaged"
	for i := range 50 {
		lifted := normal.Events[5]
		d := *lifted.Decision
		d.ID = "m" + strings.Repeat("9", i+1)
		lifted.Decision = &d
		normal.Events = append(normal.Events, lifted)
	}
	b.Reset()
	if err := Postmortem(&b, normal); err != nil || !strings.Contains(b.String(), "| +400 s | `anna` (a person) closed it: normal traffic |") ||
		!strings.Contains(b.String(), "| +300 s | 46 more decisions ended: ") || !strings.Contains(b.String(), "is not wholly known: `posts.ndjson:9 is damaged`.") {
		t.Errorf("%v\n%s", err, b.String())
	}
	checkMarkdown(t, b.String())
	bare := hostileCase("x") // ClickHouse is away
	bare.Figures, bare.Signals, bare.Events, bare.Public = nil, nil, bare.Events[:1], nil
	b.Reset()
	if err := Postmortem(&b, bare); err != nil || !strings.Contains(b.String(), "could not be counted") || !strings.Contains(b.String(), "it is still open") ||
		!strings.Contains(b.String(), "Nothing, on weir's status page") || !strings.Contains(b.String(), "- [ ] Who was told") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// spans are code spans of Markdown: a run of backticks, up to the next run as long.
func outsideOfCode(line string) string {
	var out strings.Builder
	for line != "" {
		at := strings.IndexByte(line, '`')
		if at < 0 {
			out.WriteString(line)
			break
		}
		out.WriteString(line[:at])
		n := len(line[at:]) - len(strings.TrimLeft(line[at:], "`"))
		rest := line[at+n:]
		end := -1
		for i := 0; i < len(rest); {
			if rest[i] != '`' {
				i++
				continue
			}
			run := len(rest[i:]) - len(strings.TrimLeft(rest[i:], "`"))
			if run == n {
				end = i
				break
			}
			i += run
		}
		if end < 0 {
			return out.String() + line[at:]
		}
		out.WriteString("CODE")
		line = rest[end+n:]
	}
	return out.String()
}

func checkMarkdown(t testing.TB, text string) {
	t.Helper()
	allowed := regexp.MustCompile(`^<!-- Drafted by weir .* -->$|^- \[ \] `)
	bars := 0
	for _, line := range strings.Split(text, "\n") {
		outside := outsideOfCode(allowed.ReplaceAllString(line, ""))
		if strings.ContainsAny(outside, "<>[]`_\\&@") || strings.Contains(line, "://") {
			t.Fatalf("outside of code: %q in %q", outside, line)
		}
		for _, r := range line {
			if r < ' ' || r == 0x7f || r == '\u202e' {
				t.Fatalf("%U in %q", r, line)
			}
		}
		if n := strings.Count(line, "|"); strings.HasPrefix(line, "|") {
			if bars != 0 && n != bars {
				t.Fatalf("a row of %d bars in a table of %d: %q", n, bars, line)
			}
			bars = n
		} else {
			bars = 0
		}
	}
}

func TestHostilePostmortem(t *testing.T) {
	for _, text := range append(hostile(), "a|b|c", "``", "`", " ` ", "x```y````z") {
		var b strings.Builder
		if err := Postmortem(&b, hostileCase(text)); err != nil {
			t.Fatal(err)
		}
		checkMarkdown(t, b.String())
	}
}

func FuzzPostmortem(f *testing.F) {
	for _, text := range hostile() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b strings.Builder
		if err := Postmortem(&b, hostileCase(text)); err != nil {
			t.Fatal(err)
		}
		checkMarkdown(t, b.String())
	})
}
