package processor

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// fleet is counters of every partition and a detector, with messages between them as they
// would travel: encoded, but at once.
type fleet struct {
	t        testing.TB
	parts    *Parts
	counters [schemas.Partitions]*Counter
	detector *Detector
	e        *edge
	pending  map[int64][]*schemas.Panes // by the second that they close
	shuffle  *rand.Rand                 // of what arrives, nil for none
	counted  int                        // requests in the panes that the detector closed
}

func newFleet(t testing.TB, o Options) *fleet {
	f := &fleet{t: t, e: newEdge(), pending: make(map[int64][]*schemas.Panes)}
	parts, err := NewParts(o)
	if err != nil {
		t.Fatal(err)
	}
	f.parts, f.detector = parts, parts.Detector()
	for i := range f.counters {
		f.counters[i] = parts.Counter(schemas.Partitions)
	}
	return f
}

// second counts the rows of one second in every partition and hands over what closes.
func (f *fleet) second(rows []schemas.Request, level int64) {
	var messages []*schemas.Panes
	for partition, c := range f.counters {
		var pack PanePack
		closed := func(_ int64, panes []*Pane) {
			for _, p := range panes {
				if err := pack.Add(p); err != nil {
					f.t.Fatal(err)
				}
			}
		}
		b := schemas.NewBuilder("edge", "source")
		for i := range rows {
			r := rows[i]
			if schemas.PartitionOf(r.Client) != partition {
				continue
			}
			if b.Append(&r); b.Len() == 4096 {
				c.Count(b.Batch(), closed)
				b.Reset()
			}
		}
		c.Count(b.Batch(), closed)
		c.Advance(level, closed)
		for _, m := range pack.Finish(&schemas.Panes{Partition: uint32(partition), Closed: c.Closed(), Level: level}) {
			messages = append(messages, f.travel(m))
		}
	}
	f.deliver(messages, f.counters[0].Closed())
}

func (f *fleet) travel(m *schemas.Panes) *schemas.Panes {
	data, err := schemas.EncodePanes(nil, m)
	if err != nil {
		f.t.Fatal(err)
	}
	if m, err = schemas.DecodePanes(data); err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fleet) deliver(messages []*schemas.Panes, until int64) {
	if f.shuffle != nil {
		f.shuffle.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	}
	var seconds Seconds
	for _, m := range messages {
		panes, err := f.detector.Unpack(m)
		if err != nil {
			f.t.Fatal(err)
		}
		seconds.Add(int(m.Partition), panes)
	}
	if f.detector.Closed() == 0 {
		f.detector.Skip(until - 1)
	}
	for s := f.detector.Closed() + 1; s <= until; s++ {
		panes := seconds.Take(s)
		for _, p := range panes {
			f.counted += int(p.Counts[0])
		}
		f.detector.Close(s, panes, f.e.take)
	}
	for _, change := range f.detector.Knowledge().Changes() {
		if err := f.parts.Knowledge().Apply(change); err != nil {
			f.t.Fatal(err)
		}
	}
}

// run replays rows, judged by the edge, second by second.
func (f *fleet) run(rows []schemas.Request) {
	for len(rows) > 0 {
		second := rows[0].Time / 1000
		n := 0
		for n < len(rows) && rows[n].Time/1000 == second {
			action := f.e.judge(n, &rows[n])
			rows[n].Action, rows[n].Fields = []byte(action), rows[n].Fields|schemas.FieldAction
			n++
		}
		f.second(rows[:n], second*1000+999)
		rows = rows[n:]
	}
}

func sortedRows(tr *traffic) []schemas.Request {
	slices.SortStableFunc(tr.rows, func(a, b schemas.Request) int { return int(a.Time - b.Time) })
	return slices.Clone(tr.rows)
}

// brief is 25 ordinary minutes, then a botnet among the visitors, and three minutes more.
func brief(seed uint64) (*traffic, int64) {
	t := newTraffic(seed)
	t.people(0, 31*minute, 0.8)
	t.botnet(25*minute, 28*minute, 3000, 1200)
	return t, 25 * minute
}

