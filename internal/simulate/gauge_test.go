package simulate

import (
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestGauge: there are vitals of every second, which have every request once; connections that are held
// fill nginx's places, and the log falls silent under them.
func TestGauge(t *testing.T) {
	s, err := FindScenario("slowloris")
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Config(Params{Seed: 3, Base: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var lines, before, silenced, requests, most int64
	var last time.Time
	tell := func(v *schemas.Vitals) {
		if !last.IsZero() && v.Time.Sub(last) != time.Second {
			t.Fatalf("%s after %s", v.Time, last)
		}
		last = v.Time
		requests += int64(v.Nginx.Requests)
		most = max(most, v.Nginx.Reading)
		if v.Nginx.Handled > v.Nginx.Accepted || v.Nginx.Active > places+20 {
			t.Fatalf("impossible: %+v", *v.Nginx)
		}
	}
	g := NewGauge(&c, "edge")
	if err := Run(c, func(r *Record) error {
		lines++
		switch since := r.Sent.Sub(c.Begins()); {
		case since < 0 && since > -4*time.Minute:
			before++
		case since > time.Minute && since < 5*time.Minute:
			silenced++
		}
		g.Add(r, tell)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	g.End(tell)
	if requests > lines || lines-requests > 5 || last.Before(c.Start.Add(c.End()).Add(-2*time.Second)) {
		t.Errorf("%d requests in the vitals up to %s, %d lines", requests, last, lines)
	}
	if most < places/2 || silenced > before/4 {
		t.Errorf("at most %d connections held; %d lines before, %d then", most, before, silenced)
	}
}
