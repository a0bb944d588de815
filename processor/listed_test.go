package processor

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// odd is an attack on pages that there are, from hosts that do all that a browser does but for one thing.
func odd(seed uint64, change func(tr *traffic, r *schemas.Request)) (tr *traffic, begins int64) {
	tr = newTraffic(seed)
	begins = 15 * minute
	tr.people(0, begins+4*minute, 1.5)
	for i := range tr.rows { // some of what people do has a query
		if i%5 == 0 {
			tr.rows[i].Query = []byte("page=2")
		}
	}
	clients := make([]netip.Addr, 1200)
	for i := range clients {
		clients[i] = tr.client()
	}
	from := len(tr.rows)
	for i := range 3600 {
		p := browsers[tr.r.IntN(len(browsers))]
		tr.add(begins+tr.r.Int64N(3*minute), clients[i%len(clients)], &p, fmt.Sprintf("/page%d", int(tr.r.ExpFloat64()*8)), "", false, 200)
		change(tr, &tr.rows[len(tr.rows)-1])
	}
	for i := from; i < len(tr.rows); i++ {
		tr.rows[i].Duration = 21_000 // marks them, for the test alone
	}
	return tr, begins
}

func word(tr *traffic) string {
	var b [6]byte
	for i := range b {
		b[i] = "bcdfghjklmnpqrstvwxyz"[tr.r.IntN(21)]
	}
	return string(b[:])
}

// What nothing sets apart but that each request has another agent, or another key in its query, is stopped by
// that: no value of these is shared by two. And the attack teaches the site none of them, though it is served.
func TestUnknownAgentsAndKeysAreStopped(t *testing.T) {
	for name, c := range map[string]struct {
		of     schemas.Listed
		change func(tr *traffic, r *schemas.Request)
		taught string // a query with which one client comes before
	}{
		"agents": {schemas.ListedAgents, func(tr *traffic, r *schemas.Request) {
			r.UserAgent = fmt.Appendf(nil, "Mozilla/5.0 (%s; %s) Firefox/140.0", word(tr), word(tr))
		}, ""},
		"query keys": {schemas.ListedQueries, func(tr *traffic, r *schemas.Request) { r.Query = []byte(word(tr) + "=1") }, ""},
		"query keys behind those that one made known": {schemas.ListedQueries, func(tr *traffic, r *schemas.Request) {
			r.Query = []byte("aa=1&bb=1&cc=1&dd=1&ee=1&" + word(tr) + "=1")
		}, "aa=1&bb=1&cc=1&dd=1&ee=1"},
	} {
		t.Run(name, func(t *testing.T) {
			tr, begins := odd(5, c.change)
			if c.taught != "" {
				tr.add(3*minute, tr.client(), &browsers[0], "/page1", "", false, 200)
				tr.rows[len(tr.rows)-1].Query = []byte(c.taught)
			}
			lists := 0
			e := newEdge()
			o := small
			o.Known = func(at time.Time, list *schemas.SiteList) {
				e.know(at, list)
				if lists++; list.Of == c.of && len(list.Entries) > 6+len(schemas.LinkKeys) {
					t.Errorf("the attack taught %q", list.Entries)
				}
			}
			batches := tr.batches(1000)
			actions := e.run(make1(t, o), batches)
			var stopped, bots, touched, people int
			for i := range tr.rows {
				r := &tr.rows[i]
				switch stop := actions[i].Severity() > 0; {
				case r.Time < start+begins+60_000:
				case r.Duration == 21_000:
					if bots++; stop {
						stopped++
					}
				default:
					if people++; stop {
						touched++
					}
				}
			}
			if float64(stopped) < .95*float64(bots) || float64(touched) > .02*float64(people) || lists == 0 {
				t.Errorf("%d of %d of the attack's requests stopped, %d of %d others, %d lists told", stopped, bots, touched, people, lists)
			}
			if !slices.ContainsFunc(e.log, func(x schemas.Event) bool {
				return x.Type == schemas.DecisionAdded && strings.Contains(x.Value, c.of.Trait().String()+`="no"`)
			}) {
				t.Errorf("no decision asks whether %s are known", c.of)
			}
		})
	}
}

