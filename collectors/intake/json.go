package intake

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks over JSON that is known to be valid, so that nothing is decoded that is
// not wanted.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// element goes to the next element of an array, or key of an object; false at its end.
func (s *scanner) element() bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == ',' {
		s.at++
		s.space()
	}
	return s.at < len(s.text) && s.text[s.at] != ']' && s.text[s.at] != '}'
}

// skip goes behind the value that begins here.
func (s *scanner) skip() {
	for depth := 0; s.at < len(s.text); {
		switch s.text[s.at] {
		case '"':
			s.skipText()
		case '{', '[':
			depth++
			s.at++
			continue
		case '}', ']':
			depth--
			s.at++
		case ',', ':', ' ', '\t', '\n', '\r':
			s.at++
			continue
		default:
			s.skipWord()
		}
		if depth == 0 {
			return
		}
	}
}

func (s *scanner) skipText() {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return
		}
	}
}

// skipWord goes behind a number, true, false or null.
func (s *scanner) skipWord() {
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case ',', '}', ']', ':', ' ', '\t', '\n', '\r':
			return
		}
	}
}

// appendUnquoted undoes the escapes of a valid text without its quotes (RFC 8259,
// section 7). Half of a surrogate pair becomes U+FFFD.
func appendUnquoted(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' || i+1 == len(text) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = text[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := unit(text[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+2 < len(text) && text[i+1] == '\\' && text[i+2] == 'u' {
					low = unit(text[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// unit is the code unit of four hexadecimal digits.
func unit(digits []byte) rune {
	if len(digits) < 4 {
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(string(digits[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
