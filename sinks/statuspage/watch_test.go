package statuspage

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// desk is a page that runs in the bubble of a synctest, fed with windows every ten
// seconds.
type desk struct {
	t        *testing.T
	page     *Page
	sequence uint64
	unserved float64 // at www.example.org
	mute     bool    // nothing is measured
	mu       sync.Mutex
	notices  []Notice
	sayings  []Saying
	stop     func()
}

func newDesk(t *testing.T, o Options) *desk {
	t.Helper()
	d := &desk{t: t}
	o.Measured = true
	if o.Dir == "" {
		o.Dir = memory(t)
	}
	o.Folder = memory(t)
	o.renderEvery = 2 * time.Minute
	o.Notify = func(n Notice) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.notices = append(d.notices, n)
	}
	o.Said = func(s Saying) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sayings = append(d.sayings, s)
	}
	d.page = newPage(t, o)
	d.page.CaughtUp()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.page.Run(ctx) }()
	d.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		d.stop = func() {}
	}
	return d
}

// memory is a folder whose files need no disk: hours pass within a second here.
func memory(t *testing.T) string {
	t.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "weir-statuspage-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// pass lets time pass.
func (d *desk) pass(span time.Duration) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		time.Sleep(10 * time.Second)
		if !d.mute {
			d.sequence++
			d.page.Signals("PANES", d.sequence, window("www.example.org", time.Now(), 8, 8, d.unserved, 0, 0))
		}
	}
	synctest.Wait()
}

func (d *desk) incident(kind schemas.EventType, id string, of schemas.Kind, opened time.Time, sites ...string) {
	d.sequence++
	d.page.Incident("INCIDENTS", d.sequence, &schemas.Event{Type: kind, Time: time.Now(), Sites: sites, Incident: id, Kind: of, Opened: opened,
		Cause: "412.3 requests/s from 198.51.100.7 with user_agent=\"evil/1.0\"", Signals: []schemas.Signal{{Name: "request_rate", Value: 412.3}}})
}

func (d *desk) posts() []Listed { return d.page.List() }

func (d *desk) said(kind NoticeKind) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, notice := range d.notices {
		if notice.Kind == kind {
			n++
		}
	}
	return n
}

func (d *desk) act(a Action) Post {
	d.t.Helper()
	post, err := d.page.Act(a)
	if err != nil {
		d.t.Fatal(err)
	}
	synctest.Wait()
	return post
}

func TestADraftWaitsForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		defer func() { d.stop() }()
		d.pass(5 * time.Minute)
		opened := time.Now()
		d.unserved = 0.4
		d.incident(schemas.IncidentOpened, "i000101-000500", schemas.Flood, opened, "www.example.org", "intranet.example.org")
		d.pass(40 * time.Minute)
		posts := d.posts()
		if len(posts) != 1 || posts[0].Standing != Draft {
			t.Fatalf("posts %+v, want one draft", posts)
		}
		if d.said(DraftReady) != 1 || d.said(Automatically) != 0 || d.said(UpdateDue) != 0 {
			t.Errorf("notices %+v", d.notices)
		}
		if got := posts[0].NewText.In("en", ""); !strings.Contains(got, "some visitors of Website wait long") {
			t.Errorf("the draft says %q", got)
		}
		if got, want := posts[0].Heading(), posts[0].NewTitle["en"]; got == "" || got != want {
			t.Errorf("the heading is %q, want the first language's: %q", got, want)
		}
		post := d.act(Action{Do: "publish", By: "anna"})
		if post.Standing != Public || post.Updates[0].By != "anna" || !post.Began.Equal(opened) {
			t.Errorf("published %+v", post)
		}
		if due := post.Due(); !due.Equal(post.Published.Add(30 * time.Minute)) {
			t.Errorf("the next update is promised for %s, published %s", due, post.Published)
		}
		// Reminded when it is due, and again, but not for ever.
		d.pass(29 * time.Minute)
		if d.said(UpdateDue) != 0 {
			t.Error("reminded before it was due")
		}
		d.pass(2 * time.Minute)
		if d.said(UpdateDue) != 1 {
			t.Errorf("reminded %d times when it was due", d.said(UpdateDue))
		}
		d.pass(130 * time.Minute)
		if d.said(UpdateDue) != reminders {
			t.Errorf("reminded %d times in all, want %d", d.said(UpdateDue), reminders)
		}
		d.act(Action{Do: "update", Post: post.ID, By: "ben", Stage: Identified, Next: time.Hour})
		d.unserved = 0
		d.pass(30 * time.Minute)
		d.incident(schemas.IncidentClosed, "i000101-000500", schemas.Flood, opened, "www.example.org")
		d.pass(time.Minute)
		if d.said(SeemsOver) != 1 {
			t.Errorf("said %d times that it seems over", d.said(SeemsOver))
		}
		if got := d.posts()[0]; !got.Resolved.IsZero() {
			t.Error("weir resolved what a person published")
		}
		d.act(Action{Do: "resolve", Post: post.ID, By: "anna"})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(d.sayings); n != 3 || !d.sayings[2].Over || d.sayings[0].Over || d.sayings[0].Link != "" {
			t.Errorf("said to the public: %+v", d.sayings)
		}
		audit := d.posts()[0].Audit
		var who []string
		for _, e := range audit {
			if e.By != byWeir {
				who = append(who, string(e.Do)+" "+e.By)
			}
		}
		if got := strings.Join(who, ", "); got != "publish anna, update ben, resolve anna" {
			t.Errorf("audit: %s", got)
		}
		// What a post-mortem lists, from the file alone: by the incident, or by the time.
		for _, about := range []string{"i000101-000500", "another"} {
			from := opened
			if about != "another" {
				from = time.Now()
			}
			steps, err := Steps(d.page.o.Dir, about, []string{"www.example.org"}, from, time.Now())
			if err != nil || len(steps) != 3 || steps[0].Do != doPublish || steps[1].By != "ben" || steps[2].Do != doResolve || steps[0].Title["en"] == "" || steps[0].Text["en"] == "" {
				t.Errorf("%s: %+v, %v", about, steps, err)
			}
		}
		if steps, err := Steps(d.page.o.Dir, "another", []string{"www.example.org"}, opened.Add(-time.Hour), opened); err != nil || len(steps) > 0 {
			t.Errorf("of an hour in which nothing was said: %+v, %v", steps, err)
		}
		if steps, err := Steps(d.page.o.Dir, "another", []string{"shop.example.org"}, opened, time.Now()); err != nil || len(steps) > 0 {
			t.Errorf("of another site: %+v, %v", steps, err)
		}
		path := filepath.Join(d.page.o.Dir, journalName)
		journal, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := t.TempDir()
		if err := os.WriteFile(filepath.Join(damaged, journalName), append(journal, "{\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if steps, err := Steps(damaged, "i000101-000500", nil, opened, opened); err == nil || len(steps) != 3 {
			t.Errorf("with a damaged last line: %d steps, %v", len(steps), err)
		}
	})
}

func TestAutomaticAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{AutomaticAfter: 10 * time.Minute})
		defer func() { d.stop() }()
		d.pass(5 * time.Minute)
		opened := time.Now()
		d.unserved = 0.4
		d.incident(schemas.IncidentOpened, "i1", schemas.Flood, opened, "www.example.org")
		d.pass(9 * time.Minute)
		if d.posts()[0].Standing != Draft {
			t.Fatal("published before its time")
		}
		d.pass(2 * time.Minute)
		post := d.posts()[0]
		if post.Standing != Public || post.Updates[0].By != byWeir || d.said(Automatically) != 1 {
			t.Fatalf("not published by itself: %+v", post)
		}
		// It keeps its own promises, and asks nobody for updates.
		d.pass(40 * time.Minute)
		if post = d.posts()[0]; len(post.Updates) != 2 || d.said(UpdateDue) != 0 {
			t.Errorf("%d updates after the promised time, %d reminders", len(post.Updates), d.said(UpdateDue))
		}
		d.unserved = 0
		d.incident(schemas.IncidentClosed, "i1", schemas.Flood, opened, "www.example.org")
		d.pass(9 * time.Minute)
		if !d.posts()[0].Resolved.IsZero() {
			t.Error("resolved at once: an attack returns")
		}
		d.pass(2 * time.Minute)
		if d.posts()[0].Resolved.IsZero() {
			t.Error("not resolved by itself")
		}
	})
}

func TestNothingIsSaidOfWhatNobodyNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{AutomaticAfter: 10 * time.Minute})
		defer func() { d.stop() }()
		d.pass(5 * time.Minute)
		d.incident(schemas.IncidentOpened, "i1", schemas.Flood, time.Now(), "www.example.org")
		d.incident(schemas.IncidentOpened, "i2", schemas.Crowd, time.Now(), "www.example.org")
		d.incident(schemas.IncidentOpened, "i3", schemas.Flood, time.Now(), "intranet.example.org")
		d.pass(30 * time.Minute)
		posts := d.posts()
		if len(posts) != 1 || posts[0].Standing != Draft {
			t.Fatalf("%+v, want a draft of the flood alone", posts)
		}
		if got := posts[0].NewText.In("en", ""); !strings.Contains(got, "Visitors are being served") || strings.Contains(got, "measures") {
			t.Errorf("nothing is enforced, and the draft says %q", got)
		}
		d.page.Decision([]schemas.Event{{Type: schemas.DecisionAdded, Time: time.Now(), Sites: []string{"www.example.org"}, Decision: &schemas.Decision{
			ID: "i1-1", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.7", Expires: time.Now().Add(time.Minute),
		}}}, false)
		if got := d.posts()[0].NewText.In("en", ""); !strings.Contains(got, "Protective measures are in place, and visitors are being served") {
			t.Errorf("with a measure, the draft says %q", got)
		}
		d.pass(2 * time.Minute)
		if got := d.posts()[0].NewText.In("en", ""); strings.Contains(got, "measures") {
			t.Errorf("when it has expired, the draft says %q", got)
		}
	})
}

// A crowd that breaks the site is worth words; a silent site, of which nothing is
// measured, too.
func TestWhatElseNeedsWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{AutomaticAfter: 10 * time.Minute})
		defer func() { d.stop() }()
		d.unserved = 0.3
		d.pass(5 * time.Minute)
		d.incident(schemas.IncidentOpened, "i1", schemas.Crowd, time.Now(), "www.example.org")
		d.pass(time.Minute)
		if len(d.posts()) != 1 {
			t.Fatalf("%d posts of a crowd that breaks the site", len(d.posts()))
		}
		d.mute = true
		d.incident(schemas.IncidentUpdated, "i1", schemas.Silent, time.Now(), "www.example.org")
		d.pass(20 * time.Minute)
		if d.posts()[0].Standing != Public {
			t.Error("a silent site was not published")
		}
	})
}

// Two hundred incidents in a minute are one story.
func TestAFloodOfIncidentsIsOnePost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		defer func() { d.stop() }()
		d.unserved = 0.5
		for i := range 200 {
			id := time.Now().Format("i060102-150405.000000000")
			d.incident(schemas.IncidentOpened, id, schemas.Flood, time.Now(), estate[i%len(estate)].Site)
			time.Sleep(300 * time.Millisecond)
		}
		d.pass(time.Minute)
		posts := d.posts()
		if len(posts) != 1 || len(posts[0].Components) != len(estate) || len(posts[0].Incidents) != 200 || d.said(DraftReady) != 1 {
			t.Errorf("%d posts, %d components, %d incidents, %d notices", len(posts), len(posts[0].Components), len(posts[0].Incidents), d.said(DraftReady))
		}
	})
}