// A browser's new version, which everybody has within a day, is known before it comes; and who follows a campaign's
// link is no stranger for that.
func TestANewVersionIsKnown(t *testing.T) {
	p, tr := make1(t, small), newTraffic(3)
	tr.people(0, 20*minute, 1)
	newEdge().run(p, tr.batches(1000))
	s := p.detector.site(tr.site)
	told := s.lists[schemas.ListedAgents].tell(tr.site)
	r := schemas.Request{Fields: ^schemas.Fields(0), UserAgent: []byte("Mozilla/5.0 Firefox/199.0.2"), Path: []byte("/"), Query: []byte("utm_source=mail&fbclid=x")}
	if value, _ := schemas.ListedAgents.Value(told.Set(), &r, nil); value != schemas.PathKnown {
		t.Errorf("a new version is %q among %q", value, told.Entries)
	}
	if value, _ := schemas.ListedQueries.Value(s.lists[schemas.ListedQueries].tell(tr.site).Set(), &r, nil); value != schemas.PathKnown {
		t.Errorf("a campaign's link is %q", value)
	}
	s.d.o.Known = func(time.Time, *schemas.SiteList) {}
	lists := s.resolver()
	if !lists.Known[schemas.ListedQueries](keyHash(s.d.seed, []byte("utm_source")), 0) || lists.Known[schemas.ListedQueries](keyHash(s.d.seed, []byte("x")), 0) {
		t.Error("detection and edges know different keys")
	}
}

// What a list says of agents is nothing where there are more than fit, and what was decided on it ends.
func TestMoreAgentsThanFit(t *testing.T) {
	o := small
	o.Known = func(time.Time, *schemas.SiteList) {}
	s := make1(t, o).detector.site("a.example")
	agents := &s.lists[schemas.ListedAgents]
	letters := func(i int) string {
		return string([]byte{byte('a' + i/17576%26), byte('a' + i/676%26), byte('a' + i/26%26), byte('a' + i%26)})
	}
	s.lists[schemas.ListedPaths].see(1, byAnybody, "/")
	s.lists[schemas.ListedPaths].see(2, byAnybody, "/")
	for i := range schemas.MaxSiteAgents + 2 {
		for client := range uint32(2) {
			agents.see(client+uint32(i)<<1, byAnybody, letters(i))
		}
		if i == 100 && (s.resolver().Known[schemas.ListedAgents] == nil || !s.resolver().Known[schemas.ListedAgents](at("aaaa"), 0)) {
			t.Fatal("agents say nothing")
		}
	}
	if r := s.resolver(); !agents.full || r.Known[schemas.ListedAgents] != nil || r.Known[schemas.ListedPaths] == nil {
		t.Errorf("full %v, lists %v", agents.full, r)
	}
	signature, err := schemas.ParseSignature(`agent_known="no" method="GET"`)
	if err != nil {
		t.Fatal(err)
	}
	s.know.decisions = []*decision{{signature: signature, Decision: schemas.Decision{ID: "i1-1", Action: schemas.Block, Scope: schemas.ScopeSignature}}}
	var removed []string
	s.keepTold(100, func(e schemas.Event) { removed = append(removed, string(e.Type)+" "+e.Reason) })
	if !slices.Equal(removed, []string{"decision.removed lifted: this site has more agents than weir can know"}) {
		t.Errorf("%q", removed)
	}
	var keys pathList
	keys.of = schemas.ListedQueries
	for i := range 20_000 {
		keys.see(uint32(i), byAnybody, letters(i))
	}
	if _, err := schemas.EncodeList(schemas.ListPart{SiteList: *keys.tell("a")}); err != nil || keys.full {
		t.Errorf("%d keys, full %v: %v", len(keys.entries), keys.full, err)
	}
}

