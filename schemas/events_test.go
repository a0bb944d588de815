package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func aDecision(n int) Event {
	at := time.Date(2026, 11, 21, 5, 8, 12, 345e6, time.UTC)
	return Event{
		Type: DecisionAdded, Time: at, Sites: []string{"www.example.org"}, Incident: "i261121-050812", Kind: Flood,
		Decision: &Decision{
			ID: fmt.Sprintf("i261121-050812-%d", n), Action: Block, Scope: ScopeSignature,
			Value:   `user_agent="a <b> & \"c\"" accept_language=""`,
			Expires: at.Add(10 * time.Minute), Collateral: 0.0012, CollateralPerHour: 1.5, CollateralClients: 2500,
			Reason: "what the attack shares", Origin: "weir",
			Evidence: &Evidence{
				Traits:      []TraitEvidence{{Trait: "user_agent", Value: "a <b> & \"c\"", Attack: 0.9, Normal: 0.001, Bits: 9.8}},
				AttackShare: 0.9, NormalShare: 0.001, RiskRatio: 500,
				Samples: []string{"GET /x9k2.php | a <b>"}, Nearest: []string{"GET / | b"}, SQL: "SELECT 1",
			},
		},
	}
}

func anIncident() Event {
	at := time.Date(2026, 11, 21, 5, 8, 12, 0, time.FixedZone("CET", 3600))
	return Event{
		Type: IncidentOpened, Time: at, Sites: nil, Incident: "i261121-040812", Kind: Flood, Opened: at, Cause: "a flood",
		Signals: []Signal{{Name: "request_rate", Group: "volume", Value: 16.7, Normal: 2.1, Score: 12}},
	}
}

