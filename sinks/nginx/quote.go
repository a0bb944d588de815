package nginx

import (
	"fmt"
	"strings"
)

// maxToken bounds one word of the configuration as written, in bytes: nginx
// reads it through a buffer of 4096 (NGX_CONF_BUFFER) and refuses longer ones.
const maxToken = 4000

// appendLiteral appends a PCRE pattern for exactly these bytes, written so that
// it can stand in a double-quoted word of nginx's configuration. There, a
// backslash before t, r, n, a quote or a backslash is taken by nginx itself and
// any other goes on to PCRE; so those are written as \xHH, and so is whatever is
// not printable ASCII.
func appendLiteral(dst []byte, value string) []byte {
	const hex = "0123456789abcdef"
	for _, c := range []byte(value) {
		switch {
		case c < ' ' || c > '~' || c == '\\' || c == '"' || c == '\'':
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		case strings.IndexByte("$^.|?*+()[]{}#-", c) >= 0:
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func literal(value string) string { return string(appendLiteral(nil, value)) }

// keyPattern is a map's key for a regular expression, matched with case: exact
// strings need it too, because a plain key is compared without case.
func keyPattern(pattern string) (string, error) {
	key := `"~` + pattern + `"`
	if len(key) > maxToken {
		return "", fmt.Errorf("as nginx pattern it has %d bytes, nginx reads %d", len(key), maxToken)
	}
	return key, nil
}

// keyExact is a map's key for exactly this value. bound is where a collector
// cuts the value, in bytes: one of that length stands for every longer one that
// begins so.
func keyExact(value string, bound int) (string, error) {
	switch {
	case value == "":
		return `""`, nil
	case len(value) > bound:
		return "", fmt.Errorf("%d bytes, but what is logged is cut at %d: it would never match", len(value), bound)
	case len(value) == bound:
		return keyPattern("^" + literal(value))
	}
	return keyPattern("^" + literal(value) + `\z`)
}
