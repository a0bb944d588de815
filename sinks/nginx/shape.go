package nginx

import (
	"fmt"
	"strings"
)

// A segment of a path by its class, in the words of schemas.PathShape; each is
// preceded by its conditions and followed by its length. None contains '/' or '?'.
var segmentClasses = map[byte]string{
	'd': `[0-9]`,
	'a': `[A-Za-z]`,
	'm': `(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]`,
	's': `(?=[A-Za-z0-9]*[-_])[-_A-Za-z0-9]`,
	'x': `(?=` + strangeAhead + `)[^/?]`,
}

var segmentLengths = map[byte]string{'1': `{1,4}`, '2': `{5,12}`, '3': `{13,}`}

// strangeAhead looks ahead for the byte that makes a segment class x.
const strangeAhead = `[-_A-Za-z0-9]*[^-_A-Za-z0-9/?]`

// extensionAhead looks ahead for a last segment that has an extension.
const extensionAhead = `[^/?]+\.[A-Za-z0-9]{1,5}(?:\?|\z)`

// pathPattern is a regular expression over $request_uri for exactly the paths
// whose schemas.PathShape is the given one.
func pathPattern(shape string) (string, error) {
	impossible := fmt.Errorf("no path has the shape %q", shape)
	if shape == "?" {
		return `^(?!/)`, nil
	}
	var b strings.Builder
	b.WriteByte('^')
	segments, rest := 0, shape
	for rest != "" {
		if rest[0] != '/' {
			return "", impossible
		}
		b.WriteByte('/')
		rest = rest[1:]
		switch {
		case rest == "" && segments <= shapeDepth:
			b.WriteString(pathEnd)
			return b.String(), nil
		case segments == shapeDepth:
			if rest != "+" {
				return "", impossible
			}
			b.WriteString(`[^?]`)
			return b.String(), nil
		case rest[0] == '/': // an empty segment
			segments++
			continue
		case len(rest) < 2 || segmentClasses[rest[0]] == "" || segmentLengths[rest[1]] == "":
			return "", impossible
		}
		class, length := rest[0], rest[1]
		rest = rest[2:]
		segments++
		end := ""
		if rest != "" && rest[0] == '.' {
			if !extension(rest[1:]) {
				return "", impossible
			}
			end, rest = `\`+rest, ""
		}
		if class == 'x' && end != "" {
			b.WriteString(`(?=` + strangeAhead + `[^/?]*` + end + pathEnd + `)`)
		} else if class == 'x' && rest == "" {
			b.WriteString(`(?!` + extensionAhead + `)`)
		}
		b.WriteString(segmentClasses[class] + segmentLengths[length] + end)
	}
	if segments == 0 {
		return "", impossible
	}
	b.WriteString(pathEnd)
	return b.String(), nil
}

const (
	shapeDepth = 4 // as in schemas.PathShape
	pathEnd    = `(?:\?|\z)`
)

func extension(s string) bool {
	if len(s) < 1 || len(s) > 5 {
		return false
	}
	for _, c := range []byte(s) {
		if !plain(c) {
			return false
		}
	}
	return true
}

// Keys of a query, in the words of schemas.QueryKeys.
const (
	queryKeys    = 6
	keyLength    = 64
	keyBytes     = `A-Za-z0-9._\-\[\]%`
	keyStrange   = `(?=[^=&]{65}|[` + keyBytes + `]*[^` + keyBytes + `=&])[^=&]+`
	valuePattern = `(?:=[^&]*)?`
)

// queryPattern is a regular expression over $request_uri for exactly the
// queries whose schemas.QueryKeys is the given value.
func queryPattern(value string) (string, error) {
	if value == "" {
		return `^[^?]*(?:\?(?:=[^&]*)?)?\z`, nil
	}
	keys := strings.Split(value, "&")
	if len(keys) > queryKeys+1 {
		return "", fmt.Errorf("no query has the keys %q: at most %d are told apart", value, queryKeys)
	}
	var b strings.Builder
	b.WriteString(`^[^?]*\?`)
	for i, key := range keys {
		if i > 0 {
			b.WriteByte('&')
		}
		if i == queryKeys {
			switch key {
			case "+":
				b.WriteString(`[\s\S]`)
				return b.String(), nil
			case "":
				b.WriteString(`\z`)
				return b.String(), nil
			}
			return "", fmt.Errorf("no query has the keys %q: after %d keys comes '+'", value, queryKeys)
		}
		if key == "*" {
			b.WriteString(keyStrange)
		} else if plainKey(key) {
			b.WriteString(literal(key))
		} else {
			return "", fmt.Errorf("no query has the keys %q: %q would stand as '*'", value, key)
		}
		b.WriteString(valuePattern)
	}
	b.WriteString(`\z`)
	return b.String(), nil
}

func plainKey(key string) bool {
	for _, c := range []byte(key) {
		if !plain(c) && strings.IndexByte("._-[]%", c) < 0 {
			return false
		}
	}
	return len(key) <= keyLength
}
