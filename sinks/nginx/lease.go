package nginx

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Lease is the span in which the decisions of a rendering count. Both ends are
// inclusive and in whole seconds. A clock that jumps out of it opens the edge.
type Lease struct {
	From, Until time.Time
}

// Unix seconds have ten digits from 2001 to 2286.
const (
	minUnix = 1_000_000_000
	maxUnix = 9_999_999_999
)

// pattern is a regular expression that the whole part of nginx's $msec (unix
// seconds, whatever the time zone) matches during the lease and never else.
func (l Lease) pattern() (string, error) {
	from, until := l.From.Unix(), l.Until.Unix()
	if from < minUnix || until > maxUnix || until < from {
		return "", fmt.Errorf("lease from %s until %s: want a span within 2001 to 2286",
			l.From.UTC().Format(time.RFC3339), l.Until.UTC().Format(time.RFC3339))
	}
	return "^(?:" + strings.Join(decimalPrefixes(from, until), "|") + ")", nil
}

// decimalPrefixes covers the numbers from..until, all of ten digits, by the
// fewest decimal prefixes.
func decimalPrefixes(from, until int64) []string {
	var prefixes []string
	for from <= until {
		step := int64(1)
		for step < minUnix && from%(step*10) == 0 && from+step*10-1 <= until {
			step *= 10
		}
		prefixes = append(prefixes, strconv.FormatInt(from/step, 10))
		from += step
	}
	return prefixes
}
