package clickhouse

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
	migrations "github.com/weir-project/weir/schemas/clickhouse"
)

// estate is a small estate of which everything is known: 40 visitors who come on every
// one of six hours; a botnet of 300 addresses on the second day at 05:08, of which the
// last 200 were stopped from 05:10 on; 30 of them had been there in an earlier incident
// and 20 come back a day later; and one visitor who was stopped by mistake.
type estate struct {
	day     time.Time
	builder *schemas.Builder
	rows    map[string]int // by kind
	all     []schemas.Request
}

const (
	visitors, bots, botPages = 40, 300, 3
	visitorAgent             = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
	botAgent                 = "Mozilla/5.0 (compatible) \"><script>alert(1)</script>"
)

func (e *estate) add(kind string, r schemas.Request) {
	r.Fields = schemas.FieldSite | schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage | schemas.FieldDuration | schemas.FieldAction
	r.Method, r.Protocol = []byte("GET"), []byte("HTTP/1.1")
	if r.Site == nil {
		r.Site = []byte("www.example.org")
	}
	e.builder.Append(&r)
	e.all = append(e.all, r)
	e.rows[kind]++
}

func bot(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(i / 100), byte(i % 100)}) }

func visitor(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}) }

func (e *estate) visit(at time.Time, i int, action, decision string) {
	e.add("visits", schemas.Request{Time: at.UnixMilli(), Client: visitor(i), Status: map[bool]uint16{true: 403, false: 200}[action == "block"],
		Bytes: 5000, Duration: 80_000, UpstreamDuration: 60_000, Path: fmt.Appendf(nil, "/articles/%d", i%7), Query: []byte("page=2"), UserAgent: []byte(visitorAgent),
		AcceptLanguage: []byte("de"), Referer: []byte("https://www.example.org/"), Action: []byte(action), Decision: []byte(decision)})
}

func (e *estate) attack(at time.Time, i int, site, action, decision string) {
	status := uint16(404)
	if action == "block" {
		status = 403
	}
	e.add("attacks", schemas.Request{Time: at.UnixMilli(), Client: bot(i), Site: []byte(site), Status: status, Bytes: 300, Duration: 900_000, UpstreamDuration: 800_000,
		Path: fmt.Appendf(nil, "/x%d", (i*7+int(at.Unix()))%50), UserAgent: []byte(botAgent), Action: []byte(action), Decision: []byte(decision)})
}

// story stores the estate's two days.
func story(t *testing.T, db *DB) *estate {
	t.Helper()
	e := &estate{day: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), builder: schemas.NewBuilder("edge-1", "log"), rows: map[string]int{}}
	opened := e.day.Add(5*time.Hour + 8*time.Minute)
	for minute := time.Duration(-360); minute < 20; minute++ {
		for i := range visitors {
			action, decision := "allow", ""
			if i == 5 && minute >= 4 && minute < 8 { // by mistake
				action, decision = "block", "i2-1"
			}
			e.visit(opened.Add(minute*time.Minute+time.Duration(i)*time.Second), i, action, decision)
		}
	}
	for i := range bots { // each asks three times, a minute apart
		for n := range botPages {
			at := opened.Add(time.Duration(n)*time.Minute + time.Duration(i*150)*time.Millisecond)
			action, decision := "allow", ""
			if n == 2 && i >= 100 {
				action, decision = "block", "i2-1"
			}
			e.attack(at, i, "www.example.org", action, decision)
		}
	}
	for i := 100; i < 130; i++ {
		e.attack(opened.Add(-10*24*time.Hour+time.Duration(i)*time.Second), i, "www.example.org", "allow", "")
		e.attack(opened.Add(30*time.Second+time.Duration(i)*100*time.Millisecond), i, "shop.example.org", "allow", "")
	}
	for i := 280; i < bots; i++ {
		e.attack(opened.Add(24*time.Hour), i, "www.example.org", "block", "i2-1")
	}
	d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:story"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Write(t.Context(), e.builder.Batch()), d.Close(t.Context()), e.record(t, db, opened)); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *estate) record(t *testing.T, db *DB, opened time.Time) error {
	sites := []string{"www.example.org"}
	incident := func(kind schemas.EventType, id string, at, opened, closed time.Time) schemas.Event {
		return schemas.Event{Type: kind, Time: at, Incident: id, Kind: schemas.Flood, Sites: sites, Opened: opened, Closed: closed, Cause: "10 times the usual requests",
			Signals: []schemas.Signal{{Name: "request_rate", Group: "volume", Value: 20, Normal: 0.7, Score: 8.2}, {Name: "not_found_share", Group: "composition", Value: 0.9, Normal: 0, Score: 6.5}}}
	}
	old, closed := opened.Add(-10*24*time.Hour), opened.Add(15*time.Minute)
	decision := &schemas.Decision{ID: "i2-1", Action: schemas.Block, Scope: schemas.ScopeSignature, Value: `accept_language=""`, Expires: closed.Add(time.Hour),
		Collateral: 0.004, CollateralPerHour: 1.5, CollateralClients: 900, Origin: "weir"}
	return errors.Join(
		db.RecordEvents(t.Context(), "", []schemas.Event{
			incident(schemas.IncidentOpened, "i1", old, old, time.Time{}), incident(schemas.IncidentClosed, "i1", old.Add(10*time.Minute), old, old.Add(10*time.Minute)),
			incident(schemas.IncidentOpened, "i2", opened, opened, time.Time{}), incident(schemas.IncidentClosed, "i2", closed, opened, closed),
			{Type: schemas.DecisionAdded, Time: opened.Add(2 * time.Minute), Incident: "i2", Sites: sites, Decision: decision},
		}),
		db.RecordVitals(t.Context(), []*schemas.Vitals{{Time: opened, Edge: "edge-1", Interval: 1, Load: 3.5, Nginx: &schemas.NginxVitals{Answered: true, Active: 210, Requests: 33}}}))
}

