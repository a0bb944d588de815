package processor

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/weir-project/weir/processor/window"
)

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
