package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// hostileText is what an attacker would have a tired person's terminal do.
const hostileText = "\x1b[2J\x1b]0;gone\x07\r\n\u202e\u200b" + `'; DROP TABLE requests; --`

// hostileIncident is an incident with so many decisions, in all of whose texts stands what the
// attacker chose.
func hostileIncident(decisions int) []schemas.Event {
	at := time.Date(2026, 11, 21, 5, 8, 12, 0, time.UTC)
	events := []schemas.Event{{
		Type: schemas.IncidentUpdated, Time: at, Incident: "i261121-050812", Kind: schemas.Flood, Opened: at, Sites: []string{hostileText + ".example.org"},
		Cause:   "112 requests/s (normal 3.1) from 812 clients (normal 24) in 10 s; of these clients 88 % ask for paths never served before " + hostileText,
		Signals: []schemas.Signal{{Name: "request_rate", Value: 112, Normal: 3.1, Score: 9}, {Name: "unique_clients", Value: 812, Normal: 24, Score: 12}},
	}}
	for n := range decisions {
		e := schemas.Event{Type: schemas.DecisionAdded, Time: at, Incident: "i261121-050812", Sites: events[0].Sites, Decision: &schemas.Decision{
			ID: fmt.Sprintf("i261121-050812-%d", n+1), Action: schemas.Block, Scope: schemas.ScopeSignature, Value: `user_agent="` + hostileText + `"`,
			Expires: at.Add(10 * time.Minute), Collateral: 0.0007, CollateralPerHour: 2.4, CollateralClients: 7795, Origin: schemas.OriginWeir,
			Reason: "stops 96 % of the attack's requests " + hostileText + strings.Repeat(" and more", 40),
			Live:   &schemas.Live{Probes: 9, Upper: .28},
			Evidence: &schemas.Evidence{AttackShare: .953, NormalShare: 0.00001, RiskRatio: 1756, Together: 0.0049,
				Traits: []schemas.TraitEvidence{{Trait: "user_agent", Value: hostileText + strings.Repeat("x", 300), Attack: 1, Normal: .047, Bits: 4.4},
					{Trait: "accept_language", Value: "\u754c\u754c\u754c" + strings.Repeat("\u754c", 100), Attack: 1, Normal: .158, Bits: 2.7}, {Trait: "method", Value: "GET", Attack: 1, Normal: 1, Bits: 0}},
				Samples: []string{"GET /" + hostileText + " | " + hostileText, "GET /a | b"},
				Nearest: []string{"GET / | Blackbox", "GET / | Blackbox", "GET /x | y"},
				SQL:     "SELECT time FROM requests WHERE site = 'x' ORDER BY time LIMIT 100"},
		}}
		if n > 2 {
			e.Scope, e.Value = schemas.ScopeClient, fmt.Sprintf("198.51.100.%d", n%256)
		}
		events = append(events, e)
	}
	return events
}

// readable fails where text could do something to a terminal of 80 columns, or does not fit it.
func readable(t *testing.T, text string, lines int) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > lines {
			t.Fatalf("more than %d lines", lines)
		}
		if runewidth.StringWidth(line) > 80 && !strings.HasPrefix(line, "    SELECT") {
			t.Errorf("line %d is wider than the terminal: %q", i+1, line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) {
			t.Errorf("line %d does something to a terminal: %q", i+1, line)
		}
	}
}

// TestWhyOnOnePage: an incident with hundreds of decisions is told on one screen of 80 columns: what it
// is, what sets it apart, whom what is done touches, requests to look at.
func TestWhyOnOnePage(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	var out bytes.Buffer
	at := time.Date(2026, 11, 21, 5, 9, 0, 0, time.UTC)
	done := effects{
		"":                 {Actions: []actionEffect{{schemas.Block, 9005, 3400, at, at}, {schemas.Allow, 88, 34, at, at}}, Known: 2},
		"i261121-050812-3": {Actions: []actionEffect{{schemas.Block, 9000, 3390, at, at}}, Known: 2},
	}
	found := hostileIncident(322)
	newSheet(&out).incidentPage(found, nil, done)
	readable(t, out.String(), 50)
	text := out.String()
	for _, part := range []string{
		"Incident i261121-050812: flood on", "still open", "88 % ask for paths never served before", "unique_clients", "What sets it apart",
		"user_agent       100.0 %    4.7 %    4.4", "Requests of it:", "The nearest normal requests:", "2 x GET / | Blackbox", "SELECT time FROM requests",
		"322 decisions, 322 block", "9,005 requests of 3,400 clients; 88 requests let through", "at most 0.49 % of the site's people, 16.8 an hour",
		"2 clients that it stopped had been answered well on the day before", "of 27 probes 0 behaved", "... and 316 more",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(part), " ")) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "method") {
		t.Error("what sets nothing apart is among what does")
	}
	if first := text[strings.Index(text, "decision  "):]; strings.Index(first, "050812-3 ") > strings.Index(first, "050812-1 ") {
		t.Errorf("what stopped most does not stand first:\n%s", first)
	}
}

