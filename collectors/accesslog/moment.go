package accesslog

import (
	"fmt"
	"time"
)

// moment is a time that a format writes in pieces, by strftime's letters.
type moment struct {
	year, month, day, seconds int
	fraction                  int64 // milliseconds
	zone                      int64 // milliseconds east of UTC
	hasDay, hasTime, hasZone  bool
	whole                     int64 // the time as unix milliseconds, where it stands so
	hasWhole                  bool
}

// strftimeWidth is how many bytes a letter of strftime writes, 0 where it is not
// known here. 's' (unix seconds) has ten until the year 2286; '3' and '6' stand for
// Apache's msec_frac and usec_frac.
func strftimeWidth(letter byte) int {
	switch letter {
	case 'Y':
		return 4
	case 'm', 'd', 'H', 'M', 'S':
		return 2
	case 'b', 'h', '3':
		return 3
	case 'T':
		return 8
	case 'F', 's':
		return 10
	case 'z':
		return 5
	case '6':
		return 6
	case '%', 'n', 't':
		return 1
	}
	return 0
}

// patternLength is how many bytes a pattern writes; the error says which letter is
// not known.
func patternLength(pattern string) (n int, err error) {
	for i := 0; i < len(pattern); i++ {
		width := 1
		if pattern[i] == '%' && i+1 < len(pattern) {
			i++
			if width = strftimeWidth(pattern[i]); width == 0 {
				return 0, fmt.Errorf("%%%c in a time is not known: want %%Y %%m %%d %%b %%H %%M %%S %%F %%T %%z %%s", pattern[i])
			}
		}
		n += width
	}
	return n, nil
}

// read takes a piece that has the pattern's length.
func (m *moment) read(pattern string, text []byte) bool {
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			if text[0] != pattern[i] {
				return false
			}
			text = text[1:]
			continue
		}
		i++
		width := strftimeWidth(pattern[i])
		if !m.letter(pattern[i], text[:width]) {
			return false
		}
		text = text[width:]
	}
	return true
}

func (m *moment) letter(letter byte, text []byte) bool {
	n, decimal := parseDecimal(text, 0)
	decimal = decimal && digits(text)
	switch letter {
	case 'Y':
		m.year = int(n)
	case 'm':
		m.month = int(n)
	case 'd':
		m.day, m.hasDay = int(n), true
	case 'b', 'h':
		month, ok := monthOf(string(text))
		m.month = int(month)
		return ok
	case 'F':
		return m.read("%Y-%m-%d", text)
	case 'H':
		m.seconds, m.hasTime = m.seconds+int(n)*3600, true
		return decimal && n < 24
	case 'M':
		m.seconds += int(n) * 60
		return decimal && n < 60
	case 'S':
		m.seconds += int(n)
		return decimal && n <= 60
	case 'T':
		seconds, ok := timeOfDay(text)
		m.seconds, m.hasTime = int(seconds), true
		return ok
	case 'z':
		var ok bool
		m.zone, ok = zoneOffset(text)
		m.hasZone = true
		return ok
	case 's':
		m.whole, m.hasWhole = n*1000, true
	case '3':
		m.fraction = n
	case '6':
		m.fraction = n / 1000
	case '%', 'n', 't':
		return true
	}
	return decimal
}

// time is the moment as unix milliseconds.
func (m *moment) time() (int64, bool) {
	t := m.whole
	if !m.hasWhole {
		start, ok := dateStart(m.year, time.Month(m.month), m.day)
		if !ok {
			return 0, false
		}
		t = start + int64(m.seconds)*1000 - m.zone
	}
	t += m.fraction
	return t, t >= minTime && t <= maxTime
}

// complete reports whether patterns together tell a time; nothing is assumed of a
// zone.
func complete(patterns []string) bool {
	var has [256]bool
	for _, pattern := range patterns {
		for i := 0; i+1 < len(pattern); i++ {
			if pattern[i] == '%' {
				i++
				has[pattern[i]] = true
			}
		}
	}
	day := has['F'] || has['Y'] && has['d'] && (has['m'] || has['b'] || has['h'])
	clock := has['T'] || has['H'] && has['M'] && has['S']
	return has['s'] || day && clock && has['z']
}
