package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccuracy holds the bounds at sizes that run in seconds; the command goes to ten
// million. Without WEIR_TESTDATA there is no real log.
func TestAccuracy(t *testing.T) {
	log := ""
	if data := os.Getenv("WEIR_TESTDATA"); data != "" {
		log = filepath.Join(data, "logs", "elastic_apache_2015.log.gz")
	}
	all, err := kinds(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range all {
		trials := map[int]int{1000: 10, 10_000: 8, 100_000: 2}
		if strings.HasPrefix(kind.name, "uniform") {
			trials[1_000_000] = 1 // where a part no longer keeps what all have
		}
		for n, trials := range trials {
			whole, merged := measure(kind, n, trials, parts, 0)
			for _, c := range []*cell{&whole, &merged} {
				if c.p95 > 0.02 {
					t.Errorf("%s, %d requests, %d parts: 95 %% of the distinct counts are within %s only", c.kind, c.n, c.parts, percent(c.p95))
				}
				if c.entropy > c.allowed {
					t.Errorf("%s, %d requests, %d parts: entropy off by %.3f bit", c.kind, c.n, c.parts, c.entropy)
				}
				if c.missed > 0 || c.outside > 0 || c.counts > 0.01 {
					t.Errorf("%s, %d requests, %d parts: of %d heavy keys %d missed, %d outside their bounds, counts off by %s",
						c.kind, c.n, c.parts, c.heavy, c.missed, c.outside, percent(c.counts))
				}
				if c.quantile > 0.02 {
					t.Errorf("%s, %d requests, %d parts: quantiles off by %s", c.kind, c.n, c.parts, percent(c.quantile))
				}
			}
			if kind.name == "zipf" && whole.heavy == 0 {
				t.Errorf("%s, %d requests: no heavy keys: the test does not test them", kind.name, n)
			}
		}
	}
}

func TestReplaceKeepsTheRest(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sketches.md")
	if err := os.WriteFile(name, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := replace(name, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if want := "before\n" + begin + "\nnew\n" + end + "\nafter\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(name, []byte("no place\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := replace(name, "new\n"); err == nil || !strings.Contains(err.Error(), "are not there") {
		t.Errorf("without a place: %v", err)
	}
}

// TestKeptIsNotMeasuredAgain interrupts: what was measured is there for whoever goes on, and
// only where it was measured the same way.
func TestKeptIsNotMeasuredAgain(t *testing.T) {
	all, err := kinds("")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "kept")
	first, err := openStore(name)
	if err != nil {
		t.Fatal(err)
	}
	whole, merged := measure(all[0], 1000, 4, parts, 9)
	if whole.counted != counted(1000, 4) || whole.counted != distincts(1000) {
		t.Errorf("%d counts, want %d", whole.counted, counted(1000, 4))
	}
	if err := first.add(&whole, &merged, 9); err != nil {
		t.Fatal(err)
	}
	second, err := openStore(name)
	if err != nil {
		t.Fatal(err)
	}
	w, m, ok := second.find(all[0].name, 1000, 4, parts)
	if !ok || row(&w) != row(&whole) || row(&m) != row(&merged) {
		t.Errorf("found %v:\n%s\n%s, want\n%s\n%s", ok, row(&w), row(&m), row(&whole), row(&merged))
	}
	if draw, err := second.drawn(0); draw != 9 || err != nil {
		t.Errorf("goes on with what is drawn by %d, %v", draw, err)
	}
	if _, err := second.drawn(8); err == nil || !strings.Contains(err.Error(), "drawn by 9, not by 8") {
		t.Errorf("mixed with what is drawn by 8: %v", err)
	}
	for _, other := range []struct {
		kind             string
		n, trials, parts int
	}{{"other", 1000, 4, parts}, {all[0].name, 10_000, 4, parts}, {all[0].name, 1000, 5, parts}, {all[0].name, 1000, 4, 8}} {
		if _, _, ok := second.find(other.kind, other.n, other.trials, other.parts); ok {
			t.Errorf("%v was never measured", other)
		}
	}
	if err := os.WriteFile(name, []byte("[{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(name); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("half a line: %v", err)
	}
}