// TestWhyOfADecision: the evidence of one, and what it did; without a terminal nothing is broken
// into lines, for others to search.
func TestWhyOfADecision(t *testing.T) {
	e := hostileIncident(4)[4]
	at := time.Date(2026, 11, 21, 5, 9, 0, 0, time.UTC)
	done := effects{e.ID: {Actions: []actionEffect{{schemas.Challenge, 4, 1, at, at}}, Known: 1}}
	t.Setenv("COLUMNS", "80")
	var narrow bytes.Buffer
	small := newSheet(&narrow)
	small.requestsOf = asked{e.ID: {"05:08:13 404 allow GET /" + hostileText + strings.Repeat("x", 300) + " | " + hostileText}}
	small.explain(e, nil, done)
	readable(t, narrow.String(), 50)
	if !strings.Contains(narrow.String(), "    05:08:13 404 allow GET /") {
		t.Errorf("it does not say what the client asked for:\n%s", narrow.String())
	}
	t.Setenv("COLUMNS", "")
	var out bytes.Buffer
	newSheet(&out).explain(e, nil, done)
	for _, part := range []string{
		"Decision i261121-050812-4: block client 198.51.100.3", "Did so far: challenge: 4 requests of 1 client, 2026-11-21 05:09:00 to 05:09:00 UTC.",
		"Of those it stopped, the site had answered 1 client well on the day before.", "With all that was in force when it was taken: at most 0.49 %.",
		"It came again after it was challenged", "It alone sends 95 % of the attack's requests; at least 1,756 times likelier",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it does not say %q:\n%s", part, out.String())
		}
	}
	e.Evidence.Samples = nil
	out.Reset()
	newSheet(&out).explain(e, nil, done)
	if !strings.Contains(out.String(), "It matches none of the requests that were kept as examples") {
		t.Errorf("it does not say why it shows no request:\n%s", out.String())
	}
	bold := sheet{w: &narrow, bold: true}
	narrow.Reset()
	bold.explain(e, nil, done)
	if !strings.HasPrefix(narrow.String(), "\x1b[1mDecision") || strings.Count(narrow.String(), "\x1b") != 2 {
		t.Errorf("the heading alone is to be bold: %q", narrow.String())
	}
}

// TestWhyOfNetworks: which networks speak for the attack and which against it is said in words.
func TestWhyOfNetworks(t *testing.T) {
	var out bytes.Buffer
	newSheet(&out).networks(`20 of user_agent:0 "bot"=9 wide_network:6 "198.0.0.0/8"=10 "203.0.0.0/8"=0 narrow_network:3 "198.48.0.0/12"=9 "2a02:1200::/24"=3`)
	for _, want := range []string{
		"at most 19 of the 20 points", "For the attack most: 198.48.0.0/12, 198.0.0.0/8 (of 2 networks).", "Against it, as visitors come from there: 203.0.0.0/8 (of 1 network).",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	newSheet(&out).networks(`9 of user_agent:0 "bot"=9`)
	if out.Len() > 0 {
		t.Errorf("of a score without any: %s", out.String())
	}
}

// TestWrap: words stay whole where they fit.
func TestWrap(t *testing.T) {
	for _, line := range wrap(strings.Repeat("word ", 40)+strings.Repeat("x", 100)+" end", 30, 30) {
		if runewidth.StringWidth(line) > 30 || strings.TrimSpace(line) != line {
			t.Errorf("%q", line)
		}
	}
	if got := wrap("as it is  whole", 10, 0); len(got) != 1 || got[0] != "as it is  whole" {
		t.Errorf("%q", got)
	}
}

// TestWhyAllowed: of an address that nothing may touch it is said by which entry, and so are the paths that edges let
// through on an attacked site.
func TestWhyAllowed(t *testing.T) {
	c := config.Default()
	c.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	for address, want := range map[string]string{"203.0.113.9": "(allow: 203.0.113.0/24)", "66.249.66.1": "(crawlers: google, ", "::ffff:203.0.113.9": "(allow: ", "192.0.2.1": ""} {
		if got := allowedText(&c, netip.MustParseAddr(address)); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", address, got)
		}
	}
	events := []schemas.Event{added("i1-1", "i1", "weir", "a", "b"), added("i1-2", "i1", "weir", "a")}
	if got := openPaths(map[string][]string{"a": {"/healthz", "/hooks/\x1b[2J"}, "c": {"/x"}}, events); !strings.HasPrefix(got, "a /healthz /hooks/") || strings.ContainsAny(got, "\x1b;") {
		t.Errorf("%q", got)
	}
}