func TestEventsGolden(t *testing.T) {
	messages, err := EncodeEvents(42, true, []Event{anIncident(), aDecision(1)})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "events.golden", bytes.Join(messages, []byte("--\n")))
	header, events, err := DecodeEvents(messages[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := (EventsHeader{Version: 1, Revision: 42, Part: 1, Parts: 1, Snapshot: true}); header != want {
		t.Errorf("header %+v", header)
	}
	incident := anIncident()
	incident.Sites = []string{}
	if diff := cmp.Diff([]Event{incident, aDecision(1)}, events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventsAreSplit(t *testing.T) {
	var want []Event
	for i := range 3000 {
		want = append(want, aDecision(i))
	}
	messages, err := EncodeEvents(7, true, want)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) < 3 {
		t.Fatalf("only %d messages", len(messages))
	}
	var sets EventSets
	for i, m := range messages {
		if len(m) > MaxMessage {
			t.Errorf("message %d has %d bytes", i, len(m))
		}
		h, events, err := DecodeEvents(m)
		if err != nil {
			t.Fatal(err)
		}
		ready, replace, err := sets.Add(h, events)
		if err != nil {
			t.Fatal(err)
		}
		if last := i == len(messages)-1; replace != last || len(ready) > 0 != last {
			t.Fatalf("part %d: %d events are ready", i+1, len(ready))
		}
		if replace {
			if diff := cmp.Diff(want, ready); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	}
}

func TestNoEventsAreOneMessage(t *testing.T) {
	messages, err := EncodeEvents(1, true, nil)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	h, events, err := DecodeEvents(messages[0])
	if err != nil || !h.Snapshot || len(events) != 0 {
		t.Errorf("%+v %v %v", h, events, err)
	}
}

func TestEventSets(t *testing.T) {
	one, two := []Event{aDecision(1)}, []Event{aDecision(2)}
	header := func(revision uint64, part, parts int, snapshot bool) EventsHeader {
		return EventsHeader{Version: 1, Revision: revision, Part: part, Parts: parts, Snapshot: snapshot}
	}
	var s EventSets
	for i, step := range []struct {
		header  EventsHeader
		events  []Event
		ready   int
		replace bool
		err     error
	}{
		{header(5, 1, 1, false), one, 1, false, nil},
		{header(5, 1, 2, true), one, 0, false, nil},
		{header(5, 1, 1, false), one, 1, false, nil}, // a change between the parts
		{header(5, 2, 2, true), two, 2, true, nil},
		{header(4, 1, 1, false), one, 0, false, ErrStale},
		{header(5, 2, 2, true), one, 0, false, ErrEvents}, // the first part is missing
		{header(5, 1, 3, true), one, 0, false, nil},
		{header(5, 3, 3, true), one, 0, false, ErrEvents},
		{header(5, 1, 2, true), one, 0, false, nil},
		{header(6, 2, 2, true), one, 0, false, ErrEvents}, // of another detector
		{header(6, 1, 1, true), nil, 0, true, nil},        // nothing is in force
		{header(6, 1, 2, true), one, 0, false, nil},
		{header(6, 1, 2, true), one, 0, false, nil}, // begun anew
		{header(6, 2, 2, true), two, 2, true, nil},
	} {
		ready, replace, err := s.Add(step.header, step.events)
		if len(ready) != step.ready || replace != step.replace || !errors.Is(err, step.err) {
			t.Errorf("step %d: %d events, replace %v, %v", i, len(ready), replace, err)
		}
	}
}

func TestEventsRefused(t *testing.T) {
	bad := map[string]func(*Event){
		"no action":       func(e *Event) { e.Action = "" },
		"allow a trait":   func(e *Event) { e.Action, e.Scope, e.Sites = Allow, ScopeSignature, nil },
		"allow on a site": func(e *Event) { e.Action, e.Scope, e.Value, e.Sites = Allow, ScopeClient, "192.0.2.1", []string{"s"} },
		"scope":           func(e *Event) { e.Scope = "planet" },
		"type":            func(e *Event) { e.Type = "decision.forgotten" },
		"no decision":     func(e *Event) { e.Decision = nil },
		"no id":           func(e *Event) { e.ID = "" },
		"no value":        func(e *Event) { e.Value = "" },
		"no expiry":       func(e *Event) { e.Expires = time.Time{} },
		"no time":         func(e *Event) { e.Time = time.Time{} },
		"collateral":      func(e *Event) { e.Collateral = 1.5 },
		"collateral NaN":  func(e *Event) { e.Collateral = math.NaN() },
		"per hour":        func(e *Event) { e.CollateralPerHour = math.Inf(1) },
		"sites":           func(e *Event) { e.Sites = make([]string, MaxEventSites+1) },
		"signals":         func(e *Event) { e.Signals = make([]Signal, MaxEventSignals+1) },
		"signal":          func(e *Event) { e.Signals = []Signal{{Score: math.Inf(1)}} },
		"cause":           func(e *Event) { e.Cause = strings.Repeat("x", MaxSentence+1) },
		"long id":         func(e *Event) { e.ID = strings.Repeat("x", MaxID+1) },
		"long incident":   func(e *Event) { e.Incident = strings.Repeat("x", MaxID+1) },
		"risk ratio":      func(e *Event) { e.Evidence.RiskRatio = math.Inf(1) },
		"bits":            func(e *Event) { e.Evidence.Traits[0].Bits = math.NaN() },
		"samples":         func(e *Event) { e.Evidence.Samples = make([]string, MaxEvidence+1) },
		"no incident":     func(e *Event) { *e = anIncident(); e.Incident = "" },
		"incident's time": func(e *Event) { *e = anIncident(); e.Time = time.Time{} },
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			e := aDecision(1)
			spoil(&e)
			if messages, err := EncodeEvents(1, false, []Event{aDecision(0), e}); !errors.Is(err, ErrEvents) {
				t.Errorf("%d messages, error %v, want ErrEvents", len(messages), err)
			} else if !strings.Contains(err.Error(), "event 2 of 2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q does not say which event in one line", err)
			}
		})
	}
	good := `{"version":1,"revision":1,"part":1,"parts":1,"snapshot":false}`
	for _, message := range []string{
		"", "{}", "[]", "null", `{"version":2,"revision":1,"part":1,"parts":1}`, `{"version":1,"part":2,"parts":1}`,
		`{"version":1,"part":1,"parts":100000}`, `{"version":1,"part":0,"parts":0}`, good + "\n{", good + "\n\n", good + "\n{}",
		good + "\n" + `{"type":"decision.added","time":"2026-11-21T05:08:12Z","sites":[]}`,
		good + "\n" + `{"type":"incident.opened","time":"yesterday","sites":[],"incident":"i"}`,
		good + "\n" + strings.Repeat("x", MaxMessage),
	} {
		if _, events, err := DecodeEvents([]byte(message)); !errors.Is(err, ErrEvents) {
			t.Errorf("%.80q: %v, error %v, want ErrEvents", message, events, err)
		}
	}
}

func TestEventsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(genEvent), 0, 20).Draw(t, "events")
		messages, err := EncodeEvents(rapid.Uint64().Draw(t, "revision"), rapid.Bool().Draw(t, "snapshot"), want)
		if err != nil {
			t.Fatal(err)
		}
		var got []Event
		for _, m := range messages {
			_, events, err := DecodeEvents(m)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, events...)
		}
		if diff := cmp.Diff(want, got); len(want) > 0 && diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func genEvent(t *rapid.T) Event {
	at := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time")).UTC()
	text := rapid.StringN(0, 60, 200)
	e := Event{Time: at, Sites: rapid.SliceOfN(text, 1, 3).Draw(t, "sites"), Incident: "i" + rapid.StringN(0, 10, 40).Draw(t, "incident")}
	if rapid.Bool().Draw(t, "incident") {
		e.Type, e.Kind, e.Cause = IncidentUpdated, Scan, text.Draw(t, "cause")
		e.Signals = []Signal{{Name: "n", Value: rapid.Float64Range(-1e9, 1e9).Draw(t, "value")}}
		return e
	}
	e.Type = rapid.SampledFrom([]EventType{DecisionAdded, DecisionRenewed, DecisionRemoved}).Draw(t, "type")
	e.Decision = &Decision{
		ID: "d", Action: rapid.SampledFrom([]Action{Throttle, Challenge, Block}).Draw(t, "action"),
		Scope: rapid.SampledFrom([]Scope{ScopeClient, ScopePrefix, ScopeSignature, ScopeSite}).Draw(t, "scope"),
		Value: "v" + text.Draw(t, "value"), Expires: at.Add(time.Hour), Collateral: rapid.Float64Range(0, 1).Draw(t, "collateral"),
		Reason: text.Draw(t, "reason"), Origin: "weir",
	}
	return e
}

func TestEventsTruncated(t *testing.T) {
	messages, err := EncodeEvents(1, false, []Event{anIncident(), aDecision(1)})
	if err != nil {
		t.Fatal(err)
	}
	m := messages[0]
	for n := range m {
		_, events, err := DecodeEvents(m[:n])
		// Cut at the end of a line it is a shorter set, and a whole event each.
		if whole := n > 0 && (m[n-1] == '\n' || m[n] == '\n'); err == nil != whole {
			t.Errorf("%d of %d bytes: %d events, %v", n, len(m), len(events), err)
		}
	}
}

