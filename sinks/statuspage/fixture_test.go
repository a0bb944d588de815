package statuspage

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// moment is the present of the golden page.
var moment = time.Date(2026, 11, 28, 5, 42, 0, 0, time.UTC)

var estate = []Component{
	{Site: "www.example.org", Name: "Website", Group: "For everybody", About: "News, downloads, documentation"},
	{Site: "shop.example.org", Name: "Shop", Group: "For everybody"},
	{Site: "forum.example.org", Name: "Forum", Group: "For everybody"},
	{Site: "git.example.org", Name: "Git", Group: "For developers", About: "Repositories and issues"},
	{Site: "packages.example.org", Name: "Packages", Group: "For developers"},
}

func languages(t testing.TB, tags ...string) (all []Texts) {
	t.Helper()
	for _, tag := range tags {
		texts, err := Language(tag, "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, texts)
	}
	return all
}

// newPage makes a page with the options' holes filled.
func newPage(t testing.TB, o Options) *Page {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Folder == "" {
		o.Folder = t.TempDir()
	}
	if o.Components == nil {
		o.Components = estate
	}
	if o.Texts == nil {
		o.Texts = languages(t, "en", "de")
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// window is the signals of ten seconds.
func window(site string, end time.Time, rate, normal, unserved, slow, stopped float64) []schemas.SignalRow {
	row := func(name string, value, normal float64) schemas.SignalRow {
		return schemas.SignalRow{Time: end, Site: site, Window: "10s", Signal: schemas.Signal{Name: name, Value: value, Normal: normal}}
	}
	return []schemas.SignalRow{
		row("request_rate", rate, normal), row("unique_clients", rate, normal), row("slow_share", slow, 0),
		row(schemas.StoppedShare, stopped, 0), row(schemas.UnservedShare, unserved, 0),
	}
}

// measureDay puts a day of windows, one in ten minutes, into the ledger.
func (l *ledger) measureDay(site string, day time.Time, until time.Time, unserved, slow float64) {
	for at := day.Add(10 * time.Second); at.Before(day.Add(24*time.Hour)) && !at.After(until); at = at.Add(10 * time.Minute) {
		for _, row := range window(site, at, 8, 8, unserved, slow, 0) {
			l.signal(&row, until, 0)
		}
	}
}

// golden is a page with a past: an attack that goes on, a maintenance to come, and
// ninety days of which some are bad and some are not known.
func golden(t testing.TB, o Options) *Page {
	t.Helper()
	o.Title, o.URL, o.Measured = "Example status", "https://status.example.net/", true
	p := newPage(t, o)
	today := moment.Truncate(24 * time.Hour)
	for i, c := range estate {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		for back := Days - 1; back >= 0; back-- {
			unserved := 0.0002 * random.ExpFloat64()
			slow := 0.004 * random.ExpFloat64()
			switch {
			case back == 61 && i < 3:
				unserved = 0.31
			case back == 60 && i < 3:
				unserved, slow = 0.62, 0.4
			case back == 33 && i == 3:
				unserved = 0.03
			case back > 74 && i == 4, back == 20:
				continue
			}
			p.ledger.measureDay(c.Site, today.AddDate(0, 0, -back), moment.Add(-40*time.Minute), math.Min(unserved, 1), slow)
		}
		bad := [...]float64{0.46, 0.16, 0.012, 0, 0}[i]
		for at := moment.Add(-34 * time.Minute); !at.After(moment.Add(-10 * time.Second)); at = at.Add(10 * time.Second) {
			for _, row := range window(c.Site, at, 8, 8, bad, bad/2, 0) {
				p.ledger.signal(&row, moment, 0)
			}
		}
	}
	story(t, p)
	return p
}

func story(t testing.TB, p *Page) {
	t.Helper()
	add := func(e Entry) {
		t.Helper()
		if _, err := p.journal.add(e); err != nil {
			t.Fatal(err)
		}
	}
	words := func(en, de string) Words { return Words{"en": en, "de": de} }
	day := moment.Truncate(24 * time.Hour)
	old := day.AddDate(0, 0, -61)
	add(Entry{Time: old.Add(5*time.Hour + 16*time.Minute), By: "anna", Do: doPublish, Post: "p260928-051600", Began: old.Add(5*time.Hour + 8*time.Minute),
		Components: []string{"www.example.org", "shop.example.org", "forum.example.org"}, Impact: Critical,
		Title: words("Website, shop and forum not reachable", "Website, Shop und Forum nicht erreichbar"),
		Text:  words("Most visitors get no answer since 05:08 UTC. We are looking into it.", "Die meisten Besucher erhalten seit 05:08 UTC keine Antwort. Wir sehen nach, woran es liegt."), Next: old.Add(6 * time.Hour)})
	add(Entry{Time: old.Add(30 * time.Hour), By: "ben", Do: doResolve, Post: "p260928-051600",
		Text: words("All three work as usual again. We are sorry for the trouble.", "Alle drei funktionieren wieder wie gewohnt. Wir bitten die Störung zu entschuldigen.")})
	add(Entry{Time: day.Add(-20 * time.Hour), By: "ben", Do: doPublish, Post: "p261127-040000", Components: []string{"packages.example.org"},
		From: day.Add(68 * time.Hour), Until: day.Add(70 * time.Hour),
		Title: words("Maintenance of Packages", "Wartung: Packages"),
		Text:  words("We move the packages to a new machine. Downloads may stop for some minutes.", "Wir ziehen die Pakete auf eine neue Maschine um. Downloads können einige Minuten unterbrochen sein.")})
	f := p.facts(&Post{Components: []string{"www.example.org", "shop.example.org"}, Began: day.Add(5*time.Hour + 8*time.Minute)}, day.Add(5*time.Hour+12*time.Minute))
	title, text := f.words(p.o.Texts)
	add(Entry{Time: day.Add(5*time.Hour + 9*time.Minute), By: "weir", Do: doDraft, Post: "p261128-050900", Incidents: []string{"i261128-050812"},
		Components: []string{"www.example.org", "shop.example.org"}, Impact: Serious, Began: day.Add(5*time.Hour + 8*time.Minute)})
	add(Entry{Time: day.Add(5*time.Hour + 12*time.Minute), By: "anna", Do: doPublish, Post: "p261128-050900", Title: title, Text: text, Next: f.next})
	add(Entry{Time: day.Add(5*time.Hour + 38*time.Minute), By: "anna", Do: doUpdate, Post: "p261128-050900", Stage: Identified, Next: day.Add(6*time.Hour + 10*time.Minute),
		Text: words("The measures work: the shop answers nearly everybody again. We go on with the website.", "Die Maßnahmen wirken: Der Shop antwortet fast allen wieder. Wir machen mit der Website weiter.")})
}