// Who makes agents up at some sites costs them their list of agents, and another site none of its pages.
func TestMadeUpAgentsCostNoOtherSiteItsPaths(t *testing.T) {
	o := small
	o.Known = func(time.Time, *schemas.SiteList) {}
	d := make1(t, o).detector
	learn := func(site string, of schemas.Listed, n int) {
		s := d.site(site)
		for i := range n {
			for c := range uint32(2) {
				s.learnFound(foundPath{hash: uint32(i)*7919 + 1, client: uint32(i/100)*2 + c + 1, by: byAnybody, of: of}, fmt.Appendf(nil, "/%d", i))
			}
		}
	}
	const pages = 40_000
	learn("shop.example", schemas.ListedPaths, pages)
	for i := range 16 {
		learn(fmt.Sprintf("decoy%d.example", i), schemas.ListedAgents, schemas.MaxSiteAgents-1)
	}
	if l := &d.site("shop.example").lists[schemas.ListedPaths]; l.full || l.sure != pages {
		t.Errorf("the shop has %d of %d pages left, full %v", l.sure, pages, l.full)
	}
	if d.held.paths > maxPaths || d.held.pathBytes > maxPathBytes {
		t.Errorf("%d entries of %d, %d bytes of %d", d.held.paths, maxPaths, d.held.pathBytes, maxPathBytes)
	}
}

// Where what is known of sites under attack is too much alone, it is found out what may go, though calm ones have little
// to lose or nothing.
func TestCalmSitesHaveLittleToLose(t *testing.T) {
	o := small
	o.Known = func(time.Time, *schemas.SiteList) {}
	d := make1(t, o).detector
	learn := func(site string, n int) {
		s := d.site(site)
		for i := range n {
			for c := range uint32(2) {
				s.learnFound(foundPath{hash: uint32(i)*7919 + 1, client: uint32(i/100)*2 + c + 1, by: byAnybody}, fmt.Appendf(nil, "/%d", i))
			}
		}
	}
	learn("calm.example", 3)
	for i := range 3 {
		name := fmt.Sprintf("attacked%d.example", i)
		d.site(name).know.decisions = []*decision{{Decision: schemas.Decision{ID: "i1-1", Action: schemas.Block, Scope: schemas.ScopeSite}}}
		learn(name, 45_000)
	}
	if d.held.paths > maxPaths || d.held.pathBytes > maxPathBytes {
		t.Errorf("%d entries of %d, %d bytes of %d", d.held.paths, maxPaths, d.held.pathBytes, maxPathBytes)
	}
}

// What was found by a program that knew of paths alone can be read.
func TestFoundPathsOfBefore(t *testing.T) {
	w := &state.Writer{}
	for _, n := range []uint64{foundPaths, 1, 7, 9, byRegular} {
		w.Uint(n)
	}
	w.Text("/a")
	var f found
	r := state.NewReader(w.Bytes)
	f.read(r)
	r.End()
	if want := (foundPath{hash: 7, client: 9, length: 2, by: byRegular}); r.Err() != nil || len(f.list) != 1 || f.list[0] != want {
		t.Errorf("%v: %+v", r.Err(), f.list)
	}
}