// After a restart the same incident is not drafted again, nobody is reminded again, and
// what was promised is still due.
func TestPostsOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := memory(t)
		d := newDesk(t, Options{Dir: dir})
		d.unserved = 0.4
		d.pass(5 * time.Minute)
		d.incident(schemas.IncidentOpened, "i1", schemas.Flood, time.Now(), "www.example.org")
		d.pass(time.Minute)
		post := d.act(Action{Do: "publish", By: "anna", Text: "Words of a person."})
		d.pass(31 * time.Minute)
		before := d.posts()
		// As after kill -9: what is on disk, and no more.
		again := newDesk(t, Options{Dir: dir})
		defer func() { again.stop() }()
		d.stop()
		again.sequence, again.unserved = d.sequence, 0.4
		again.incident(schemas.IncidentOpened, "i1", schemas.Flood, time.Now(), "www.example.org")
		again.pass(time.Minute)
		after := again.posts()
		if len(after) != 1 || after[0].Version != before[0].Version || after[0].Updates[0].Text.In("en", "") != "Words of a person." {
			t.Errorf("%+v, want what was there before: %+v", after, before)
		}
		if again.said(UpdateDue) != 0 || again.said(DraftReady) != 0 {
			t.Errorf("said again: %+v", again.notices)
		}
		again.pass(30 * time.Minute)
		if again.said(UpdateDue) != 1 {
			t.Errorf("reminded %d times of %s", again.said(UpdateDue), post.Due())
		}
	})
}

// Whatever clients send, a draft holds nothing of it: no address, no id, no trait.
func TestDraftsTellAttackersNothing(t *testing.T) {
	digits := regexp.MustCompile(`\d+`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"www.example.org", "shop.example.org", "git.example.org"}), 1, 3).Draw(t, "sites")
		kind := rapid.SampledFrom([]schemas.Kind{schemas.Flood, schemas.Scrape, schemas.Scan, schemas.Silent, schemas.Crowd, schemas.Breakage}).Draw(t, "kind")
		p := &Page{o: Options{Components: estate, Zone: time.UTC, UpdateEvery: time.Hour}, ledger: newLedger(estate)}
		p.ledger.Open["i261128-050812"] = openIncident{Sites: names, Kind: kind}
		for _, tag := range Languages() {
			texts, err := Language(tag, "")
			if err != nil {
				t.Fatal(err)
			}
			p.o.Texts = append(p.o.Texts, texts)
		}
		post := Post{ID: "p261128-050900", Components: names, Incidents: []string{"i261128-050812"}, Began: moment, Held: rapid.Bool().Draw(t, "held"),
			Impact: rapid.SampledFrom([]Impact{NoImpact, Minor, Serious, Critical}).Draw(t, "impact")}
		title, text := p.draftWords(&post, moment)
		for _, key := range []string{"draft.update", "draft.resolve"} {
			f := p.facts(&post, moment)
			f.key = key
			_, more := f.words(p.o.Texts)
			for tag, words := range more {
				text[key+tag] = words
			}
		}
		for _, words := range []Words{title, text} {
			for tag, said := range words {
				if found := Telltale(said); found != "" {
					t.Fatalf("%s: %q holds %q", tag, said, found)
				}
				for _, word := range []string{string(kind), "i261128", "botnet", "signature", "agent", "threshold", "block", "rate limit"} {
					if strings.Contains(strings.ToLower(said), word) {
						t.Fatalf("%s: %q holds %q", tag, said, word)
					}
				}
				// Every number is part of a moment.
				rest := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`).ReplaceAllString(said, "")
				if found := digits.FindString(rest); found != "" {
					t.Fatalf("%s: %q holds the number %s", tag, said, found)
				}
			}
		}
	})
}
