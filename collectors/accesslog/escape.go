package accesslog

// appendUnescaped appends text with a log's escapes undone: \xHH as nginx and
// Apache write it, and Apache's \" \\ \b \n \r \t \v \f. A backslash before
// anything else was no escape, and stays.
func appendUnescaped(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' || i+1 == len(text) {
			dst = append(dst, c)
			continue
		}
		if text[i+1] == 'x' && i+3 < len(text) {
			high, low := unhex(text[i+2]), unhex(text[i+3])
			if high < 16 && low < 16 {
				dst = append(dst, high<<4|low)
				i += 3
				continue
			}
		}
		if plain := unescapeTable(text[i+1]); plain != 0 {
			dst = append(dst, plain)
			i++
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// appendUnquoted appends text with \" undone, and no other escape: Traefik has
// only this one.
func appendUnquoted(dst, text []byte) []byte {
	for i, c := range text {
		if c == '\\' && i+1 < len(text) && text[i+1] == '"' {
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

func unescapeTable(c byte) byte {
	switch c {
	case '"', '\\':
		return c
	case 'b':
		return '\b'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	case 'f':
		return '\f'
	}
	return 0
}

// unhex is the value of a hexadecimal digit, 255 where it is none.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}