// Who takes a detector over knows what it knew, and a state of before, without agents and keys, is one of none.
func TestWhatIsKnownOutlivesARestart(t *testing.T) {
	p, tr := make1(t, small), newTraffic(4)
	tr.people(0, 20*minute, 1)
	for i := range tr.rows {
		tr.rows[i].Query = []byte([]string{"page=1", "q=x&sort=up", "", ""}[i%4])
	}
	newEdge().run(p, tr.batches(1000))
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	q := make1(t, small)
	if err := q.Load(&saved); err != nil {
		t.Fatal(err)
	}
	was, is := p.detector.site(tr.site), q.detector.site(tr.site)
	for of := range schemas.NumListed {
		a, b := was.lists[of].tell(tr.site), is.lists[of].tell(tr.site)
		if !slices.Equal(a.Entries, b.Entries) || was.lists[of].version != is.lists[of].version || was.lists[of].sure != is.lists[of].sure || is.lists[of].of != of {
			t.Errorf("%s: %q, was %q", of, b.Entries, a.Entries)
		}
		if len(was.lists[of].entries) < 2 || !is.know.sure.has(was.lists[of].entries[0].hash) {
			t.Errorf("%s: %d known, which counters do not hear of", of, len(was.lists[of].entries))
		}
	}
	if p.detector.held.paths != q.detector.held.paths || p.detector.held.pathBytes != q.detector.held.pathBytes {
		t.Errorf("%+v, was %+v", q.detector.held, p.detector.held)
	}
	old := was.open()
	old.Agents, old.Queries, old.Estate = nil, nil, nil // a fresh detector has no time yet
	fresh := make1(t, small).detector.site(tr.site)
	r := state.NewReader(nil)
	if fresh.reopen(old, r); r.Err() != nil || len(fresh.lists[schemas.ListedAgents].entries) > 0 {
		t.Error(r.Err())
	}
	old.Queries = []byte{9}
	if fresh.reopen(old, r); r.Err() == nil {
		t.Error("a list that does not hold together was taken")
	}
}

// Whoever sends ever other agents and query keys does not keep a site's new pages from becoming known: people who
// come to them would be strangers in the next attack.
func TestMadeUpAgentsAndKeysLeaveRoomForPages(t *testing.T) {
	p, tr := make1(t, small), newTraffic(6)
	tr.people(0, 20*minute, 1)
	loud := tr.client()
	for at := int64(0); at < 20*minute; at += 25 {
		tr.add(at, loud, &browsers[0], "/", "", false, 200)
		r := &tr.rows[len(tr.rows)-1]
		r.UserAgent = fmt.Appendf(nil, "%s %s%s", word(tr), strings.Repeat("x", 190), word(tr))
		r.Query = fmt.Appendf(nil, "%s&%s&%s&%s&%s&%s", word(tr), word(tr), word(tr), word(tr), word(tr), word(tr))
	}
	for i := range int64(100) { // published meanwhile
		tr.add(15*minute+i*2000, tr.client(), &browsers[0], fmt.Sprintf("/new%d", i), "", false, 200)
	}
	newEdge().run(p, tr.batches(1000))
	s, known := p.detector.site(tr.site), 0
	list := s.lists[schemas.ListedPaths].tell(tr.site).Set()
	for i := range 100 {
		if _, ok := list[fmt.Sprintf("/new%d", i)]; ok {
			known++
		}
	}
	if known < 95 {
		t.Errorf("%d of 100 new pages are known", known)
	}
}

// Whoever makes agents up from a few addresses, by hundreds each as may be, costs the site none that visitors have; and
// what counters take for known for sure is what the list does.
func TestMadeUpAgentsEndNoList(t *testing.T) {
	o := small
	o.Known = func(time.Time, *schemas.SiteList) {}
	d := make1(t, o).detector
	d.know.noting = true
	s := d.site("a.example")
	agents := &s.lists[schemas.ListedAgents]
	learn := func(client uint32, agent string) {
		s.learnFound(foundPath{hash: at(agent), client: client, by: byAnybody, of: schemas.ListedAgents}, []byte(agent))
	}
	visitors := func(day uint32) {
		for i := range uint32(300) { // each agent has a few
			for c := range uint32(3) {
				learn(1<<20+day<<12+3*i+c, "browser"+string([]byte{byte('a' + i/26), byte('a' + i%26)}))
			}
		}
	}
	visitors(0)
	followers := NewKnowledge()
	for day := range uint32(4) {
		for i := range uint32(8200) {
			for c := range uint32(2) { // 41 addresses
				learn((i+c)%41+1, fmt.Sprintf("made-up-%d-%d", day, i))
			}
		}
		for _, message := range d.know.Changes() {
			if err := followers.Apply(message); err != nil {
				t.Fatal(err)
			}
		}
		agents.rest()
		for i := range uint32(300) {
			if agent := "browser" + string([]byte{byte('a' + i/26), byte('a' + i%26)}); !agents.knows(at(agent), 0) || !s.know.sure.has(at(agent)) {
				t.Fatalf("day %d: %s is unknown; full %v, %d entries", day, agent, agents.full, len(agents.entries))
			}
		}
	}
	told := followers.of("a.example")
	for i := range agents.entries {
		if e := &agents.entries[i]; s.know.sure.has(e.hash) != (e.flags&pathSure != 0) {
			t.Fatalf("%s is sure %v, and counters say %v", agents.path(e), e.flags&pathSure != 0, s.know.sure.has(e.hash))
		}
	}
	if s.know.sure.n != agents.sure || told.sure.n != agents.sure {
		t.Errorf("%d are sure, counters take %d for it, those elsewhere %d", agents.sure, s.know.sure.n, told.sure.n)
	}
}