// TestPartitionsSeeWhatOneSees: counters of eight partitions and a detector come to the
// incidents and decisions that one Processor comes to.
func TestPartitionsSeeWhatOneSees(t *testing.T) {
	tr, _ := brief(1)
	rows := sortedRows(tr)
	want, _ := run(t, make1(t, small), tr.batches(500))
	f := newFleet(t, small)
	f.run(rows)
	if a, b := kinds(want.log), kinds(f.e.log); !slices.Equal(a, b) {
		t.Errorf("one sees %v, eight see %v", a, b)
	}
	if a, b := want.log[0], f.e.log[0]; a.Incident != b.Incident || !a.Time.Equal(b.Time) {
		t.Errorf("one opens %s at %s, eight %s at %s", a.Incident, a.Time, b.Incident, b.Time)
	}
	values := func(log []schemas.Event) (out []string) {
		for _, e := range log {
			if e.Decision != nil && e.Type == schemas.DecisionAdded {
				out = append(out, fmt.Sprint(e.Action, " ", e.Value))
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	if a, b := values(want.log), values(f.e.log); !slices.Equal(a, b) {
		t.Errorf("one decides\n%q\neight decide\n%q", a, b)
	}
	open := 0
	for _, c := range f.counters {
		for _, s := range c.sites {
			for _, p := range s.panes {
				open += int(p.Counts[0])
			}
		}
	}
	if f.counted+open != len(rows) {
		t.Errorf("%d requests were counted and %d are open, of %d", f.counted, open, len(rows))
	}
}

// TestPanesHaveNoOrder: a second's panes, in any order, give the same events byte for byte.
func TestPanesHaveNoOrder(t *testing.T) {
	tr, _ := brief(2)
	tr.rows = sortedRows(tr)
	events := func(seed uint64) string {
		f := newFleet(t, small)
		if seed > 0 {
			f.shuffle = rand.New(rand.NewPCG(seed, 0))
		}
		f.run(slices.Clone(tr.rows))
		return fmt.Sprint(lines(t, f.e.log))
	}
	want := events(0)
	if len(want) < 1000 {
		t.Fatalf("only %s: the test shows nothing", want)
	}
	for seed := range uint64(1) {
		if got := events(seed + 1); got != want {
			t.Errorf("seed %d: other events", seed)
		}
	}
}

// TestRepeatedPanesReplace: whatever comes twice counts once, and the last counts.
func TestRepeatedPanesReplace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Seconds
		want := make(map[string]*Pane)
		for range rapid.IntRange(1, 30).Draw(t, "panes") {
			partition := rapid.IntRange(0, schemas.Partitions-1).Draw(t, "partition")
			p := &Pane{Pane: new(window.Pane), Site: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "site"), Second: rapid.Int64Range(1, 3).Draw(t, "second")}
			p.Counts[0] = rapid.Uint64Range(1, 99).Draw(t, "requests")
			s.Add(partition, []*Pane{p})
			want[fmt.Sprint(partition, p.Site, p.Second)] = p
		}
		for second := int64(1); second <= 3; second++ {
			last := ""
			for _, p := range s.Take(second) {
				found := false
				for key, w := range want {
					if w == p {
						found = true
						delete(want, key)
						if order := key[:1]; order < last {
							t.Errorf("partition %s after %s", order, last)
						} else {
							last = order
						}
					}
				}
				if !found {
					t.Errorf("a pane that was replaced: %+v", p.Site)
				}
			}
		}
		if len(want) > 0 || s.Len() != 0 {
			t.Errorf("%d panes are lost, %d left", len(want), s.Len())
		}
	})
}

