package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// TestNothingIsAskedOfATerminal: a terminal that does not answer (a serial line, a recording)
// would have each command wait.
func TestNothingIsAskedOfATerminal(t *testing.T) {
	onTerminal(t, 80, 24, "--version").ended(t)
}

// TestTopOnATerminal looks at a running weir that has just been through a flood, on a real
// terminal: the screen has the sites with their signals and sparklines, the incident, the
// decisions and the lag; follows another size; and the terminal is as it was afterwards.
func TestTopOnATerminal(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	mustWeir(t, "simulate", log, "--hours", "0.5", "--tail", "1s", "--requests", "4000", "--addresses", "1500", "--duration", "4m",
		"--seed", "8", "--start", time.Now().Add(-34*time.Minute).UTC().Format(time.RFC3339))
	w := start(t, "--data", data, "--http", freeAddress(t), log)
	until(t, "decisions are in force", func() bool {
		screen, err := weir(t, "top", "--once", "--data", data)
		return err == nil && strings.Contains(screen, " in force") && !strings.Contains(screen, "nothing in force")
	})

	x := onTerminal(t, 80, 24, "top", "--data", data, "--every", "200ms")
	x.shows(t, "sites, incident, decisions and lag", " weir top ", "lag ", "REQ/S", "CLIENTS", "ENTROPY", "LAST 10 MIN", "www.example.org",
		"shop.example.org", "█", "INCIDENTS\n", " open ", " in force", "DECISIONS IN FORCE\n", "collateral", "q quit")
	if !x.fits() {
		t.Errorf("80 by 24 is not filled:\n%s", x.text())
	}
	t.Logf("80 by 24:\n%s", x.text())
	x.resize(t, 120, 40)
	until(t, "120 by 40 is filled", x.fits)
	x.shows(t, "the same, larger", " weir top ", "www.example.org", " open ", "collateral", "q quit")
	t.Logf("120 by 40:\n%s", x.text())
	x.press(t, "\r")
	x.shows(t, "the signals of a site", "request_rate", "path_entropy", "unique_clients", "q quit")
	x.press(t, "w")
	x.shows(t, "what the site gets", "WINDOW ", "10m", "entropy of agents", "latency, 95 % within", "MOST OF 10m", "path ", "% ", "Mozilla/5.0", "/24")
	t.Logf("its windows:\n%s", x.text())
	x.resize(t, 80, 24)
	until(t, "80 by 24 is filled again", x.fits)
	x.press(t, "q")
	x.ended(t)

	x = onTerminal(t, 80, 24, "top", "--data", data)
	x.shows(t, "sites", "www.example.org", "q quit")
	if err := x.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	x.ended(t)
	w.end(t)
}

// fits reports whether the screen is drawn as large as the terminal is: the header, which
// fills a line, in the first and the keys in the last.
func (x *terminal) fits() bool {
	lines := strings.Split(strings.TrimSuffix(x.text(), "\n"), "\n")
	x.mu.Lock()
	width, own := x.width, x.own
	x.mu.Unlock()
	widest := 0
	for _, line := range lines {
		widest = max(widest, utf8.RuneCountInString(line))
	}
	return own && widest > width-6 && strings.HasPrefix(lines[0], " weir top ") && strings.HasPrefix(lines[len(lines)-1], " q quit")
}