func FuzzDecodeEvents(f *testing.F) {
	messages, err := EncodeEvents(1, true, []Event{anIncident(), aDecision(1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(messages[0])
	f.Fuzz(func(t *testing.T, message []byte) {
		h, events, err := DecodeEvents(message)
		if err != nil {
			if !errors.Is(err, ErrEvents) {
				t.Errorf("error %v, want ErrEvents", err)
			}
			return
		}
		var sets EventSets
		_, _, _ = sets.Add(h, events)
		// What is taken can be passed on, unless escaping makes a line too long.
		if again, err := EncodeEvents(h.Revision, h.Snapshot, events); err == nil {
			for _, m := range again {
				if _, _, err := DecodeEvents(m); err != nil {
					t.Errorf("not read again: %v", err)
				}
			}
		}
	})
}

func BenchmarkEncodeEvents(b *testing.B) {
	events := make([]Event, 1000)
	for i := range events {
		events[i] = aDecision(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeEvents(1, true, events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

func BenchmarkDecodeEvents(b *testing.B) {
	events := make([]Event, 500)
	for i := range events {
		events[i] = aDecision(i)
	}
	messages, err := EncodeEvents(1, true, events)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		_, got, err := DecodeEvents(messages[0])
		if err != nil {
			b.Fatal(err)
		}
		n += len(got)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}

// What only a newer weir knows is passed over, alone: what else is in the message counts, and nothing of it is enforced.
func TestNewerEventsArePassedOver(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	known := Event{Type: DecisionAdded, Time: now, Sites: []string{"a.example"}, Decision: &Decision{
		ID: "i1-1", Action: Block, Scope: ScopeClient, Value: "192.0.2.1", Expires: now.Add(time.Hour), Origin: OriginWeir,
	}}
	messages, err := EncodeEvents(1, false, []Event{known})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := UnpackEvents(messages[0])
	if err != nil {
		t.Fatal(err)
	}
	head, line, _ := strings.Cut(strings.TrimSuffix(string(plain), "\n"), "\n")
	for name, c := range map[string]struct{ from, to string }{
		"a scope":                 {`"client"`, `"planet"`},
		"an action":               {`"block"`, `"tarpit"`},
		"a type":                  {`"decision.added"`, `"decision.suspended"`},
		"a scope, and other keys": {`"client"`, `"planet","orbit":{"a":[1,2]}`},
	} {
		newer := strings.Replace(line, c.from, c.to, 1)
		header, events, err := DecodeEvents([]byte(head + "\n" + newer + "\n" + line + "\n" + newer))
		if err != nil || header.Newer != 2 || len(events) != 1 || events[0].ID != known.ID {
			t.Errorf("%s: %d passed over, %d events: %v", name, header.Newer, len(events), err)
		}
	}
	for _, text := range []string{`{}`, `{"type":"decision.added"}`, strings.Replace(line, `"client"`, `""`, 1), strings.Replace(line, `"block"`, `""`, 1)} {
		if _, _, err := DecodeEvents([]byte(head + "\n" + text)); !errors.Is(err, ErrEvents) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestUndecided: what is said of why nothing is decided comes back as it was sent, is bounded, and is text behind the cause.
func TestUndecided(t *testing.T) {
	e := anIncident()
	e.Time, e.Opened = e.Time.UTC(), e.Opened.UTC()
	e.Undecided = []Undecided{
		{Site: "www.example.org", Cap: "collateral", Setting: "decisions.collateral", Why: "it might touch people", Value: `user_agent="a"`, Stops: 0.9, Touches: 0.02, Clients: 7},
		{Site: "shop.example.org", Cap: "baseline", Why: "it is new"},
		{Site: "git.example.org", Cap: "decisions", Why: "there are many", Left: 0.426},
	}
	messages, err := EncodeEvents(1, false, []Event{e})
	if err != nil {
		t.Fatal(err)
	}
	_, back, err := DecodeEvents(messages[0])
	e.Sites = []string{}
	if diff := cmp.Diff([]Event{e}, back); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	const want = "a flood; nothing is decided on www.example.org but on 7 single addresses, few of which come again: it might touch people; nothing is decided on shop.example.org: it is new; what is decided on git.example.org leaves 43 % of the attack's requests: there are many"
	if got := e.Told(); got != want {
		t.Errorf("told %q", got)
	}
	if got, want := (&Undecided{Why: "it is new"}).String(), "nothing is decided on this site: it is new"; got != want {
		t.Errorf("of a log without a site: %q", got)
	}
	for name, bad := range map[string]Undecided{
		"why": {Why: strings.Repeat("x", MaxSentence+1)}, "share": {Stops: math.NaN()}, "left": {Left: math.Inf(1)}, "value": {Value: strings.Repeat("x", 1<<16)}, "clients": {Clients: -1},
	} {
		e.Undecided = []Undecided{bad}
		if err := e.Validate(); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if e.Undecided = make([]Undecided, MaxUndecided+1); e.Validate() == nil {
		t.Error("any number of sites was taken")
	}
}
