package top

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/weir-project/weir/schemas"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// story is an Overview in the middle of an attack, with a host name that wants to be more
// than text.
func story() *Overview {
	now := time.Date(2026, 11, 28, 5, 12, 30, 0, time.UTC)
	signals := func(rate, clients, fresh, missing, failed, entropy, score float64) []schemas.Signal {
		return []schemas.Signal{
			{Name: "request_rate", Group: "volume", Value: rate, Normal: 4.8, Score: score},
			{Name: "unique_clients", Group: "volume", Value: clients, Normal: 14, Score: score},
			{Name: "new_clients", Group: "volume", Value: fresh, Normal: 3},
			{Name: "not_found_share", Group: "composition", Value: missing, Normal: 0.02, Score: score / 2},
			{Name: "path_entropy", Group: "composition", Value: entropy, Normal: 4.6},
			{Name: "error_share", Group: "harm", Value: failed},
		}
	}
	rise := make([]float64, History)
	for i := range rise {
		rise[i] = 4 + float64(i%3)
		if i > 40 {
			rise[i] = 20 + 2*float64(i-40)
		}
	}
	flat := make([]float64, 30)
	for i := range flat {
		flat[i] = 2
	}
	o := &Overview{
		Time: now, EventTime: now.Add(-3400 * time.Millisecond), Mode: "enforce", AllSites: 4,
		Sites: []Site{
			{Name: "www.example.org", End: now.Add(-4 * time.Second), Signals: signals(61.4, 412, 390, 0.71, 0.08, 8.9, 9.4), Rate: rise, Incident: "i1"},
			{Name: "shop.example.org", End: now.Add(-4 * time.Second), Signals: signals(12_345, 9, 0, 0, 0, 3.4, 0), Rate: flat},
			{Name: "\x1b[2J\x1b]0;owned\x07evil\u202etxt.example", Signals: signals(0.1, 1, 1, 1, 0, 0, 0), Rate: []float64{0, 0.1}},
			{Name: strings.Repeat("very-long-host-name.", 12) + "example", Signals: nil},
		},
		InForce: map[string]int{"block": 10, "challenge": 2},
	}
	o.Incidents = []schemas.Event{
		{Type: schemas.IncidentOpened, Incident: "i1", Kind: schemas.Flood, Sites: []string{"www.example.org"}, Opened: now.Add(-252 * time.Second), Cause: "12 times the requests, most of them for pages that are not there"},
		{Type: schemas.IncidentClosed, Incident: "i0", Kind: schemas.Crowd, Sites: []string{"shop.example.org"}, Opened: now.Add(-3 * time.Hour), Closed: now.Add(-2 * time.Hour), Cause: "many visitors to one page"},
	}
	o.Clocks = []Clock{{Edge: "edge-3", Source: "/var/log/nginx/\x1b[2Jaccess.log", Ahead: -10_801}}
	o.Held = []Held{
		{Edge: "edge-1", Intended: 5, Loaded: 5, Matching: 12_345}, {Edge: "edge-3", Intended: 12_000, Loaded: 3, Refused: 1, Lacks: true},
		{Edge: "edge-2", Intended: 5, Off: true},
	}
	o.Vitals = []*schemas.Vitals{
		{Edge: "edge-1", Time: now, Load: 0.4, Cores: 4, Nginx: &schemas.NginxVitals{Answered: true, Active: 37}, Listen: []schemas.ListenQueue{{Waiting: 1}}},
		{Edge: "edge-2", Time: now, Load: 11.5, Cores: 4, Nginx: &schemas.NginxVitals{}, Listen: []schemas.ListenQueue{{Waiting: 511}}, ListenDrops: 70, CPUPressure: 0.83},
	}
	for i := range 12 {
		o.Decisions = append(o.Decisions, schemas.Event{Type: schemas.DecisionAdded, Decision: &schemas.Decision{
			ID: "d", Action: schemas.Block, Scope: schemas.ScopeSignature, Expires: now.Add(time.Duration(10-i/2) * time.Minute), Collateral: 0.0012,
			Value: "accept_language=\"\" user_agent=\"Mozilla/5.0 \x1b[31m\"",
		}})
	}
	return o
}

