package processor

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

func TestSaveAndLoadGoOn(t *testing.T) {
	tr, attack := story(2)
	sorted := tr.batches(100)
	cut := 0
	for cut < len(sorted) && sorted[cut].Time[0] < start+attack+90_000 {
		cut++
	}
	p := make1(t, small)
	e, _ := run(t, p, sorted[:cut])
	if len(e.held) == 0 {
		t.Fatal("no decisions before the restart")
	}
	q := reloaded(t, p, small)
	if a, b := p.Sites(), q.Sites(); a[0].Incident == "" || a[0].Incident != b[0].Incident || a[0].Learned != b[0].Learned || a[0].Clients != b[0].Clients {
		t.Errorf("%+v became %+v", a[0], b[0])
	}
	opened := 0
	for _, b := range sorted[cut:] {
		q.Consume(b, e.judge, func(event schemas.Event) {
			if event.Type == schemas.IncidentOpened {
				opened++
			}
			e.take(event)
		})
	}
	if opened > 0 {
		t.Error("the incident was opened once more after the restart")
	}
}

// A log of a moment closes no second; what was saved of it is taken and learned on from.
func TestSavedBeforeAnySecondWasJudged(t *testing.T) {
	tr := newTraffic(1)
	tr.people(0, 20*minute, 0.5)
	batches := tr.batches(1)
	p := make1(t, small)
	p.Consume(batches[0], nil, func(schemas.Event) {})
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	q := make1(t, small)
	if err := q.Load(bytes.NewReader(saved.Bytes())); err != nil {
		t.Fatal(err)
	}
	run(t, q, batches[1:])
	if sites := q.Sites(); len(sites) != 1 || sites[0].Clients == 0 {
		t.Errorf("nothing was learned after it: %+v", sites)
	}
}

func TestLoadRefusesWhatIsNotWhole(t *testing.T) {
	tr := newTraffic(1)
	tr.people(0, 20*minute, 0.5)
	p := make1(t, Options{MaxClients: 1024})
	run(t, p, tr.batches(500))
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{"empty": nil, "text": []byte("hello, hello, hello, hello"), "cut": saved.Bytes()[:saved.Len()-5]}
	flipped := bytes.Clone(saved.Bytes())
	flipped[len(flipped)/2] ^= 1
	bad["a bit flipped"] = flipped
	for name, data := range bad {
		q := make1(t, Options{MaxClients: 1024})
		err := q.Load(bytes.NewReader(data))
		if !errors.Is(err, ErrState) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := make1(t, Options{MaxClients: 1024, Secret: [32]byte{1}})
	if err := other.Load(bytes.NewReader(saved.Bytes())); !errors.Is(err, ErrState) {
		t.Errorf("another secret: %v", err)
	}
}

// FuzzLoad: whatever stands behind a right checksum is refused or makes a processor
// that works.
func FuzzLoad(f *testing.F) {
	o := Options{MaxClients: 1024, SampleClients: 256}
	tr := newTraffic(1)
	tr.people(0, 15*minute, 0.2)
	p := make1(f, o)
	run(f, p, tr.batches(500))
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		f.Fatal(err)
	}
	raw, err := unpack(saved.Bytes())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	next := newTraffic(2)
	next.people(15*minute, 16*minute, 0.5)
	batches := next.batches(500)
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := make1(t, o).read(state.NewReader(raw))
		if err != nil {
			return
		}
		if q.counter.latest < 0 || q.counter.latest > start+100*minute { // a clock of its own takes its time
			return
		}
		for _, b := range batches {
			q.Consume(b, nil, func(schemas.Event) {})
		}
	})
}

// reloaded is what a processor is after a restart, which changes nothing of what it has saved.
func reloaded(t *testing.T, p *Processor, o Options) *Processor {
	t.Helper()
	var saved, again bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	q := make1(t, o)
	if err := q.Load(bytes.NewReader(saved.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := q.Save(&again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(saved.Bytes(), again.Bytes()) {
		t.Error("what was loaded is not what was saved")
	}
	return q
}