const cookbookDocument = "../../docs/sql-cookbook.md"

// TestCookbook asks every question about the estate and compares the answers with
// testdata/cookbook, and all of it with docs/sql-cookbook.md; WEIR_UPDATE=1 writes both
// anew, to be read before they are committed.
func TestCookbook(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	story(t, db)
	all, err := migrations.Cookbook()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Errorf("%d recipes, want at least 20", len(all))
	}
	var doc strings.Builder
	doc.WriteString(cookbookHead)
	for _, r := range all {
		about := Subject{Incident: "i2", Client: visitor(5)}
		sql, err := db.Recipe(t.Context(), r.Name, about)
		if err != nil {
			t.Errorf("@%s: %v", r.Name, err)
			continue
		}
		var got strings.Builder
		if err := db.Query(t.Context(), sql, QueryOptions{Format: "TSVWithNames"}, &got); err != nil {
			t.Errorf("@%s: %v", r.Name, err)
			continue
		}
		golden(t, filepath.Join("testdata", "cookbook", r.Name+".tsv"), got.String())
		fmt.Fprintf(&doc, "\n## @%s\n\n%s\n\n```sql\n%s\n```\n```\n%s```\n", r.Name, strings.NewReplacer("<", `\<`, "|", `\|`).Replace(r.About), r.SQL, head(got.String(), 8))
	}
	golden(t, cookbookDocument, doc.String())
}

const cookbookHead = `# Questions after an attack

Each is a query with a name: ` + "`weir sql @agents --incident latest`" + `, or the id that ` + "`weir incidents`" + ` shows.
` + "`weir sql @`" + ` lists them, and ` + "`--print`" + ` prints a query, filled in, to change it and to ask it yourself.

In braces stands what weir fills in: ` + "`{during}`" + ` is the incident's sites from a minute before it was noticed to its
end, ` + "`{before}`" + ` the day before. ` + "`{known}`" + ` are clients that were answered well on the day before. ` + "`{attackers}`" + ` are
those among the others that an edge stopped, or, where nothing was stopped, all others: among them are people who came
for the first time, so look before you report one. Requests are counted by ` + "`weight`" + `, which is above 1 where rows were sampled.

The answers below, cut after a few lines, are of a small estate that the tests make: 40 visitors, and 300 addresses
that ask three times each. This file is written from the queries by ` + "`WEIR_UPDATE=1 go test ./sinks/clickhouse -run TestCookbook`" + `.
`

func head(text string, n int) string {
	all := strings.SplitAfter(text, "\n")
	if len(all) <= n+1 {
		return text
	}
	return strings.Join(all[:n], "") + "...\n"
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("WEIR_UPDATE") != "" {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v: got\n%s", path, err, got)
	}
}

func TestRecipesThatCannotBeAsked(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	story(t, db)
	for _, c := range []struct {
		name  string
		about Subject
		want  string
	}{
		{"nothing", Subject{}, "no such query"}, {"agents", Subject{}, "give --incident"}, {"agents", Subject{Incident: "i9'; DROP TABLE requests"}, "no such incident"},
		{"client", Subject{}, "give --client"}, {"overlap", Subject{Incident: "i1"}, "--other"},
	} {
		if _, err := db.Recipe(t.Context(), c.name, c.about); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("@%s %+v: %v", c.name, c.about, err)
		}
	}
	if sql, err := db.Recipe(t.Context(), "agents", Subject{Incident: "latest"}); err != nil || !strings.Contains(sql, "2026-11-21 05:07:00") {
		t.Errorf("@agents of the latest: %v\n%s", err, sql)
	}
}

func TestLiteralsAreInert(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	for _, text := range []string{"", "'", `\`, "a'b", "\x00\xff", "é", "plain text", "{incident}", "--"} {
		if got := ask(t, db, "SELECT hex("+Literal(text)+")"); got != strings.ToUpper(hexOf(text)) {
			t.Errorf("%q came back as %s", text, got)
		}
	}
}