// mix is the windows of story's first site, whose attacker chose what stands in the lists.
func mix() *Windows {
	w := &Windows{Site: "www.example.org", End: time.Date(2026, 11, 28, 5, 12, 26, 0, time.UTC)}
	for i, length := range []string{"10s", "1m", "10m"} {
		n := uint64(600 * (1 + 5*i))
		w.Windows = append(w.Windows, Window{
			Length: length, Covered: []int{10, 60, 420}[i], Rate: 61.4 / float64(1+i), Clients: float64(412 * (1 + i)), Paths: float64(300 * (1 + i)),
			Entropies: map[string]float64{"client": 8.4, "prefix": 8.1, "path": 8.9 - float64(i), "agent": 2.25, "referer": 0.5},
			Latency:   &Spread{0.081, 2.4, 30}, Size: &Spread{1204, 48_000, 1_200_000},
			Top: map[string][]Heavy{
				"path":    {{"/search", "dear", n / 2, n/2 + 3, 0.5}, {"/\x1b[2J", "", n / 10, n / 10, 0.1}, {"/\x1b]0;owned\x07\u202etxt", "", n / 20, n / 20, 0.05}, {"/a", "", 9, 9, 0.01}, {"/b", "", 8, 8, 0.01}},
				"agent":   {{"Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0 and so on", "", n * 9 / 10, n * 9 / 10, 0.9}, {"", "", 12, 14, 0.01}},
				"prefix":  {{"203.0.113.0/24", "", n / 50, n / 50, 0.02}},
				"client":  {{"2001:db8::7", "", n / 60, n / 60, 0.016}},
				"referer": nil,
			},
		})
	}
	return w
}

// TestScreens holds the screens against golden ones, in several sizes.
func TestScreens(t *testing.T) {
	for name, v := range map[string]View{
		"80x24":           {Width: 80, Height: 24, Address: "/var/lib/weir"},
		"120x30":          {Width: 120, Height: 30, Address: "/var/lib/weir"},
		"80x24-detail":    {Width: 80, Height: 24, Address: "/var/lib/weir", Detail: true},
		"80x24-windows":   {Width: 80, Height: 24, Address: "/var/lib/weir", Mixed: true, Windows: mix()},
		"120x40-windows":  {Width: 120, Height: 40, Address: "/var/lib/weir", Mixed: true, Windows: mix()},
		"140x40":          {Width: 140, Height: 40, Address: "127.0.0.1:8787", Selected: 2, Paused: true},
		"80x24-undecided": {Width: 80, Height: 24, Address: "/var/lib/weir"},
		"problem":         {Width: 80, Height: 24, Address: "127.0.0.1:8787", Problem: "weir at 127.0.0.1:8787 does not answer"},
	} {
		o := story()
		if strings.HasSuffix(name, "undecided") {
			o.Incidents[0].Undecided = []schemas.Undecided{{Site: "www.example.org", Cap: "collateral", Why: "the best measure found, user_agent=\"\x1b[2J\", would stop 96 % of it"}}
		}
		got := Render(o, v) + "\n"
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is\n%s", name, got)
		}
	}
}

// TestEverySizeIsFilledAndSafe: whatever the size, a screen has exactly that many lines of
// that many columns, and holds no control character but of its own colours.
func TestEverySizeIsFilledAndSafe(t *testing.T) {
	for width := minWidth; width < 250; width += 19 {
		for height := 10; height < 70; height += 7 {
			for _, detail := range []bool{false, true} {
				for _, o := range []*Overview{story(), {Time: time.Unix(0, 0)}} {
					screen := Render(o, View{Width: width, Height: height, Detail: detail, Selected: 2})
					lines := strings.Split(screen, "\n")
					if len(lines) != height {
						t.Fatalf("%dx%d: %d lines", width, height, len(lines))
					}
					for _, line := range lines {
						if runewidth.StringWidth(line) != width || strings.ContainsAny(line, "\x1b\x07\u202e") {
							t.Fatalf("%dx%d: %d columns: %q", width, height, runewidth.StringWidth(line), line)
						}
					}
				}
			}
		}
	}
	coloured := Render(story(), View{Width: 80, Height: 24, Colour: true})
	if !strings.Contains(coloured, "\x1b["+red+"m") || strings.Contains(coloured, "\x1b[2J") {
		t.Errorf("colours are %q", coloured)
	}
}

