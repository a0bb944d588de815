package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// A chart's size in its own units; the page scales it.
const (
	chartWidth, chartHeight = 900, 220
	left, bottom            = 50, 20
)

// picture is an SVG under construction. Only numbers and escaped text go into it.
type picture struct{ b strings.Builder }

func draw(width, height int, about string) *picture {
	p := new(picture)
	fmt.Fprintf(&p.b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s" xmlns="http://www.w3.org/2000/svg">`, width, height, template.HTMLEscapeString(about))
	return p
}

func (p *picture) rect(class string, x, y, w, h float64, title string) {
	fmt.Fprintf(&p.b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f">`, class, x, y, w, h)
	if title != "" {
		fmt.Fprintf(&p.b, `<title>%s</title>`, template.HTMLEscapeString(inert(title)))
	}
	p.b.WriteString("</rect>")
}

func (p *picture) text(class string, x, y float64, text string) {
	fmt.Fprintf(&p.b, `<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, template.HTMLEscapeString(inert(text)))
}

func (p *picture) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&p.b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

func (p *picture) html() template.HTML { return template.HTML(p.b.String() + "</svg>") }

// axis draws round heights of a chart, at most four of them.
func (p *picture) axis(most float64) {
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, part := range []float64{0.1, 0.2, 0.5, 1} {
		if most/(step*part) <= 4 {
			step *= part
			break
		}
	}
	for i := 0.0; i*step <= most; i++ {
		value := i * step
		y := float64(chartHeight-bottom) - value/most*(chartHeight-bottom-12)
		p.line("grid", left, y, chartWidth, y)
		p.text("scale", left-6, y+4, number(value))
	}
}

// timeline stacks each minute's requests, and marks when the incident was open.
func timeline(r Report) template.HTML {
	p := draw(chartWidth, chartHeight, "requests a minute: answered, failed, stopped")
	if len(r.Minutes) == 0 {
		return p.html()
	}
	most := 1.0
	for _, m := range r.Minutes {
		most = max(most, m.Served+m.Failed+m.Stopped)
	}
	first, last := r.Minutes[0].Time, r.Minutes[len(r.Minutes)-1].Time.Add(time.Minute)
	x := func(t time.Time) float64 {
		return left + (chartWidth-left)*float64(min(max(t.Sub(first), 0), last.Sub(first)))/float64(last.Sub(first))
	}
	closed := r.Closed
	if closed.IsZero() {
		closed = last
	}
	p.rect("open", x(r.Opened), 0, x(closed)-x(r.Opened), chartHeight-bottom, "")
	p.axis(most)
	scale := (chartHeight - bottom - 12) / most
	for _, m := range r.Minutes {
		y := float64(chartHeight - bottom)
		for _, part := range []struct {
			class string
			n     float64
		}{{"served", m.Served}, {"failed", m.Failed}, {"stopped", m.Stopped}} {
			if part.n > 0 {
				y -= part.n * scale
				p.rect(part.class, x(m.Time), y, max(x(m.Time.Add(time.Minute))-x(m.Time)-0.3, 0.3), part.n*scale,
					fmt.Sprintf("%s %s: %.0f", m.Time.UTC().Format("15:04"), part.class, part.n))
			}
		}
	}
	for i := range 7 {
		t := first.Add(last.Sub(first) * time.Duration(i) / 7)
		p.text("tick", x(t), chartHeight-5, t.UTC().Format("15:04"))
	}
	return p.html()
}

// shares draws pairs of bars: before and during.
func shares(r Report) template.HTML {
	p := draw(chartWidth, 34*len(r.Shares)+4, "shares of agents before and during")
	for i, s := range r.Shares {
		y := float64(34 * i)
		p.text("label", 0, y+12, cut(quoted(s.Name), 120))
		p.rect("before", 0, y+16, 8*s.Before, 6, fmt.Sprintf("before: %.1f %%", s.Before))
		p.rect("stopped", 0, y+23, 8*s.During, 6, fmt.Sprintf("during: %.1f %%", s.During))
		p.text("value", 8*max(s.Before, s.During)+6, y+27, fmt.Sprintf("%.1f %% → %.1f %%", s.Before, s.During))
	}
	return p.html()
}

// traits draws the bits of evidence to both sides of a middle.
func traits(r Report) template.HTML {
	p := draw(chartWidth, 24*len(r.Traits)+4, "traits with their bits of evidence")
	most := 1.0
	for _, t := range r.Traits {
		most = max(most, math.Abs(t.Bits))
	}
	for i, t := range r.Traits {
		y := float64(24 * i)
		p.text("label", 0, y+15, cut(t.Name+" = "+quoted(t.Value), 66))
		w := math.Abs(t.Bits) / most * 180
		class, at := "stopped", 660.0
		if t.Bits < 0 {
			class, at = "before", 660-w
		}
		p.rect(class, at, y+4, w, 14, "")
		p.text("value", 860, y+15, fmt.Sprintf("%+.1f", t.Bits))
	}
	p.line("grid", 660, 0, 660, float64(24*len(r.Traits)))
	return p.html()
}

func quoted(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// prefixes is a map of IPv4: sixteen rows of sixteen /8 networks, darker where more
// attackers are.
func prefixes(r Report) template.HTML {
	p := draw(chartWidth, 16*22+4, "attackers by /8 network")
	most := 1
	for _, n := range r.Networks {
		most = max(most, n)
	}
	for i, n := range r.Networks {
		x, y := float64(i%16)*56, float64(i/16)*22
		fmt.Fprintf(&p.b, `<rect class="net" fill-opacity="%.2f" x="%.0f" y="%.0f" width="54" height="20"><title>%d.0.0.0/8: %d attackers</title></rect>`,
			0.7*math.Sqrt(float64(n)/float64(most)), x, y, i, n)
		p.text("cell", x+3, y+14, fmt.Sprint(i))
	}
	return p.html()
}

// hours draws what was stopped in each hour.
func hours(r Report) template.HTML {
	p := draw(chartWidth, chartHeight, "requests stopped by the incident's decisions, an hour")
	most := 1.0
	for _, h := range r.Hours {
		most = max(most, h.Stopped)
	}
	p.axis(most)
	width := (chartWidth - left) / float64(max(len(r.Hours), 12))
	for i, h := range r.Hours {
		height := h.Stopped / most * (chartHeight - bottom - 12)
		p.rect("stopped", left+width*float64(i), chartHeight-bottom-height, width-2, height, fmt.Sprintf("%s: %.0f", h.Time.UTC().Format("01-02 15:04"), h.Stopped))
		if i%max(len(r.Hours)/8, 1) == 0 {
			p.text("tick", left+width*float64(i), chartHeight-5, h.Time.UTC().Format("01-02 15h"))
		}
	}
	return p.html()
}

func cut(text string, n int) string {
	text = inert(text)
	runes := []rune(text)
	if len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return text
}
