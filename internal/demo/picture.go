package demo

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// The picture's measures, in pixels, and its colours: told apart without seeing
// colour (Okabe and Ito, "Color Universal Design", 2008).
const (
	pictureWidth  = 760.0
	panelLeft     = 58.0
	panelRight    = 740.0
	panelHeight   = 150.0
	firstTop      = 64.0
	secondTop     = 286.0
	pictureHeight = 486.0

	colourStopped = "#b8b8b8"
	colourReached = "#d55e00"
	colourMedian  = "#0072b2"
	colourP95     = "#56b4e9"
)

// Picture draws a report as SVG: above, what became of the botnet's requests; below,
// how long visitors waited. Both over the same time.
func (r *Report) Picture(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12" fill="#222">`+"\n", pictureWidth, pictureHeight)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="#fff"/>`+"\n", pictureWidth, pictureHeight)
	slots := r.Slots
	if n := len(slots); n > 0 {
		r.attackPanel(&b, slots)
		r.waitPanel(&b, slots)
		r.marks(&b, slots)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// slotSeconds is the length of a Slot.
const slotSeconds = 10

func (r *Report) attackPanel(b *strings.Builder, slots []Slot) {
	top := 0.0
	for i := range slots {
		top = max(top, float64(slots[i].Attack.Sent)/slotSeconds)
	}
	top = niceTop(top)
	panel(b, firstTop, top, "The botnet's requests per second", "", len(slots))
	legend(b, firstTop-22, []string{"stopped at nginx", "reached the application"}, []string{colourStopped, colourReached})
	width := (panelRight - panelLeft) / float64(len(slots))
	for i := range slots {
		a := &slots[i].Attack
		reached := float64(a.Reached) / slotSeconds / top * panelHeight
		stopped := float64(a.Stopped) / slotSeconds / top * panelHeight
		x, bottom := panelLeft+float64(i)*width+1, firstTop+panelHeight
		bar(b, x, bottom-reached, width-2, reached, colourReached)
		bar(b, x, bottom-reached-stopped, width-2, stopped, colourStopped)
	}
}

func (r *Report) waitPanel(b *strings.Builder, slots []Slot) {
	top := 0.0
	for i := range slots {
		top = max(top, slots[i].Visitors.P95)
	}
	top = niceTop(top)
	panel(b, secondTop, top, "How long visitors waited for a page", " s", len(slots))
	legend(b, secondTop-22, []string{"median", "95th percentile"}, []string{colourMedian, colourP95})
	line := func(value func(*VisitorReport) float64, colour string) {
		var points []string
		for i := range slots {
			x := panelLeft + (float64(i)+0.5)*(panelRight-panelLeft)/float64(len(slots))
			points = append(points, fmt.Sprintf("%.1f,%.1f", x, secondTop+panelHeight*(1-value(&slots[i].Visitors)/top)))
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2.5"/>`+"\n", strings.Join(points, " "), colour)
	}
	line(func(v *VisitorReport) float64 { return v.P95 }, colourP95)
	line(func(v *VisitorReport) float64 { return v.Median }, colourMedian)
}

// marks are upright lines where the attack began and where nginx first stopped a bot.
func (r *Report) marks(b *strings.Builder, slots []Slot) {
	if r.AttackBegan == nil {
		return
	}
	mark := func(at float64, text, anchor string, aside, y float64) {
		x := panelLeft + at/slotSeconds/float64(len(slots))*(panelRight-panelLeft)
		for _, top := range []float64{firstTop, secondTop} {
			fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%g" y2="%g" stroke="#222" stroke-dasharray="3 3"/>`+"\n", x, x, top-4, top+panelHeight)
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="%s">%s</text>`+"\n", x+aside, y, anchor, text)
	}
	mark(*r.AttackBegan, "attack begins", "end", -4, firstTop+10)
	if r.FirstStopped != nil {
		mark(*r.AttackBegan+*r.FirstStopped, fmt.Sprintf("first block, %.1f s later", *r.FirstStopped), "start", 4, firstTop+10)
	}
}

// panel draws a frame with its title, a scale of four steps, and the time below.
func panel(b *strings.Builder, y, top float64, title, unit string, slots int) {
	fmt.Fprintf(b, `<text x="%g" y="%g" font-weight="bold" font-size="14">%s</text>`+"\n", panelLeft, y-34, title)
	for step := range 5 {
		value := top * float64(step) / 4
		at := y + panelHeight*(1-float64(step)/4)
		fmt.Fprintf(b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", panelLeft, panelRight, at, at)
		fmt.Fprintf(b, `<text x="%g" y="%.1f" text-anchor="end">%g%s</text>`+"\n", panelLeft-6, at+4, math.Round(value*100)/100, unit)
	}
	for i := 0; i <= slots; i += 3 {
		x := panelLeft + float64(i)*(panelRight-panelLeft)/float64(slots)
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`+"\n", x, y+panelHeight+18, clock(float64(i*slotSeconds)))
	}
}

func legend(b *strings.Builder, y float64, names, colours []string) {
	x := panelLeft
	for i := range names {
		bar(b, x, y, 12, 12, colours[i])
		fmt.Fprintf(b, `<text x="%.1f" y="%g">%s</text>`+"\n", x+17, y+10, names[i])
		x += 30 + 7*float64(len(names[i]))
	}
}

func bar(b *strings.Builder, x, y, width, height float64, colour string) {
	if height > 0 {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, width, height, colour)
	}
}

// niceTop is a round number at or above v for a scale's top: 1, 2, 4 or 8 times a power of
// ten.
func niceTop(v float64) float64 {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 4, 8, 10} {
		if step*power >= v {
			return step * power
		}
	}
	return 10 * power
}
