package top

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// plain makes text that strangers chose safe for a terminal, and exactly width columns
// wide: what is not printable is escaped, what is too long ends in "…".
func plain(text string, width int) string {
	var b strings.Builder
	for i := 0; i < len(text) && b.Len() < 4*width+16; {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size <= 1 || !unicode.IsPrint(r) {
			quoted := strconv.QuoteToASCII(text[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
		i += size
	}
	return runewidth.FillRight(runewidth.Truncate(b.String(), width, "…"), width)
}

// bars are the steps of a sparkline.
var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the last width values on a scale from 0 to their greatest.
func sparkline(values []float64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	line := []rune(strings.Repeat(" ", width))
	for i, v := range values {
		step := 0
		if top > 0 && v > 0 {
			step = min(len(bars)-1, int(v/top*float64(len(bars)-1)+0.5))
		}
		line[width-len(values)+i] = bars[step]
	}
	return string(line)
}

// number writes a figure in at most five characters.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 9_999_500:
		return fmt.Sprintf("%.0fM", v/1e6)
	case a >= 99_950:
		return fmt.Sprintf("%.0fk", v/1e3)
	case a >= 9_995:
		return fmt.Sprintf("%.1fk", v/1e3)
	case a >= 99.5 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func percent(v float64) string { return fmt.Sprintf("%.0f%%", 100*v) }

// span writes a duration in at most six characters.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < 100*time.Minute:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 100*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

// plural counts things, in a few characters.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return number(float64(n)) + " " + thing
}
