package top

import (
	"fmt"
	"time"
)

// Windows are the sketches of a site's windows, as GET /api/sites/{site}/windows answers
// them.
type Windows struct {
	Site    string    `json:"site"`
	End     time.Time `json:"end"`
	Windows []Window  `json:"windows"` // of 10 s, 1 min and 10 min
}

// Window is what the sketches of one say.
type Window struct {
	Length  string  `json:"length"`  // "10s", "1m", "10m"
	Covered int     `json:"covered"` // seconds of it that the sketches are of: fewer while a site, or the detector, is new
	Rate    float64 `json:"request_rate"`
	Clients float64 `json:"unique_clients"`
	Paths   float64 `json:"distinct_paths"`
	// Entropies are in bits, by "client", "prefix", "path", "agent" and "referer".
	Entropies map[string]float64 `json:"entropies"`
	Latency   *Spread            `json:"latency,omitempty"` // seconds; nil where no request says it
	Size      *Spread            `json:"size,omitempty"`    // bytes of an answer
	// Top are the keys with at least 1 % of the requests, the heaviest first, by what they are.
	Top map[string][]Heavy `json:"top"`
}

// Spread is quantiles.
type Spread struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Heavy is a key with many requests: between Least and Most.
type Heavy struct {
	Name  string  `json:"name"`           // "" where it was not kept
	Kind  string  `json:"kind,omitempty"` // of a path, where the site's application is known: "asset", "machine" or "dear"
	Least uint64  `json:"least"`
	Most  uint64  `json:"most"`
	Share float64 `json:"share"` // of the window's requests, by Least
}

// windows draws what a site gets, in three windows, and the heavy keys of the longest.
func (p *page) windows(site string, w *Windows) {
	p.add("", "")
	if w == nil || w.Site != site || len(w.Windows) == 0 {
		p.add(reverse, " WINDOWS   "+site)
		if w == nil || w.Site != site {
			p.add(dim, " looking")
		} else {
			p.add(dim, " none: this weir does not detect, or the site is not watched on its own")
		}
		return
	}
	line := func(name string, of func(*Window) string) string {
		text := " " + plain(name, 26)
		for i := range w.Windows {
			text += fmt.Sprintf("%10s ", of(&w.Windows[i]))
		}
		return text
	}
	p.add(reverse, line("WINDOW", func(w *Window) string { return w.Length })+"  "+site+", to "+w.End.UTC().Format(time.TimeOnly)+" UTC")
	for _, row := range windowRows {
		if row.large && p.Height < 34 {
			continue
		}
		p.add("", line(row.name, row.of))
	}
	p.heavy(&w.Windows[len(w.Windows)-1])
}

// windowRows are the numbers of a window; large ones are for a high screen.
var windowRows = []struct {
	name  string
	large bool
	of    func(*Window) string
}{
	{"seconds that are known", true, func(w *Window) string { return fmt.Sprint(w.Covered) }},
	{"requests/s", false, func(w *Window) string { return number(w.Rate) }},
	{"clients", false, func(w *Window) string { return number(w.Clients) }},
	{"paths", false, func(w *Window) string { return number(w.Paths) }},
	{"entropy of paths, bits", false, bits("path")},
	{"entropy of agents", false, bits("agent")},
	{"entropy of referers", true, bits("referer")},
	{"entropy of prefixes", true, bits("prefix")},
	{"entropy of clients", true, bits("client")},
	{"latency, half within", false, func(w *Window) string { return quantile(w.Latency, p50, "s") }},
	{"latency, 95 % within", false, func(w *Window) string { return quantile(w.Latency, p95, "s") }},
	{"latency, 99 % within", true, func(w *Window) string { return quantile(w.Latency, p99, "s") }},
	{"answer, half within", true, func(w *Window) string { return quantile(w.Size, p50, "B") }},
	{"answer, 95 % within", true, func(w *Window) string { return quantile(w.Size, p95, "B") }},
}

func bits(of string) func(*Window) string {
	return func(w *Window) string { return fmt.Sprintf("%.1f", w.Entropies[of]) }
}

func p50(s *Spread) float64 { return s.P50 }
func p95(s *Spread) float64 { return s.P95 }
func p99(s *Spread) float64 { return s.P99 }

// quantile writes one with its unit, seconds or bytes.
func quantile(s *Spread, of func(*Spread) float64, unit string) string {
	switch {
	case s == nil:
		return "-"
	case unit == "s" && of(s) < 1:
		return fmt.Sprintf("%.0f ms", 1000*of(s))
	case unit == "s":
		return fmt.Sprintf("%.1f s", of(s))
	}
	return number(of(s)) + " " + unit
}

// heavyKinds are what keys are, as they are listed.
var heavyKinds = []string{"path", "agent", "referer", "prefix", "client"}

// heavy lists the heaviest keys of a window, as many of each kind as fit.
func (p *page) heavy(w *Window) {
	p.add("", "")
	p.add(reverse, fmt.Sprintf(" MOST OF %-5s%14s%8s   WHAT", w.Length, "REQUESTS", "SHARE"))
	left := p.left() - 1
	for i, kind := range heavyKinds {
		keys := w.Top[kind]
		most := max(1, left/(len(heavyKinds)-i))
		keys = keys[:min(len(keys), most)]
		for j, k := range keys {
			if p.left() <= 1 {
				return
			}
			name, label := k.Name, ""
			if name == "" {
				name = "(empty, or its name was not kept)"
			}
			if k.Kind != "" {
				name = "(" + k.Kind + ") " + name
			}
			if j == 0 {
				label = kind
			}
			p.add("", fmt.Sprintf(" %s%14s%8s   %s", plain(label, 13), number(float64(k.Least)), percent(k.Share), name))
		}
		left -= len(keys)
	}
}
