package query

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Text is a string literal. What is not plain is written as hexadecimal digits: no
// quoting rule is relied on for what a stranger may have chosen.
func Text(value string) string {
	for i := range len(value) {
		c := value[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(" .,:;/_-+()=<>@", c) >= 0
		if !plain {
			return "unhex('" + hex.EncodeToString([]byte(value)) + "')"
		}
	}
	return "'" + value + "'"
}

// in is a condition on a column of text; none is no condition.
func in(column string, values []string) string {
	if len(values) == 0 {
		return ""
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = Text(v)
	}
	return column + " IN (" + strings.Join(texts, ", ") + ")"
}

// Span is from when (inclusive) to when (exclusive).
type Span struct{ From, To time.Time }

// instant is a literal of a time, to the millisecond, in UTC.
func instant(t time.Time) string {
	return fmt.Sprintf("fromUnixTimestamp64Milli(%d, 'UTC')", t.UnixMilli())
}

func (s Span) on(column string) string {
	return column + " >= " + instant(s.From) + " AND " + column + " < " + instant(s.To)
}

// all joins conditions, those that there are.
func all(conditions ...string) string {
	kept := slices.DeleteFunc(slices.Clone(conditions), empty)
	if len(kept) == 0 {
		return "1"
	}
	return strings.Join(kept, " AND ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
