package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/schemas"
)

// TestLongWindowsOutliveTheDetector sends one log through one processor, and through two of which
// the detector is killed (SIGKILL) in mid-attack: what the other says of the last minute and the
// last ten minutes is what one says that never died, though eight of these were before.
func TestLongWindowsOutliveTheDetector(t *testing.T) {
	log, _, end := simulated(t, "--duration", "1m", "--tail", "1m", "--requests", "1500", "--addresses", "700")
	want := windowsAtTheEnd(t, log, end, 1)
	got := windowsAtTheEnd(t, log, end, 2)
	for i := range want {
		a, b := &want[i], &got[i]
		t.Logf("%s: one %+v; two %+v", a.Length, *a, *b)
		if a.Length == "10m" && a.Covered != 600 {
			t.Errorf("one knows %d s of ten minutes: the test shows nothing", a.Covered)
		}
		if b.Length != a.Length || b.Covered != a.Covered || math.Abs(b.Rate-a.Rate) > 1e-9 {
			t.Errorf("%s: %d s at %g/s after the kill, %s: %d s at %g/s without", b.Length, b.Covered, b.Rate, a.Length, a.Covered, a.Rate)
		}
		near := func(what string, x, y, by float64) {
			if math.Abs(x-y) > max(by, 0.02*y) {
				t.Errorf("%s: %s %g after the kill, %g without", a.Length, what, x, y)
			}
		}
		near("clients", b.Clients, a.Clients, 1)
		near("paths", b.Paths, a.Paths, 1)
		for key, bits := range a.Entropies {
			near(key+" entropy", b.Entropies[key], bits, 0.1)
			if len(a.Top[key]) != len(b.Top[key]) {
				t.Errorf("%s: %d heavy keys by %s after the kill, %d without", a.Length, len(b.Top[key]), key, len(a.Top[key]))
			}
		}
		for _, q := range [][2]*top.Spread{{a.Latency, b.Latency}, {a.Size, b.Size}} {
			if q[0] != nil && (q[1] == nil || *q[0] != *q[1]) {
				t.Errorf("%s: quantiles %+v after the kill, %+v without", a.Length, q[1], q[0])
			}
		}
	}
}

// windowsAtTheEnd are those of the busiest site when n processors have judged a log; where they
// are more than one, the detector is killed once the incident is open.
func windowsAtTheEnd(t *testing.T, log string, end time.Time, n int) []top.Window {
	t.Helper()
	f := startFleet(t, 0)
	var addresses []string
	for range n {
		addresses = append(addresses, freeAddress(t))
		f.members = append(f.members, startCommand(t, "--config", f.config, "process", "--http", addresses[len(addresses)-1]))
	}
	f.settled()
	f.ship(log)
	until(t, "the incident opens", func() bool { return f.seen(schemas.IncidentOpened) })
	if n > 1 {
		until(t, "ten minutes of windows are saved", func() bool { return f.pieces() >= 60 })
		until(t, "the detector has saved where it is", func() bool { // or the other begins at the first pane, and restores nothing
			_, err := f.bus.Snapshots().Get(t.Context(), "detector")
			return err == nil
		})
		f.of("detector").kill()
	}
	site := f.attacked()
	f.close(log, end.Add(20*time.Second))
	var last top.Windows
	until(t, "the detector has judged the log", func() bool {
		for _, address := range addresses {
			w, err := windowsFrom(address, site)
			if err == nil && len(w.Windows) > 0 && w.End.After(end.Add(17*time.Second)) { // 20 less the lateness
				last = w
				return true
			}
		}
		return false
	})
	return last.Windows
}

func windowsFrom(address, site string) (w top.Windows, err error) {
	answer, err := http.Get(fmt.Sprintf("http://%s/api/sites/%s/windows", address, site))
	if err != nil {
		return w, err
	}
	defer answer.Body.Close()
	return w, json.NewDecoder(answer.Body).Decode(&w)
}

// pieces is how many pieces of the long windows are saved.
func (f *fleet) pieces() (n int) {
	keys, err := f.bus.Snapshots().ListKeys(f.t.Context())
	if err != nil {
		return 0
	}
	for key := range keys.Keys() {
		if strings.HasPrefix(key, "windows-") && strings.Count(key, ".") == 0 {
			n++
		}
	}
	return n
}

// attacked is the site of the first incident.
func (f *fleet) attacked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Type == schemas.IncidentOpened {
			return e.Sites[0]
		}
	}
	return ""
}
