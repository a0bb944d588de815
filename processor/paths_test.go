package processor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

func at(path string) uint32 {
	h := uint32(2166136261)
	for _, c := range []byte(path) {
		h = (h ^ uint32(c)) * 16777619
	}
	return max(h, 1)
}

func (l *pathList) see(client uint32, by uint8, path string) bool {
	return l.learn(foundPath{hash: at(path), client: client, by: by}, []byte(path))
}

// What makes a path known: one success while nothing was wrong, two where it may be a secret (of which neither is sure before a third),
// and in an incident two clients that were there before, or one regular.
func TestWhatMakesAPathKnown(t *testing.T) {
	secret := "/reset/a8f93kq0zz81hsu2b77x"
	for _, c := range []struct {
		name  string
		path  string
		seen  []foundPath
		known bool // told to edges
		sure  bool
	}{
		{"one", "/a", []foundPath{{client: 1}}, true, false},
		{"one, twice", "/a", []foundPath{{client: 1}, {client: 1}}, true, false},
		{"two", "/a", []foundPath{{client: 1}, {client: 2}}, true, true},
		{"a secret of one", secret, []foundPath{{client: 1}, {client: 1}}, false, false},
		{"a secret of two", secret, []foundPath{{client: 1}, {client: 2}, {client: 1}, {client: 2}}, true, false},
		{"a secret of three", secret, []foundPath{{client: 1}, {client: 2}, {client: 3}}, true, true},
		{"in an incident, of one", "/a", []foundPath{{client: 1, by: byEstablished}, {client: 1, by: byEstablished}}, false, false},
		{"in an incident, of two", "/a", []foundPath{{client: 1, by: byEstablished}, {client: 2, by: byEstablished}}, true, true},
		{"in an incident, of a regular", "/a", []foundPath{{client: 1, by: byRegular}}, true, false},
		{"in an incident and after", "/a", []foundPath{{client: 1, by: byEstablished}, {client: 1}}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l pathList
			for _, p := range c.seen {
				l.see(p.client, p.by, c.path)
			}
			told := l.tell("a").Entries
			if (len(told) == 1) != c.known || l.knows(at(c.path), 0) != c.known {
				t.Errorf("told %q, known %v", told, l.knows(at(c.path), 0))
			}
			if sure := l.entries[0].flags&pathSure != 0; sure != c.sure || l.knows(at(c.path), 1) != c.sure {
				t.Errorf("sure: %v; without its first client known: %v", sure, l.knows(at(c.path), 1))
			}
		})
	}
}

// TestASecretOfTwoIsNewToEither: what two clients made known one alone would not have, so that neither is found to ask for what is
// known; else a measure of unknown pages seems to touch fewer than it does. It stays so when the list is saved, and a program
// that knows no pairs takes them for sure.
func TestASecretOfTwoIsNewToEither(t *testing.T) {
	const secret, page = "/commit/a8f93kq0zz81hsu2b77x", "/issues"
	var l pathList
	for client := uint32(1); client <= 2; client++ {
		l.see(client, byAnybody, secret)
		l.see(client, byAnybody, page)
	}
	check := func(l *pathList, name string) {
		for client, known := range []bool{true, false, false, true} { // 0 is nobody
			if got := l.knows(at(secret), uint32(client)); got != known || !l.knows(at(page), uint32(client)) {
				t.Errorf("%s: without client %d it is known: %v", name, client, got)
			}
		}
		if told := l.tell("a").Entries; len(told) != 2 || l.sure != 2 {
			t.Errorf("%s: told %q, %d sure", name, told, l.sure)
		}
	}
	check(&l, "found")
	var read, old pathList
	if err := errors.Join(read.fill(l.bytes()), read.pair(l.pairs()), old.fill(l.bytes())); err != nil {
		t.Fatal(err)
	}
	check(&read, "saved")
	if !old.knows(at(secret), 1) {
		t.Error("without its pairs the list is another than before")
	}
	if read.see(2, byAnybody, secret) || !read.see(3, byAnybody, secret) || !read.knows(at(secret), 2) || len(read.pairs()) != 0 {
		t.Error("a third client does not make it sure")
	}
	if read.pair([]byte{7, 0}) == nil || read.pair([]byte{1, 0}) == nil {
		t.Error("pairs are taken for what is not there, or no secret")
	}
}