// A list of which there is too much is begun anew after a week of normal traffic, over a restart as well, and a program
// of before can read it.
func TestAFullListIsBegunAnew(t *testing.T) {
	for of := range schemas.NumListed {
		s := make1(t, small).detector.site("a.example")
		s.lists[of] = pathList{of: of, full: true, version: 7}
		for day := range fullDays {
			if !s.lists[of].full {
				t.Fatalf("%s: begun anew after %d days", of, day)
			}
			w := &state.Writer{}
			if s.lists[of].write(w); w.Bytes[0] != 1 {
				t.Errorf("%s: day %d is written as %d, which is no flag", of, day, w.Bytes[0])
			}
			if w = (&state.Writer{}); s.write(w) != nil {
				t.Fatal("it is not written")
			}
			back := make1(t, small).detector.site("a.example")
			r := state.NewReader(w.Bytes)
			if back.read(r); r.Err() != nil || back.lists[of].days != s.lists[of].days || !back.lists[of].full {
				t.Fatalf("%s: %+v came back as %+v: %v", of, s.lists[of], back.lists[of], r.Err())
			}
			s = back
			s.lists[of].rest()
		}
		l := &s.lists[of]
		if l.see(1, byAnybody, "/a"); l.full || len(l.entries) != 1 || l.version < 8 {
			t.Errorf("%s: %+v", of, l)
		}
	}
}

// A program of before gave a list up, and let the counters take all of it for known: none of it would be noted again,
// and what visitors have would be unknown to the edges alone.
func TestWhatWasGivenUpBeforeIsNotedAgain(t *testing.T) {
	s := make1(t, small).detector.site("a.example")
	s.lists[schemas.ListedAgents].full = true
	s.lists[schemas.ListedPaths].see(1, byAnybody, "/")
	s.lists[schemas.ListedPaths].see(2, byAnybody, "/")
	s.know.sure.add(at("/"))
	s.know.sure.add(at("a browser"))
	w := &state.Writer{}
	if err := s.write(w); err != nil {
		t.Fatal(err)
	}
	back := make1(t, small).detector.site("a.example")
	r := state.NewReader(w.Bytes)
	if back.read(r); r.Err() != nil || !back.know.sure.has(at("/")) || back.know.sure.has(at("a browser")) || back.know.sure.n != 1 {
		t.Errorf("%d are known for sure: %v", back.know.sure.n, r.Err())
	}
}

func TestPathSetForgets(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var set pathSet
		want := make(map[uint32]bool)
		for _, n := range rapid.SliceOfN(rapid.Uint32Range(1, 60), 0, 200).Draw(r, "steps") {
			hash := n%40*16 + 3 // many have one home
			if n%3 == 0 {
				set.remove(hash)
				delete(want, hash)
			} else {
				set.add(hash)
				want[hash] = true
			}
			for n := range uint32(40) {
				if h := n*16 + 3; set.has(h) != want[h] {
					r.Fatalf("%d is in it: %v", h, set.has(h))
				}
			}
		}
		if set.n != len(want) {
			r.Fatalf("%d, want %d", set.n, len(want))
		}
	})
}
