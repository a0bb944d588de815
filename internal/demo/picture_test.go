package demo

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPictureIsWellFormed(t *testing.T) {
	began, stopped := 20.0, 6.5
	full := Report{AttackBegan: &began, FirstStopped: &stopped}
	for i := range 12 {
		full.Slots = append(full.Slots, Slot{
			From: float64(10 * i), Attack: AttackReport{Sent: 100 * i, Stopped: 60 * i, Reached: 40 * i},
			Visitors: VisitorReport{Requests: 10, Median: 0.2, P95: float64(i)},
		})
	}
	for name, r := range map[string]*Report{"full": &full, "empty": {}, "one quiet slot": {Slots: make([]Slot, 1)}} {
		var b strings.Builder
		if err := r.Picture(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%s: a coordinate is no number", name)
		}
		for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if name == "full" && !strings.Contains(b.String(), "first block, 6.5 s later") {
			t.Error("the first block is not marked")
		}
	}
}

func TestNiceTop(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.3: 0.4, 1: 1, 1.1: 2, 7: 8, 8.5: 10, 117: 200} {
		if got := niceTop(v); got < want*0.999 || got > want*1.001 {
			t.Errorf("niceTop(%g) = %g, want %g", v, got, want)
		}
	}
}
