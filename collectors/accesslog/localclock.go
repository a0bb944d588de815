package accesslog

import "time"

// localClock reads "25/Feb/2019:16:19:48.143": HAProxy writes its machine's local
// time without a zone. Lines of a log nearly always share the hour with the line
// before, and a zone changes on the hour.
type localClock struct {
	zone  *time.Location
	hour  [14]byte // "25/Feb/2019:16"
	start int64    // of that hour, unix milliseconds
	valid bool
}

// localLength is the length of what it reads.
const localLength = len("25/Feb/2019:16:19:48.143")

func (c *localClock) parse(text []byte) (milliseconds int64, ok bool) {
	if len(text) != localLength || text[14] != ':' || text[17] != ':' || text[20] != '.' {
		return 0, false
	}
	if !c.valid || string(text[:14]) != string(c.hour[:]) {
		if c.start, ok = c.hourStart(text); !ok {
			c.valid = false
			return 0, false
		}
		copy(c.hour[:], text)
		c.valid = true
	}
	minute, second, tens := twoDigits(text[15:]), twoDigits(text[18:]), twoDigits(text[21:])
	last := text[23] - '0'
	if uint(minute) > 59 || uint(second) > 60 || tens < 0 || last > 9 {
		return 0, false
	}
	t := c.start + int64(minute*60+second)*1000 + int64(tens)*10 + int64(last)
	return t, t >= minTime && t <= maxTime
}

func (c *localClock) hourStart(text []byte) (int64, bool) {
	if text[2] != '/' || text[6] != '/' || text[11] != ':' {
		return 0, false
	}
	century, years, hour := twoDigits(text[7:]), twoDigits(text[9:]), twoDigits(text[12:])
	day := twoDigits(text)
	month, ok := monthOf(string(text[3:6]))
	if !ok || century < 0 || years < 0 || uint(hour) > 23 || day < 1 {
		return 0, false
	}
	date := time.Date(century*100+years, month, day, hour, 0, 0, 0, c.zone)
	whole := time.Date(century*100+years, month, day, 0, 0, 0, 0, time.UTC)
	return date.UnixMilli(), whole.Day() == day
}