// TestACounterGoesOnWhereItWasSaved compares the panes of a counter that was saved and
// loaded in mid-attack with those of one that was not.
func TestACounterGoesOnWhereItWasSaved(t *testing.T) {
	tr, _ := brief(3)
	rows := sortedRows(tr)
	parts, err := NewParts(small)
	if err != nil {
		t.Fatal(err)
	}
	c := parts.Counter(schemas.Partitions)
	var got, want bytes.Buffer
	into := func(w *bytes.Buffer) func(int64, []*Pane) {
		return func(second int64, panes []*Pane) {
			for _, p := range panes {
				data, err := p.Pane.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(w, "%d %s %x %d %d %x %q\n", second, p.Site, data, p.Sample.Len(), p.Sample.Level(), p.Served, p.Found.text)
			}
		}
	}
	batches := tr.batches(300)
	half := len(rows) * 9 / 10 / 300
	for _, b := range batches[:half] {
		c.Count(b, func(int64, []*Pane) {})
	}
	var saved bytes.Buffer
	if err := c.Save(&saved); err != nil {
		t.Fatal(err)
	}
	q := parts.Counter(schemas.Partitions)
	if err := q.Load(bytes.NewReader(saved.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, b := range batches[half:] {
		c.Count(b, into(&want))
		q.Count(b, into(&got))
	}
	if want.Len() < 10_000 || got.String() != want.String() {
		t.Errorf("%d bytes of panes, %d without a restart", got.Len(), want.Len())
	}
}

// TestADetectorGoesOnWhereItWasSaved replaces the detector in mid-attack by one that
// loads what was saved 20 s before and is given the panes since.
func TestADetectorGoesOnWhereItWasSaved(t *testing.T) {
	tr, _ := brief(1)
	was, is := goesOn(t, tr, func(log []schemas.Event, _ int64) bool { return len(log) > 0 }, 2)
	for _, length := range []window.Length{window.TenSeconds, window.OneMinute, window.TenMinutes} {
		sameWindow(t, was, is, length)
	}
}

// goesOn holds what a detector that was saved at a moment comes to against what it came to, in no fewer events than least. It
// returns both.
func goesOn(t *testing.T, tr *traffic, save func(log []schemas.Event, closed int64) bool, least int) (was, is *Detector) {
	t.Helper()
	rows := sortedRows(tr)
	// All panes that there were, second by second, and what followed.
	type second struct {
		at       int64
		messages []*schemas.Panes
		events   []string
	}
	var log []second
	var saved bytes.Buffer
	pieces := make(map[int64][]byte) // of the long windows
	f := newFleet(t, small)
	savedAt := int64(0)
	for len(rows) > 0 {
		at, n := rows[0].Time/1000, 0
		for n < len(rows) && rows[n].Time/1000 == at {
			n++
		}
		before := len(f.e.log)
		var messages []*schemas.Panes
		for partition, c := range f.counters {
			var pack PanePack
			b := schemas.NewBuilder("e", "s")
			for i := range rows[:n] {
				if schemas.PartitionOf(rows[i].Client) == partition {
					b.Append(&rows[i])
				}
			}
			closed := func(_ int64, panes []*Pane) {
				for _, p := range panes {
					if err := pack.Add(p); err != nil {
						t.Fatal(err)
					}
				}
			}
			c.Count(b.Batch(), closed)
			c.Advance(at*1000+999, closed)
			for _, m := range pack.Finish(&schemas.Panes{Partition: uint32(partition), Closed: c.Closed()}) {
				messages = append(messages, f.travel(m))
			}
		}
		until := f.counters[0].Closed()
		f.deliver(messages, until)
		log = append(log, second{at: until, messages: messages, events: lines(t, f.e.log[before:])})
		if number := (until+1)/StepSeconds - 1; saved.Len() == 0 && until > 0 && pieces[number] == nil {
			var w bytes.Buffer
			if _, err := f.detector.SaveSteps(&w, number); err != nil {
				t.Fatal(err)
			}
			pieces[number] = w.Bytes()
		}
		if saved.Len() == 0 && save(f.e.log, f.detector.Closed()) {
			savedAt = f.detector.Closed()
			if err := f.detector.Save(&saved); err != nil {
				t.Fatal(err)
			}
		}
		rows = rows[n:]
	}
	d := f.parts.Detector()
	if err := d.Load(bytes.NewReader(saved.Bytes())); err != nil {
		t.Fatal(err)
	}
	due := 0 // steps of the pieces before
	last := d.LoadSteps(func(number int64) ([]byte, error) {
		if n := stepsHeld(d); n != due {
			t.Errorf("%d steps are restored when piece %d is loaded, %d are in those before: they wait in memory", n, number, due)
		}
		if len(pieces[number]) > 0 {
			due += stepsOf(t, f.parts.Detector(), pieces[number], savedAt)
		}
		return pieces[number], nil
	}, func(err error) { t.Error(err) })
	if newest := slices.Max(slices.Collect(maps.Keys(pieces))); last != newest || due < 50 {
		t.Errorf("piece %d was restored last, %d steps in all; %d is the newest", last, due, newest)
	}
	var seconds Seconds
	for _, s := range log {
		for _, m := range s.messages {
			if m.Closed <= savedAt-FillSeconds {
				continue
			}
			panes, err := d.Unpack(m)
			if err != nil {
				t.Fatal(err)
			}
			seconds.Add(int(m.Partition), panes)
		}
	}
	for s := savedAt - FillSeconds + 1; s <= savedAt; s++ {
		d.Fill(s, seconds.Take(s))
	}
	d.Filled()
	events := 0
	for _, s := range log {
		if s.at <= savedAt {
			continue
		}
		var got []schemas.Event
		for at := d.Closed() + 1; at <= s.at; at++ {
			d.Close(at, seconds.Take(at), func(e schemas.Event) { got = append(got, e) })
		}
		if a, b := fmt.Sprint(lines(t, got)), fmt.Sprint(s.events); a != b {
			t.Fatalf("second %d after the restart:\n%s\nwithout one:\n%s", s.at-savedAt, a, b)
		}
		events += len(got)
	}
	if events < least {
		t.Errorf("only %d events after the restart: the test shows little", events)
	}
	return f.detector, d
}