// However many paths a site answers, the list stays in its bounds, those that two have seen
// stay, and a site with more than fit calls none unknown.
func TestListsOfPathsAreBounded(t *testing.T) {
	var l pathList
	for i := range 1000 {
		l.see(uint32(i%7+1), byAnybody, fmt.Sprintf("/page%d", i))
		l.see(uint32(i%7+2), byAnybody, fmt.Sprintf("/page%d", i))
	}
	for i := range 60_000 {
		l.see(uint32(i), byAnybody, fmt.Sprintf("/%0100d", i))
		if len(l.entries) > schemas.MaxSitePaths || len(l.text)+2*len(l.entries) > schemas.MaxSitePathBytes {
			t.Fatalf("%d paths, %d bytes", len(l.entries), len(l.text))
		}
	}
	if l.full || l.sure != 1000 || !l.knows(at("/page77"), 0) {
		t.Fatalf("full %v, %d sure", l.full, l.sure)
	}
	if _, err := schemas.EncodeList(schemas.ListPart{SiteList: *l.tell("a")}); err != nil {
		t.Error(err)
	}
	var one pathList
	for i := range 10_000 {
		one.see(7, byAnybody, fmt.Sprintf("/x%d", i))
	}
	if len(one.entries) != maxSingles {
		t.Errorf("one client has made %d paths known", len(one.entries))
	}
	for i := range 55_000 {
		for client := range uint32(2) {
			l.see(client+uint32(i)<<1, byAnybody, fmt.Sprintf("/both%d", i))
		}
	}
	if !l.full || len(l.entries) > 0 {
		t.Errorf("full %v with %d paths", l.full, len(l.entries))
	}
	var pending pathList
	for i := range 10_000 {
		pending.see(uint32(i), byEstablished, fmt.Sprintf("/new%d", i))
	}
	if pending.pending != maxPending || len(pending.tell("a").Entries) > 0 {
		t.Errorf("%d wait, %d told", pending.pending, len(pending.tell("a").Entries))
	}
}

func TestListsOfPathsAreSaved(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var l, back pathList
		var finds found
		for _, n := range rapid.SliceOf(rapid.IntRange(0, 5000)).Draw(r, "seen") {
			p := foundPath{client: uint32(n%5) + 1, by: uint8(n % 3), of: schemas.Listed(n % 2)}
			path := "/" + strings.Repeat("abcd", n%50) + fmt.Sprint(n%20)
			p.hash = at(path)
			l.learn(p, []byte(path))
			finds.add(p, []byte(path), paneFound, paneFoundBytes)
		}
		w := &state.Writer{}
		l.write(w)
		in := state.NewReader(w.Bytes)
		back.read(in)
		in.End()
		if in.Err() != nil || !slices.Equal(back.entries, l.entries) || back.sure != l.sure || back.pending != l.pending || back.version != l.version || !slices.Equal(back.tell("a").Entries, l.tell("a").Entries) {
			r.Fatalf("%v: %+v, was %+v", in.Err(), back, l)
		}
		w = &state.Writer{}
		finds.write(w)
		var again found
		in = state.NewReader(w.Bytes)
		again.read(in)
		in.End()
		if in.Err() != nil || !slices.Equal(again.list, finds.list) || string(again.text) != string(finds.text) {
			r.Fatalf("%v: %+v, was %+v", in.Err(), again, finds)
		}
	})
}

func TestSetsOfPaths(t *testing.T) {
	var s pathSet
	for i := range uint32(schemas.MaxSitePaths + 100) {
		if s.has(i*7 + 1) {
			t.Fatal("known before it came")
		}
		if new := s.add(i*7 + 1); new != (i < schemas.MaxSitePaths) {
			t.Fatalf("%d: %v", i, new)
		}
		if s.add(i*7 + 1) {
			t.Fatal("new twice")
		}
	}
	w := &state.Writer{}
	s.write(w)
	var back pathSet
	r := state.NewReader(w.Bytes)
	back.read(r)
	r.End()
	if r.Err() != nil || back.n != s.n || !back.has(8) || back.has(9) {
		t.Error(r.Err(), back.n)
	}
}

