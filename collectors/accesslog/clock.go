package accesslog

import "time"

// Bounds on a request's time: what lies outside is no time of a log.
const (
	minTime = 0                      // 1970, unix milliseconds
	maxTime = 253402300800000 - 1000 // the end of 9999
)

// clock reads "17/May/2015:10:05:03 +0000". Lines of a log mostly share the
// second with the line before, and nearly always the day and the zone.
type clock struct {
	stamp [26]byte // the text read last, and what it was
	time  int64
	day   [11]byte // "17/May/2015"
	zone  [5]byte  // "+0000"
	start int64    // of that day in that zone, unix milliseconds
	valid bool     // day, zone and start are set
	known bool     // stamp and time are set
}

func (c *clock) parse(text []byte) (milliseconds int64, ok bool) {
	if c.known && string(text) == string(c.stamp[:]) {
		return c.time, true
	}
	if text[11] != ':' || text[20] != ' ' {
		return 0, false
	}
	if !c.valid || string(text[:11]) != string(c.day[:]) || string(text[21:]) != string(c.zone[:]) {
		if c.start, ok = dayStart(text[:11], text[21:]); !ok {
			c.valid = false
			return 0, false
		}
		copy(c.day[:], text)
		copy(c.zone[:], text[21:])
		c.valid = true
	}
	seconds, ok := timeOfDay(text[12:20])
	if !ok {
		return 0, false
	}
	t := c.start + seconds*1000
	if t < minTime || t > maxTime {
		return 0, false
	}
	copy(c.stamp[:], text)
	c.time, c.known = t, true
	return t, true
}

// timeOfDay reads "10:05:03", a leap second included, as seconds.
func timeOfDay(text []byte) (seconds int64, ok bool) {
	hour, minute, second := twoDigits(text), twoDigits(text[3:]), twoDigits(text[6:])
	ok = text[2] == ':' && text[5] == ':' && uint(hour) < 24 && uint(minute) < 60 && uint(second) <= 60
	return int64(hour*3600 + minute*60 + second), ok
}

// dayStart is midnight of "17/May/2015" in the zone "+0330", unix milliseconds.
func dayStart(day, zone []byte) (int64, bool) {
	if day[2] != '/' || day[6] != '/' {
		return 0, false
	}
	century, years := twoDigits(day[7:]), twoDigits(day[9:])
	month, ok := monthOf(string(day[3:6]))
	offset, zoned := zoneOffset(zone)
	if !ok || !zoned || century < 0 || years < 0 {
		return 0, false
	}
	midnight, ok := dateStart(century*100+years, month, twoDigits(day))
	return midnight - offset, ok
}

// dateStart is midnight UTC of a date, unix milliseconds; days are 1 to 31.
func dateStart(year int, month time.Month, day int) (int64, bool) {
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return date.UnixMilli(), day > 0 && date.Day() == day && month >= 1 && month <= 12
}

// zoneOffset reads "+0330" as milliseconds east of UTC.
func zoneOffset(zone []byte) (int64, bool) {
	hours, minutes := twoDigits(zone[1:]), twoDigits(zone[3:])
	if uint(hours) > 14 || uint(minutes) > 59 || zone[0] != '+' && zone[0] != '-' {
		return 0, false
	}
	offset := int64(hours*60+minutes) * 60_000
	if zone[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func monthOf(name string) (time.Month, bool) {
	switch name {
	case "Jan":
		return time.January, true
	case "Feb":
		return time.February, true
	case "Mar":
		return time.March, true
	case "Apr":
		return time.April, true
	case "May":
		return time.May, true
	case "Jun":
		return time.June, true
	case "Jul":
		return time.July, true
	case "Aug":
		return time.August, true
	case "Sep":
		return time.September, true
	case "Oct":
		return time.October, true
	case "Nov":
		return time.November, true
	case "Dec":
		return time.December, true
	}
	return 0, false
}

// twoDigits is the number of two digits, or -1.
func twoDigits(text []byte) int {
	high, low := text[0]-'0', text[1]-'0'
	if high > 9 || low > 9 {
		return -1
	}
	return int(high)*10 + int(low)
}
