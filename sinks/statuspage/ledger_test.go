package statuspage

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

func feed(l *ledger, touched float64, rows ...schemas.SignalRow) (counted int) {
	for i := range rows {
		if l.signal(&rows[i], moment, touched) {
			counted++
		}
	}
	return counted
}

func TestWindowTally(t *testing.T) {
	end := moment.Add(-time.Minute)
	for _, c := range []struct {
		name                                           string
		rate, normal, unserved, slow, stopped, touched float64
		want                                           Tally
	}{
		{"all served", 10, 10, 0, 0, 0, 0, Tally{100, 100, 100, 1}},
		{"a tenth fails", 10, 10, .1, 0, 0, 0, Tally{100, 90, 90, 1}},
		{"slow is of those let through", 10, 10, 0, .1, .5, 0, Tally{50, 50, 40, 1}},
		{"what fails slowly is not counted twice", 10, 10, .5, .5, 0, 0, Tally{100, 50, 50, 1}},
		{"a botnet that comes through is not visitors", 1000, 10, .6, 0, 0, 0, Tally{100, 40, 40, 1}},
		{"a botnet that is stopped is not visitors", 1000, 10, 0, 0, .99, 0, Tally{100, 100, 100, 1}},
		{"no baseline yet", 7, 0, 0, 0, 0, 0, Tally{70, 70, 70, 1}},
		{"measures may refuse visitors", 10, 10, 0, 0, 0, .005, Tally{100, 99.5, 99.5, 1}},
		{"nobody came", 0, 10, 0, 0, 0, 0, Tally{}},
		{"everybody was stopped", 10, 10, 0, 0, 1, 0, Tally{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(estate)
			if n := feed(l, c.touched, window("www.example.org", end, c.rate, c.normal, c.unserved, c.slow, c.stopped)...); n != 1 {
				t.Fatalf("%d windows counted, want 1", n)
			}
			var got Tally
			if days := l.Sites["www.example.org"].Days; len(days) > 0 {
				got = days[0].Tally
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWindowsThatDoNotCount(t *testing.T) {
	l := newLedger(estate)
	end := moment.Add(-time.Minute)
	rows := window("www.example.org", end, 8, 8, 0, 0, 0)
	if n := feed(l, 0, rows...); n != 1 {
		t.Fatalf("%d counted", n)
	}
	other := func(change func(*schemas.SignalRow)) []schemas.SignalRow {
		rows := window("www.example.org", end.Add(10*time.Second), 8, 8, 0, 0, 0)
		for i := range rows {
			change(&rows[i])
		}
		return rows
	}
	for name, rows := range map[string][]schemas.SignalRow{
		"again":             rows,
		"earlier":           other(func(r *schemas.SignalRow) { r.Time = end.Add(-10 * time.Second) }),
		"a site not listed": other(func(r *schemas.SignalRow) { r.Site = "intranet.example.org" }),
		"longer windows":    other(func(r *schemas.SignalRow) { r.Window = "1m" }),
		"far in the future": other(func(r *schemas.SignalRow) { r.Time = moment.Add(time.Hour) }),
		"long past":         other(func(r *schemas.SignalRow) { r.Time = moment.AddDate(0, 0, -91) }),
		"no number":         other(func(r *schemas.SignalRow) { r.Value = math.NaN() }),
		"not complete":      window("www.example.org", end.Add(10*time.Second), 8, 8, 0, 0, 0)[:4],
	} {
		if n := feed(l, 0, rows...); n != 0 {
			t.Errorf("%s: counted", name)
		}
	}
	if len(l.Sites) != len(estate) {
		t.Errorf("%d sites kept, want the %d that are listed", len(l.Sites), len(estate))
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		name     string
		age      time.Duration
		unserved float64
		slow     float64
		rate     float64
		want     State
	}{
		{"served", 0, 0, 0, 8, Operational},
		{"slow", 0, 0, .2, 8, Degraded},
		{"one in fifty fails", 0, .02, 0, 8, Degraded},
		{"one in ten fails", 0, .1, 0, 8, Partial},
		{"most fail", 0, .6, 0, 8, Major},
		{"nothing measured for long", 10 * time.Minute, 0, 0, 8, Unknown},
		{"nobody came", 0, 0, 0, 0, Unknown},
	} {
		l := newLedger(estate)
		for at := moment.Add(-5*time.Minute - c.age); !at.After(moment.Add(-c.age)); at = at.Add(10 * time.Second) {
			feed(l, 0, window("www.example.org", at, c.rate, 8, c.unserved, c.slow, 0)...)
		}
		if got := l.state("www.example.org", moment); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := newLedger(estate).state("www.example.org", moment); got != Unknown {
		t.Errorf("never measured: %s", got)
	}
}

// A site with few visitors at night is judged by the last hour's.
func TestFewVisitors(t *testing.T) {
	l := newLedger(estate)
	for at := moment.Add(-50 * time.Minute); !at.After(moment); at = at.Add(10 * time.Second) {
		rate := 0.0
		if at.Before(moment.Add(-45 * time.Minute)) {
			rate = 1
		}
		feed(l, 0, window("www.example.org", at, rate, 1, 0, 0, 0)...)
	}
	if got := l.state("www.example.org", moment); got != Operational {
		t.Errorf("%s, want %s", got, Operational)
	}
}

func TestADayWithoutDataIsNotUp(t *testing.T) {
	l := newLedger(estate)
	l.measureDay("www.example.org", moment.Truncate(24*time.Hour).AddDate(0, 0, -3), moment, 0, 0)
	days := l.days("www.example.org", moment, Days)
	if len(days) != Days {
		t.Fatalf("%d days", len(days))
	}
	for i, d := range days {
		_, _, ok := d.Shares()
		if want := i == Days-4; ok != want {
			t.Errorf("%s: data %v, want %v", d.start.Format(dayLayout), ok, want)
		}
		if !ok && d.height() != 0 {
			t.Errorf("%s: no data is drawn as %d", d.start.Format(dayLayout), d.height())
		}
	}
}

func TestPercentIsNeverTooGood(t *testing.T) {
	for share, want := range map[float64]string{1: "100\u00a0%", 0.99999: "99.9\u00a0%", 0.9995: "99.9\u00a0%", 0.5: "50.0\u00a0%", 0: "0.0\u00a0%", 0.29: "29.0\u00a0%"} {
		if got := percent(share); got != want {
			t.Errorf("%v is %q, want %q", share, got, want)
		}
	}
}

// Killed at any moment, with the stream read again from where the file says, the ledger
// counts every window once.
func TestLedgerOverKills(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows []schemas.SignalRow
		start := moment.Add(-30 * time.Hour)
		for i := range rapid.IntRange(1, 40).Draw(t, "windows") {
			at := start.Add(time.Duration(i) * 33 * 10 * time.Minute / 10)
			for _, c := range estate[:2] {
				rows = append(rows, window(c.Site, at, 3, 5, rapid.Float64Range(0, 1).Draw(t, "unserved"), 0, 0)...)
			}
		}
		var messages [][]schemas.SignalRow // cut anywhere, as messages are
		for rest := rows; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "message")
			n = min(n, 20)
			messages, rest = append(messages, rest[:n]), rest[n:]
		}
		take := func(l *ledger, sequence int) {
			feed(l, 0, messages[sequence-1]...)
			l.Read["signals"] = uint64(sequence)
		}
		want := newLedger(estate)
		for i := range messages {
			take(want, i+1)
		}
		got, kills, file := newLedger(estate), 0, []byte(nil)
		for sequence := 1; sequence <= len(messages); sequence++ {
			take(got, sequence)
			then := rapid.SampledFrom([]string{"", "", "save", "kill"}).Draw(t, "then")
			switch {
			case kills >= 20: // it has to end
			case then == "save":
				var err error
				if file, err = json.Marshal(got); err != nil {
					t.Fatal(err)
				}
			case then == "kill":
				opened := newLedger(estate)
				if file != nil {
					var err error
					if opened, err = parseLedger("file", file, estate); err != nil {
						t.Fatal(err)
					}
				}
				got, sequence = opened, max(int(opened.Read["signals"])-1, 0)
				kills++
			}
		}
		if diff := cmp.Diff(want.Sites, got.Sites); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLedgerIsBounded(t *testing.T) {
	l := newLedger(estate)
	day := moment.Truncate(24*time.Hour).AddDate(0, 0, -80)
	for range 300 {
		day = day.AddDate(0, 0, 1)
		for _, row := range window("www.example.org", day.Add(time.Hour), 8, 8, 0, 0, 0) {
			l.signal(&row, day.Add(2*time.Hour), 0)
		}
	}
	if n := len(l.Sites["www.example.org"].Days); n > Days+1 {
		t.Errorf("%d days kept", n)
	}
}

func TestADamagedLedgerIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.json")
	for _, text := range []string{"{", `{"version":9}`, `{"version":1,"read":null,"open":null}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openLedger(path, estate); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}