// Whether a path is known says something only where edges are told, something is known, and
// all of it fits.
func TestWhenPathsSayAnything(t *testing.T) {
	hears := small
	hears.Known = func(time.Time, *schemas.SiteList) {}
	for _, c := range []struct {
		name string
		o    Options
		see  func(*pathList)
		want bool
	}{
		{"nobody hears", small, func(l *pathList) { l.see(1, byAnybody, "/a"); l.see(2, byAnybody, "/a") }, false},
		{"nothing is known", hears, func(*pathList) {}, false},
		{"nothing is sure", hears, func(l *pathList) { l.see(1, byAnybody, "/a") }, false},
		{"known", hears, func(l *pathList) { l.see(1, byAnybody, "/a"); l.see(2, byAnybody, "/a") }, true},
		{"more than fits", hears, func(l *pathList) { l.full = true }, false},
	} {
		s := make1(t, c.o).detector.site("a.example")
		if c.see(&s.lists[schemas.ListedPaths]); (s.resolver() != nil) != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
	}
}

// Where a site has more paths by now than fit, what was decided on them ends; and what one
// client has made known is not known when it is looked at what a measure would touch.
func TestDecisionsOnPathsEndWhereTooManyAreKnown(t *testing.T) {
	o, told := small, 0
	o.Known = func(time.Time, *schemas.SiteList) { told++ }
	s := make1(t, o).detector.site("a.example")
	s.lists[schemas.ListedPaths].see(1, byAnybody, "/a")
	s.lists[schemas.ListedPaths].see(2, byAnybody, "/a")
	s.lists[schemas.ListedPaths].see(7, byAnybody, "/b")
	if r := s.resolver(); !r.Known[schemas.ListedPaths](at("/b"), 0) || r.Known[schemas.ListedPaths](at("/b"), 7<<32) || !r.Known[schemas.ListedPaths](at("/a"), 1<<32) {
		t.Error("a path is known by what the client itself made known")
	}
	signature, err := schemas.ParseSignature(`path_known="no"`)
	if err != nil {
		t.Fatal(err)
	}
	s.know.decisions = []*decision{
		{signature: signature, Decision: schemas.Decision{ID: "i1-1", Action: schemas.Block, Scope: schemas.ScopeSignature}},
		{Decision: schemas.Decision{ID: "i1-2", Action: schemas.Block, Scope: schemas.ScopeClient}},
	}
	var removed []string
	emit := func(e schemas.Event) { removed = append(removed, string(e.Type)+" "+e.ID) }
	for range 3 {
		s.keepTold(100, emit)
	}
	s.lists[schemas.ListedPaths].see(8, byAnybody, "/c")
	s.keepTold(110, emit)
	if told != 2 || len(removed) > 0 {
		t.Errorf("told %d times, removed %q", told, removed)
	}
	s.lists[schemas.ListedPaths].full = true
	if s.keepTold(120, emit); told != 2 || !slices.Equal(removed, []string{"decision.removed i1-1"}) || len(s.know.decisions) != 1 {
		t.Errorf("told %d times, removed %q", told, removed)
	}
}

// TestPairsOutliveARestart: whoever goes on from what was saved still knows the two clients that made a secret known.
func TestPairsOutliveARestart(t *testing.T) {
	const secret = "/commit/a8f93kq0zz81hsu2b77x"
	p := make1(t, small)
	l := &p.detector.site("www.example.org").lists[schemas.ListedPaths]
	for client := uint32(1); client <= 2; client++ {
		l.see(client, byAnybody, secret)
	}
	l = &reloaded(t, p, small).detector.index["www.example.org"].lists[schemas.ListedPaths]
	if l.knows(at(secret), 1) || l.knows(at(secret), 2) || !l.knows(at(secret), 3) {
		t.Error("it is known to one of the two")
	}
}
