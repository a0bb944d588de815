package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// browsers is an attack of ten minutes by full browsers, of which scores alone stop a part, with an hour before it.
func browsers(t *testing.T) (log string, begins time.Time) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "access.log")
	out := mustWeir(t, "simulate", log, "--scenario", "browsers", "--estate", "tuning", "--seed", "2", "--hours", "1")
	_, attack, _ := strings.Cut(out, "\nThe attack: ")
	_, at, _ := strings.Cut(attack, ", ")
	begins, err := time.Parse(time.DateTime, at[:min(len(at), len(time.DateTime))])
	if err != nil {
		t.Fatalf("when the attack begins is not in %s", out)
	}
	return log, begins
}

// asOfNow is a log whose last line is of this moment.
func asOfNow(t *testing.T, log string) []byte {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	at := func(line []byte) float64 {
		var row struct {
			Time float64 `json:"time,string"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		return row.Time
	}
	last := bytes.TrimSpace(text)
	shift := float64(time.Now().UnixMilli())/1000 - at(last[bytes.LastIndexByte(last, '\n')+1:])
	time := regexp.MustCompile(`"time":"[0-9.]+"`)
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		out.Write(time.ReplaceAll(line, fmt.Appendf(nil, `"time":"%.3f"`, at(line)+shift)))
	}
	return out.Bytes()
}

// TestAScoreIsAccepted: in mode propose a score waits for a person; accepted it is in nginx, as the person's.
func TestAScoreIsAccepted(t *testing.T) {
	needClickHouse(t)
	e := startEdge(t)
	log, begins := browsers(t)
	log, _ = cutAt(t, log, begins.Add(150*time.Second))
	writeTo(t, e.log, string(asOfNow(t, log))) // from its first line: nginx has logged that it answers, and time must not begin there
	data := filepath.Join(t.TempDir(), "data")
	config := e.config(t, data, "")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	writeTo(t, config, strings.Replace(string(text), "mode: enforce", "mode: propose", 1))
	w := startWith(t, config)
	id := ""
	until(t, "a score is proposed", func() bool {
		out, err := weir(t, "decisions", "list", "--data", data, "--output", "json")
		var list []schemas.Event
		if err != nil || json.Unmarshal([]byte(out), &list) != nil {
			return false
		}
		for _, d := range list {
			if d.Scope == schemas.ScopeScore {
				id = d.ID
			}
		}
		return id != ""
	})
	why := mustWeir(t, "why", "--data", data, id)
	for _, want := range []string{"weir decisions accept " + id, "No one trait decides", "The nearest normal requests:", "transform(toString("} {
		if !strings.Contains(why, want) {
			t.Errorf("weir why does not say %q:\n%.3000s", want, why)
		}
	}
	if strings.Contains(why, "Requests that it matches:") == strings.Contains(why, "It matches none of the requests") {
		t.Errorf("weir why shows no examples, nor why it has none:\n%.3000s", why)
	}
	loaded := func(id string) bool {
		files, err := filepath.Glob(filepath.Join(e.weirDir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), id) {
				return true
			}
		}
		return false
	}
	if loaded(id) {
		t.Error("nginx has what nobody has accepted")
	}
	accepted, _, _ := strings.Cut(mustWeir(t, "decisions", "accept", "--data", data, "--for", "10m", id), ":")
	until(t, "nginx has it", func() bool { return loaded(accepted) })
	until(t, "the edge says that it holds all of it", func() bool {
		answer, err := control(data).Get("http://weir/api/edges")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var seen []schemas.EdgeReport
		return json.NewDecoder(answer.Body).Decode(&seen) == nil && len(seen) == 1 && len(seen[0].Parts) == 1 && seen[0].Parts[0].Loaded == 1 && seen[0].Parts[0].Refused == 0
	})
	if !e.answers("192.0.2.9", http.StatusOK) { // a request that shows next to nothing of it
		t.Error("a visitor is stopped")
	}
	w.end(t)
}

// TestAScoreOutlivesItsDetector kills the detector that decided on a score in the midst of the attack: the next one keeps it in
// force as what it was, renews it while the attack goes on or puts a better one in its place, and lets all of them end after.
func TestAScoreOutlivesItsDetector(t *testing.T) {
	log, begins := browsers(t)
	cut, end := begins.Add(2*time.Minute), begins.Add(10*time.Minute)
	log, rest := cutAt(t, log, cut)
	f := startFleet(t, 2)
	f.ship(log)
	scores := func() (of []schemas.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.events {
			if e.Decision != nil && e.Scope == schemas.ScopeScore {
				of = append(of, e)
			}
		}
		return of
	}
	until(t, "a score is decided on", func() bool { return len(scores()) > 0 })
	until(t, "the detector has saved it", func() bool { return f.saved("detector") >= cut.Unix()-15 })
	f.of("detector").kill()
	appendTo(t, log, rest)
	until(t, "all of the log is shipped", func() bool { return f.shipped() >= end.Add(9*time.Minute).UnixMilli() })
	f.close(log, end.Add(time.Hour))
	until(t, "the incident closes", func() bool { return f.seen(schemas.IncidentClosed) })
	until(t, "all scores have ended", func() bool {
		open := map[string]bool{}
		for _, e := range scores() {
			open[e.ID] = e.Type != schemas.DecisionRemoved
		}
		return !slices.Contains(slices.Collect(maps.Values(open)), true)
	})
	first, after := map[string]schemas.Event{}, 0
	for _, e := range scores() {
		t.Logf("%s %s %s until %s: %s", e.Time.Format(time.TimeOnly), e.ID, e.Type, e.Expires.Format(time.TimeOnly), e.Reason)
		was, known := first[e.ID]
		if known == (e.Type == schemas.DecisionAdded) || known && e.Value != was.Value {
			t.Errorf("it is no longer what it was: %s %s", e.Type, e.Value)
		}
		if !known {
			first[e.ID] = e
		}
		if e.Type != schemas.DecisionRemoved && e.Time.After(cut) {
			after++
		}
		if e.Type == schemas.DecisionRemoved && e.Time.Before(end) && !slices.ContainsFunc(scores(), func(n schemas.Event) bool {
			return n.Type == schemas.DecisionAdded && n.ID != e.ID && n.Time.Equal(e.Time)
		}) {
			t.Errorf("it ended at %s with none in its place, and the attack goes on until %s", e.Time, end)
		}
	}
	if after == 0 {
		t.Errorf("nobody renewed it after the detector was killed")
	}
}

// TestScoreSQLTellsNetworks holds the query that weir why gives for a score against the score, on the store's own ClickHouse, for
// clients of both kinds of addresses, at the ends of networks too.
func TestScoreSQLTellsNetworks(t *testing.T) {
	needClickHouse(t)
	score, err := schemas.ParseScore(`12 of method:1 "POST"=8 wide_network:4 "198.0.0.0/8"=6 "2a02::/16"=0 narrow_network:2 "198.48.0.0/12"=6 "2a02:1200::/24"=9 "203.0.0.0/12"=0`)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	want := map[string]int{}
	at := float64(time.Now().Unix())
	for i, client := range []string{"198.51.100.1", "198.48.0.0", "198.63.255.255", "198.64.0.0", "198.47.255.255", "203.0.113.1", "2a02:1200::1", "2a02:12ff:ffff::1", "2a02:1300::1", "2001:db8::1"} {
		for _, method := range []string{"GET", "POST"} {
			fmt.Fprintf(&text, `{"time":"%.3f","host":"a.example","client":"%s","method":"%s","uri":"/%d","protocol":"HTTP/1.1","status":200,"bytes":1,"duration":0.001,"user_agent":"x"}`+"\n", at+float64(i)/10, client, method, i)
			r := &schemas.Request{Client: netip.MustParseAddr(client), Method: []byte(method)}
			if is, _ := score.Match(r, nil); is {
				want[method+" "+client]++
			}
		}
	}
	log, data := filepath.Join(t.TempDir(), "access.log"), filepath.Join(t.TempDir(), "data")
	writeTo(t, log, text.String())
	mustWeir(t, "replay", "-q", "--data", data, log)
	got := map[string]int{}
	query := attribute.ScoreSQL("a.example", 0, score)
	out := mustWeir(t, "sql", "--data", data, "SELECT concat(toString(method), ' ', replaceOne(toString(client), '::ffff:', '')) FROM ("+query+")")
	for _, line := range strings.Fields(strings.ReplaceAll(out, " ", "_")) {
		got[strings.ReplaceAll(line, "_", " ")]++
	}
	if !maps.Equal(got, want) || len(want) == 0 {
		t.Errorf("the query shows %v, the score matches %v\n%s", got, want, query)
	}
}