// TestKeys: a site is chosen, its signals are shown, a pause keeps the screen, a failed
// look says so and keeps what was seen, and q ends it.
func TestKeys(t *testing.T) {
	fetch := func(context.Context) (Overview, error) { return *story(), nil }
	o := Options{Fetch: fetch, Every: time.Second}
	m := &model{o: o, view: View{Width: 80, Height: 24}}
	press := func(keys ...string) {
		for _, k := range keys {
			if m.key(k) {
				t.Fatalf("%q ends it", k)
			}
		}
	}
	m.take(o.look(t.Context(), m.wants()))
	press("down", "enter")
	if s := m.screen(); !strings.Contains(s, "> shop.example.org") && !strings.Contains(s, ">shop.example.org") || !strings.Contains(s, "NORMAL") {
		t.Errorf("the second site is not shown:\n%s", s)
	}
	turned := *story()
	turned.Sites[0], turned.Sites[1] = turned.Sites[1], turned.Sites[0]
	m.take(looked{overview: turned})
	if s := m.screen(); !strings.Contains(s, ">shop.example.org") {
		t.Errorf("the choice does not follow its site:\n%s", s)
	}
	m.take(looked{overview: *story()})
	press("w")
	if s := m.screen(); !strings.Contains(s, "looking") {
		t.Errorf("its windows are not waited for:\n%s", s)
	}
	brought := mix()
	brought.Site = "shop.example.org"
	m.take(looked{overview: *story(), windows: brought})
	if s := m.screen(); !strings.Contains(s, "entropy of agents") || !strings.Contains(s, "/search") {
		t.Errorf("its windows are not shown:\n%s", s)
	}
	press("down")
	if s := m.screen(); strings.Contains(s, "/search") {
		t.Errorf("another site has its windows:\n%s", s)
	}
	press("up", "w", "enter", " ")
	m.take(looked{overview: Overview{}})
	if s := m.screen(); !strings.Contains(s, "PAUSED") || !strings.Contains(s, "www.example.org") {
		t.Errorf("a pause does not keep the screen:\n%s", s)
	}
	m.take(looked{err: errors.New("it is gone")})
	if s := m.screen(); !strings.Contains(s, "it is gone") || !strings.Contains(s, "www.example.org") {
		t.Errorf("a failed look is not said:\n%s", s)
	}
	m.view.Width, m.view.Height = 120, 30
	if n := strings.Count(m.screen(), "\n"); n != 29 {
		t.Errorf("%d lines after a resize", n+1)
	}
	if !m.key("q") || !m.key("ctrl+c") {
		t.Error("q does not end it")
	}
}

func TestKeysOf(t *testing.T) {
	for typed, want := range map[string][]string{
		"q": {"q"}, "\x1b[A\x1bOBw": {"up", "down", "w"}, "\x1b": {"esc"}, "\r \x03": {"enter", " ", "ctrl+c"},
		"\x1b[15;2~j": {"\x1b[15;2~", "j"}, "\x1b[1": {"\x1b[1"}, "ü\xff": {"ü", "\xff"},
	} {
		if got := keysOf(typed); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", typed, got, want)
		}
	}
}

// TestHeadFits: what the first lines say fits 80 columns, also with large numbers.
func TestHeadFits(t *testing.T) {
	o := story()
	o.AllSites, o.InForce = 1000, map[string]int{"block": 150_000, "challenge": 20_000, "throttle": 3000}
	o.Sites[0].Signals[0].Value = 123_456
	for i, line := range strings.Split(Render(o, View{Width: 80, Height: 24, Address: strings.Repeat("/var/lib", 20)}), "\n")[:2] {
		if cut := strings.HasSuffix(strings.TrimRight(line, " "), "…"); cut || i == 0 && !strings.Contains(line, "mode enforce") || i == 1 && !strings.Contains(line, "in force") {
			t.Errorf("line %d is cut: %q", i+1, line)
		}
	}
}
