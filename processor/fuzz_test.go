package processor

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// bounded fails where reading some bytes took memory out of all proportion: what is counted
// in them has to be there.
func bounded(t *testing.T, data []byte, read func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if took, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20+400*len(data)); took > most {
		t.Fatalf("%d bytes took %d bytes to read, want at most %d", len(data), took, most)
	}
}

// fed are parts with something to save: a counter, a detector, and what they know.
func fed(tb testing.TB) (*Parts, *Counter, *Detector) {
	parts, err := NewParts(small)
	if err != nil {
		tb.Fatal(err)
	}
	counter, detector := parts.Counter(1), parts.Detector()
	tr, _ := story(3)
	b := schemas.NewBuilder("edge", "log")
	for i := range tr.rows {
		if i%7 == 0 && b.Fits(&tr.rows[i]) {
			b.Append(&tr.rows[i])
		}
	}
	counter.Count(b.Batch(), func(second int64, panes []*Pane) {
		for detector.Closed() != 0 && detector.Closed() < second-1 {
			detector.Close(detector.Closed()+1, nil, func(schemas.Event) {})
		}
		kept := make([]*Pane, len(panes))
		for i, p := range panes {
			w := new(PanePack)
			if err := w.Add(p); err != nil {
				tb.Fatal(err)
			}
			for _, m := range w.Finish(&schemas.Panes{Level: second * 1000, Closed: second}) {
				all, err := detector.Unpack(m)
				if err != nil {
					tb.Fatal(err)
				}
				kept[i] = all[0]
			}
		}
		if detector.Closed() == 0 {
			detector.Skip(second - 1)
		}
		detector.Close(second, kept, func(schemas.Event) {})
	})
	return parts, counter, detector
}

// FuzzRestore reads the content of snapshots, without the seal that no chance change
// survives: a counter's, a detector's, and what counters know.
func FuzzRestore(f *testing.F) {
	parts, counter, detector := fed(f)
	snapshot := func(kind byte, write func(*state.Writer) error) {
		w := new(state.Writer)
		if err := write(w); err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{kind}, w.Bytes...))
	}
	snapshot(0, func(w *state.Writer) error { counter.write(w); return nil })
	snapshot(1, detector.write)
	snapshot(2, detector.Knowledge().Snapshot)
	for _, change := range detector.Knowledge().Changes() {
		f.Add(append([]byte{3}, change...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		bounded(t, data, func() {
			r := state.NewReader(data[1:])
			switch data[0] & 3 {
			case 0:
				c := parts.Counter(64)
				c.read(r)
				if r.End(); r.Err() == nil { // what was read can be written, and counted on
					c.write(new(state.Writer))
				}
			case 1:
				d := parts.Detector()
				d.read(r)
				if r.End(); r.Err() == nil {
					if err := d.write(new(state.Writer)); err != nil {
						t.Fatal(err)
					}
				}
			case 2:
				k := NewKnowledge()
				if err := k.Restore(r); err == nil {
					if err := k.Snapshot(new(state.Writer)); err != nil {
						t.Fatal(err)
					}
				}
			case 3:
				_ = NewKnowledge().Apply(data[1:]) // an error is all that may follow
			}
		})
	})
}

// FuzzLoadParts reads whole snapshots, sealed.
func FuzzLoadParts(f *testing.F) {
	parts, counter, detector := fed(f)
	for kind, save := range []func(*bytes.Buffer) error{
		func(b *bytes.Buffer) error { return counter.Save(b) }, func(b *bytes.Buffer) error { return detector.Save(b) },
	} {
		var b bytes.Buffer
		b.WriteByte(byte(kind))
		if err := save(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		bounded(t, data, func() {
			if data[0]&1 == 0 {
				_ = parts.Counter(64).Load(bytes.NewReader(data[1:])) // an error is all that may follow
			} else {
				_ = parts.Detector().Load(bytes.NewReader(data[1:]))
			}
		})
	})
}
