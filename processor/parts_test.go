package processor

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
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
		if saved.Len() == 0 && len(f.e.log) > 0 {
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
	if events < 2 {
		t.Errorf("only %d events after the restart: the test shows little", events)
	}
	for _, length := range []window.Length{window.TenSeconds, window.OneMinute, window.TenMinutes} {
		sameWindow(t, f.detector, d, length)
	}
}

// stepsHeld is how many steps the long windows of all sites hold.
func stepsHeld(d *Detector) (n int) {
	for _, s := range d.sites {
		s.windows.EachStep(0, math.MaxInt64, func(*window.Step) { n++ })
	}
	return n
}

// stepsOf is how many steps of ten minutes before a second a piece has.
func stepsOf(t *testing.T, d *Detector, piece []byte, until int64) (n int) {
	t.Helper()
	read, err := d.readSteps(bytes.NewReader(piece))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range read.sites {
		for _, step := range s.steps {
			if step.End <= until && step.End > until-600 {
				n++
			}
		}
	}
	return n
}

// TestStepsThatAreTooOldStayOut: of what was saved, only what ended within ten minutes of the
// second that the state is of is restored, to the second.
func TestStepsThatAreTooOldStayOut(t *testing.T) {
	tr, _ := brief(1)
	f := newFleet(t, small)
	f.run(sortedRows(tr)[:3000])
	number := f.detector.Closed()/StepSeconds - 3
	var piece, state bytes.Buffer
	if some, err := f.detector.SaveSteps(&piece, number); err != nil || !some {
		t.Fatalf("%t %v", some, err)
	}
	if err := f.detector.Save(&state); err != nil {
		t.Fatal(err)
	}
	read, err := f.parts.Detector().readSteps(bytes.NewReader(piece.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	end := read.sites[0].steps[0].End
	for _, closed := range []int64{end - 1, end, end + 599, end + 600, end + 605} {
		d := f.parts.Detector()
		if err := d.Load(bytes.NewReader(state.Bytes())); err != nil {
			t.Fatal(err)
		}
		d.closed = closed
		if closed < end { // the state was saved within the piece's ten seconds
			if err := d.restoreSteps(read); err != nil {
				t.Fatal(err)
			}
		}
		d.LoadSteps(func(n int64) ([]byte, error) {
			if n != number {
				return nil, nil
			}
			return piece.Bytes(), nil
		}, func(err error) { t.Error(err) })
		there := 0
		d.index[read.sites[0].site].windows.EachStep(0, math.MaxInt64, func(*window.Step) { there++ })
		if want := closed >= end && closed < end+600; there > 0 != want {
			t.Errorf("of a step that ended %d s before there are %d", closed-end, there)
		}
	}
}

// TestStepsWithoutSketchesAreRestoredAsSuch: where the windows of all sites had no room, steps kept
// their counts alone, and a window says from when on it knows more; the next detector's too.
func TestStepsWithoutSketchesAreRestoredAsSuch(t *testing.T) {
	tr, _ := brief(1)
	f := newFleet(t, small)
	rows := sortedRows(tr)
	f.run(rows[:3000])
	f.detector.windows.Bound(1)
	f.run(rows[3000:3200])
	var state bytes.Buffer
	if err := f.detector.Save(&state); err != nil {
		t.Fatal(err)
	}
	d := f.parts.Detector()
	if err := d.Load(&state); err != nil {
		t.Fatal(err)
	}
	d.LoadSteps(func(number int64) ([]byte, error) {
		var piece bytes.Buffer
		some, err := f.detector.SaveSteps(&piece, number)
		if err != nil || !some {
			return nil, err
		}
		return piece.Bytes(), nil
	}, func(err error) { t.Error(err) })
	name := f.detector.sites[0].name
	var want, got window.Detail
	f.detector.Detail(name, window.TenMinutes, &want)
	d.Detail(name, window.TenMinutes, &got)
	if want.Seconds == 0 || want.Seconds >= 300 || want.Counts[window.Requests] < 1000 {
		t.Fatalf("%d s of %d requests have sketches: the test does not test it", want.Seconds, want.Counts[window.Requests])
	}
	if got.Seconds != want.Seconds || got.Counts != want.Counts || got.Clients != want.Clients {
		t.Errorf("sketches of %d s, %v clients, counts %v; want %d s, %v, %v", got.Seconds, got.Clients, got.Counts, want.Seconds, want.Clients, want.Counts)
	}
}

// TestPiecesOfOtherNumbersStayOut: the ring's place holds an earlier lap's piece, or a later one.
func TestPiecesOfOtherNumbersStayOut(t *testing.T) {
	tr, _ := brief(1)
	f := newFleet(t, small)
	f.run(sortedRows(tr)[:3000])
	var piece, state bytes.Buffer
	number := f.detector.Closed()/StepSeconds - 3
	if some, err := f.detector.SaveSteps(&piece, number); err != nil || !some {
		t.Fatalf("%t %v", some, err)
	}
	if err := f.detector.Save(&state); err != nil {
		t.Fatal(err)
	}
	d := f.parts.Detector()
	if err := d.Load(&state); err != nil {
		t.Fatal(err)
	}
	if last := d.LoadSteps(func(n int64) ([]byte, error) {
		if n != number-1 {
			return nil, nil
		}
		return piece.Bytes(), nil
	}, func(err error) { t.Error(err) }); last != 0 || stepsHeld(d) != 0 {
		t.Errorf("piece %d came in another's place: %d steps", last, stepsHeld(d))
	}
	broken := errors.New("no answer")
	var failures []error
	last := d.LoadSteps(func(n int64) ([]byte, error) {
		switch n {
		case number:
			return piece.Bytes(), nil
		case number - 1:
			return nil, broken
		case number - 2:
			return piece.Bytes()[:piece.Len()/2], nil
		}
		return nil, nil
	}, func(err error) { failures = append(failures, err) })
	if last != number || len(failures) != 2 || !errors.Is(failures[0], ErrState) || !errors.Is(failures[1], broken) || stepsHeld(d) == 0 {
		t.Errorf("piece %d was restored, and %v", last, failures)
	}
}

// sameWindow holds a window of all sites of a detector that was restored against that of one
// that never died.
func sameWindow(t *testing.T, whole, restored *Detector, length window.Length) {
	t.Helper()
	for _, s := range whole.sites {
		var want, got window.Detail
		whole.Detail(s.name, length, &want)
		if !restored.Detail(s.name, length, &got) {
			t.Errorf("there is no site %s", s.name)
		}
		for k := range want.Top { // what keys are called is known of those of the last minutes
			for i := range want.Top[k] {
				want.Top[k][i].Name = nil
			}
			for i := range got.Top[k] {
				got.Top[k][i].Name = nil
			}
		}
		if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
			t.Errorf("window %d of %s\n%s\nwithout a restart\n%s", length, s.name, a, b)
		}
		if length == window.TenMinutes && s.name != Other && (got.Seconds != 600 || got.Counts[window.Requests] == 0) {
			t.Errorf("%d s of %s, %d requests: the test shows nothing", got.Seconds, s.name, got.Counts[window.Requests])
		}
	}
}

// TestMalformedSteps: pieces of windows that were cut or changed, that are of another secret, or
// that come twice, are refused.
func TestMalformedSteps(t *testing.T) {
	tr, _ := brief(1)
	f := newFleet(t, small)
	f.run(sortedRows(tr)[:3000])
	var w bytes.Buffer
	number := f.detector.Closed()/StepSeconds - 3
	if some, err := f.detector.SaveSteps(&w, number); err != nil || !some {
		t.Fatalf("%t %v", some, err)
	}
	fresh := func() *Detector { return f.parts.Detector() }
	for at := range w.Len() {
		if _, err := fresh().readSteps(bytes.NewReader(w.Bytes()[:at])); !errors.Is(err, ErrState) {
			t.Fatalf("%d of %d bytes: %v", at, w.Len(), err)
		}
		changed := slices.Clone(w.Bytes())
		changed[at] ^= 0x55
		if _, err := fresh().readSteps(bytes.NewReader(changed)); !errors.Is(err, ErrState) {
			t.Fatalf("byte %d changed: %v", at, err)
		}
	}
	o := small
	o.Secret[3] = 9
	others, err := NewParts(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := others.Detector().readSteps(bytes.NewReader(w.Bytes())); !errors.Is(err, ErrState) {
		t.Errorf("of another secret: %v", err)
	}
	var state bytes.Buffer
	if err := f.detector.Save(&state); err != nil {
		t.Fatal(err)
	}
	d := fresh()
	if err := d.Load(&state); err != nil {
		t.Fatal(err)
	}
	steps, err := d.readSteps(&w)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.restoreSteps(steps); err != nil {
		t.Fatal(err)
	}
	if err := d.restoreSteps(steps); !errors.Is(err, ErrState) {
		t.Errorf("twice: %v", err)
	}
}
