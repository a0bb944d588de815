package accesslog

import (
	"bytes"
	"time"
)

func nothing(text []byte) bool { return len(text) == 0 || len(text) == 1 && text[0] == '-' }

// parseStatus reads up to three digits; nothing and "-" are 0.
func parseStatus(text []byte) (uint16, bool) {
	if nothing(text) {
		return 0, true
	}
	n, end := number(text, 0)
	return uint16(n), end == len(text) && len(text) <= 3
}

// parseCount reads a number of bytes; nothing and "-" are 0.
func parseCount(text []byte) (int64, bool) {
	if nothing(text) {
		return 0, true
	}
	n, end := number(text, 0)
	return n, end == len(text)
}

// parseSeconds reads seconds with a fraction as microseconds; nothing and "-"
// are 0.
func parseSeconds(text []byte) (int64, bool) {
	if nothing(text) {
		return 0, true
	}
	return parseDecimal(text, 6)
}

// sumSeconds adds up what nginx writes in $upstream_response_time: one value for
// each server that it tried, separated by ", ", and by " : " where a redirect
// inside nginx lay between; "-" where one did not answer.
func sumSeconds(text []byte) (sum int64, ok bool) {
	if bytes.IndexByte(text, ' ') < 0 && bytes.IndexByte(text, ',') < 0 {
		return parseSeconds(text)
	}
	for len(text) > 0 {
		end := bytes.IndexAny(text, ", ")
		if end < 0 {
			end = len(text)
		}
		if part := text[:end]; len(part) > 0 && string(part) != ":" {
			n, ok := parseSeconds(part)
			if !ok || sum+n < sum {
				return 0, false
			}
			sum += n
		}
		text = text[min(end+1, len(text)):]
	}
	return sum, true
}

// parseDecimal reads "12.3456" times ten to the power of scale, what remains cut
// off. At most twelve digits stand before the point, and no exponent or sign.
func parseDecimal(text []byte, scale int) (n int64, ok bool) {
	i := 0
	for ; i < len(text) && text[i] != '.'; i++ {
		d := text[i] - '0'
		if d > 9 || i == 12 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	if i == 0 || i == len(text)-1 {
		return 0, false
	}
	for i++; i < len(text); i++ {
		d := text[i] - '0'
		if d > 9 {
			return 0, false
		}
		if scale > 0 {
			n = n*10 + int64(d)
			scale--
		}
	}
	for ; scale > 0; scale-- {
		n *= 10
	}
	return n, true
}

// parseTime reads unix seconds with a fraction, or RFC 3339, as milliseconds.
func parseTime(text []byte) (milliseconds int64, ok bool) {
	if len(text) >= len("2006-01-02T15:04:05Z") && text[4] == '-' {
		milliseconds, ok = parseRFC3339(text)
	} else {
		milliseconds, ok = parseDecimal(text, 3)
	}
	return milliseconds, ok && milliseconds >= minTime && milliseconds <= maxTime
}

func parseRFC3339(text []byte) (milliseconds int64, ok bool) {
	century, years := twoDigits(text), twoDigits(text[2:])
	month, day := twoDigits(text[5:]), twoDigits(text[8:])
	seconds, clocked := timeOfDay(text[11:19])
	if century < 0 || years < 0 || !clocked || text[7] != '-' || text[10]|0x20 != 't' && text[10] != ' ' {
		return 0, false
	}
	start, ok := dateStart(century*100+years, time.Month(month), day)
	if !ok {
		return 0, false
	}
	fraction, rest, ok := cutFraction(text[19:])
	if !ok {
		return 0, false
	}
	offset, ok := parseZone(rest)
	return start + seconds*1000 + fraction - offset, ok
}

// cutFraction cuts ".123456" off the front of text, as milliseconds.
func cutFraction(text []byte) (milliseconds int64, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '.' && text[0] != ',' {
		return 0, text, true
	}
	end := digitsEnd(text, 1)
	for i := 1; i < 4; i++ {
		milliseconds *= 10
		if i < end {
			milliseconds += int64(text[i] - '0')
		}
	}
	return milliseconds, text[end:], end > 1
}

// parseZone reads "Z", "+03:30" or "+0330" as milliseconds east of UTC.
func parseZone(text []byte) (int64, bool) {
	switch {
	case len(text) == 1:
		return 0, text[0]|0x20 == 'z'
	case len(text) == 5:
		return zoneOffset(text)
	case len(text) == 6 && text[3] == ':':
		zone := [5]byte{text[0], text[1], text[2], text[4], text[5]}
		return zoneOffset(zone[:])
	}
	return 0, false
}
