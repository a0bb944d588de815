package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Grafana's grid: 24 columns; a row of it is 30 pixels and 8 between two. Of 1366 x 768
// a browser leaves some 650 in height, and Grafana takes some 130 of them for its head, the
// variables and the links.
const (
	gridColumns = 24
	gridRow     = 38
	roomBelow   = 650 - 130
	roomWide    = 1366 - 32
)

// laid is where a panel stands.
type laid struct {
	Title   string `json:"title"`
	Type    string `json:"type"`
	GridPos struct{ H, W, X, Y int }
	Field   struct {
		Overrides []struct {
			Properties []struct {
				ID    string          `json:"id"`
				Value json.RawMessage `json:"value"`
			} `json:"properties"`
		} `json:"overrides"`
	} `json:"fieldConfig"`
}

// TestLayout says of the dashboards as they are shipped what can be read at 1366 x 768: no
// panel lies on another or outside, each is wide enough for what it shows, and on the page
// for whoever was woken the figures, the curve and the sites are above the fold.
func TestLayout(t *testing.T) {
	files, err := filepath.Glob("../grafana/dashboards/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	uids := map[string]bool{}
	var links []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			UID    string `json:"uid"`
			Title  string `json:"title"`
			Panels []laid `json:"panels"`
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		uids[d.UID] = true
		links = append(links, regexp.MustCompile(`/d/([a-z-]+)`).FindAllString(string(text), -1)...)
		taken := map[[2]int]string{}
		for _, p := range d.Panels {
			g := p.GridPos
			if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > gridColumns {
				t.Errorf("%s / %s lies outside: %+v", d.Title, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" && other != p.Title {
						t.Errorf("%s: %q lies on %q", d.Title, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			wide := g.W * roomWide / gridColumns
			least := map[string]int{"stat": 8 * len(p.Title), "timeseries": 320, "table": 480}[p.Type]
			if least == 0 || wide < least {
				t.Errorf("%s / %s is a %s of %d pixels on a small screen, want %d", d.Title, p.Title, p.Type, wide, least)
			}
			if p.Type != "stat" && g.H*gridRow < 150 {
				t.Errorf("%s / %s is %d pixels high", d.Title, p.Title, g.H*gridRow)
			}
		}
		if d.UID == "weir-now" {
			for _, title := range []string{"Incidents open", "Visitors failing", "Stopped at the edges", "Waiting for you", "Out of force", "Requests by what became of them", "Sites"} {
				i := slices.IndexFunc(d.Panels, func(p laid) bool { return p.Title == title })
				if i < 0 {
					t.Errorf("%s has no panel %q", d.Title, title)
					continue
				}
				if g := d.Panels[i].GridPos; (g.Y+g.H)*gridRow > roomBelow {
					t.Errorf("%s / %s ends at pixel %d, below the fold at %d", d.Title, title, (g.Y+g.H)*gridRow, roomBelow)
				}
			}
		}
	}
	for _, link := range links {
		if !uids[strings.TrimPrefix(link, "/d/")] {
			t.Errorf("a link leads to %s, which no dashboard is", link)
		}
	}
	if len(links) < 15 {
		t.Errorf("only %d links between dashboards", len(links))
	}
}