// TestWhyNothingIsDecided: what is said of an incident of which nothing is decided, on a terminal of 80 columns, whatever an
// attacker chose stands in it.
func TestWhyNothingIsDecided(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	e := hostileIncident(1)[0]
	for i := range 5 {
		e.Undecided = append(e.Undecided, schemas.Undecided{Site: fmt.Sprintf("s%d.example.org", i), Cap: "collateral",
			Why: "the best measure found, user_agent=\"\x1b[2J" + strings.Repeat("x", 2000) + "\", would stop 96 % of it"})
	}
	e.Undecided[1].Left = 0.43
	var out bytes.Buffer
	newSheet(&out).explainIncident(e)
	readable(t, out.String(), 70)
	for _, part := range []string{"What is decided on s1.example.org leaves 43 % of the attack's requests: the best", "Nothing is decided on s0.example.org: the best", "on s2.example.org", "And on 2 sites more"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), part) {
			t.Errorf("it does not say %q:\n%s", part, out.String())
		}
	}
}

// TestCalledNormalIsNotForgotten: the last event of an incident tells of its worst moment, and who called it normal all the same.
func TestCalledNormalIsNotForgotten(t *testing.T) {
	worst := schemas.Event{Type: schemas.IncidentUpdated, Incident: "i1", Cause: "12 times the requests", Signals: []schemas.Signal{{Score: 9}}}
	end := schemas.Event{Type: schemas.IncidentClosed, Incident: "i1", Cause: schemas.ClosedAsNormal + "anna: twice the requests", Signals: []schemas.Signal{{Score: 2}}}
	known := newLatest()
	known.add(worst)
	known.add(end)
	if e := known.events[0]; e.Cause != end.Cause || e.Signals[0].Score != 9 {
		t.Errorf("%+v", e)
	}
}

// TestAcceptedOnThePage: what a person has accepted of an incident is told of as long as it is in force, and where no edge holds it.
func TestAcceptedOnThePage(t *testing.T) {
	now := time.Now()
	own := schemas.Event{Type: schemas.DecisionAdded, Incident: "i1", Decision: &schemas.Decision{ID: "i1-1", Action: schemas.Block, Scope: schemas.ScopeSignature,
		Value: "a", Origin: schemas.OriginWeir, Expires: now.Add(time.Hour)}}
	accepted := schemas.Accept([]schemas.Event{own}, []string{"i1"}, time.Hour, "anna", now)[0]
	lifted := schemas.Lift(accepted, "anna", now)
	broken := []*edgeSeen{{Received: now, EdgeReport: &schemas.EdgeReport{Edge: "web1", Parts: []schemas.EdgePart{
		{Name: partNginx, Intended: 2, Loaded: 1, Refused: 1, Without: []schemas.EdgeLack{{ID: accepted.ID, Reason: "too long"}}}}}}}
	for name, c := range map[string]struct {
		person       schemas.Event
		edges        []*edgeSeen
		counts, lost bool
	}{"in force": {accepted, nil, true, false}, "lifted": {lifted, broken, false, false}, "no edge can carry it": {accepted, broken, false, true}} {
		var out bytes.Buffer
		s := newSheet(&out)
		s.edges = holding{c.edges, now}
		s.whatIsDone([]schemas.Event{own, c.person}, nil, now)
		text := out.String()
		if strings.Contains(text, "accepted by a person, and enforced whatever the mode: 1") != c.counts || strings.Contains(text, "1 more that no edge holds") != c.lost {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}
