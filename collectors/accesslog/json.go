package accesslog

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The scanner of one JSON object (RFC 8259) on one line, as nginx's escape=json
// writes it: keys in any order, any value. It differs from the RFC in two
// things that nginx does: bytes that are no UTF-8 stand in strings as they were
// sent, and numbers may have leading zeros ($status is "009" for HTTP/0.9).

// maxDepth bounds the nesting of values under unknown keys.
const maxDepth = 32

// kind is what a value is.
type kind uint8

const (
	kindBad kind = iota
	kindString
	kindNumber
	kindNull
	kindOther // true, false, an object, an array
)

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// Words of eight bytes at once (Hacker's Delight, 6-1): mark has the top bit of
// the lowest byte set that is a quote, a backslash or a control character, and
// nothing below it. With bit 1 turned over a quote lies below 0x21, as control
// characters do and nothing else does.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

func mark(word uint64) uint64 {
	quote := word ^ lows*2
	slash := word ^ lows*'\\'
	return ((quote-lows*0x21)&^quote | (slash-lows)&^slash) & highs
}

// stringEnd is the index of the quote that closes the string whose inside begins
// at i, and whether it holds escapes; -1 where there is none.
func stringEnd(text []byte, i int) (end int, escaped bool) {
	for i+16 <= len(text) {
		first := mark(binary.LittleEndian.Uint64(text[i:]))
		second := mark(binary.LittleEndian.Uint64(text[i+8:]))
		if first|second == 0 {
			i += 16
			continue
		}
		if first == 0 {
			first = second
			i += 8
		}
		i += bits.TrailingZeros64(first) >> 3
		if text[i] == '"' {
			return i, escaped
		}
		if text[i] != '\\' {
			return -1, escaped
		}
		escaped = true
		i += 2
	}
	for i < len(text) {
		switch c := text[i]; {
		case c == '"':
			return i, escaped
		case c == '\\':
			escaped = true
			i += 2
		case c < 0x20:
			return -1, escaped
		default:
			i++
		}
	}
	return -1, escaped
}

// numberEnd is the index behind the number at i, or i where there is none.
func numberEnd(text []byte, i int) int {
	start := i
	if i < len(text) && text[i] == '-' {
		i++
	}
	end := digitsEnd(text, i)
	if end == i {
		return start
	}
	i = end
	if i < len(text) && text[i] == '.' {
		if end = digitsEnd(text, i+1); end == i+1 {
			return start
		}
		i = end
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		if end = digitsEnd(text, i); end == i {
			return start
		}
		i = end
	}
	return i
}

func digitsEnd(text []byte, i int) int {
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	return i
}

// valueEnd is the index behind the value at i, and what it is. For a string the
// caller has already seen to it.
func (s *stops) valueEnd(text []byte, i, depth int) (end int, k kind) {
	if i >= len(text) {
		return i, kindBad
	}
	switch text[i] {
	case '"':
		end, escaped := s.stringEnd(text, i+1)
		if end < 0 || escaped && !escapesHold(text[i+1:end]) {
			return i, kindBad
		}
		return end + 1, kindString
	case '{', '[':
		return s.nestedEnd(text, i, depth)
	case 'n':
		return wordEnd(text, i, "null", kindNull)
	case 't':
		return wordEnd(text, i, "true", kindOther)
	case 'f':
		return wordEnd(text, i, "false", kindOther)
	}
	if end = numberEnd(text, i); end == i {
		return i, kindBad
	}
	return end, kindNumber
}

func wordEnd(text []byte, i int, word string, k kind) (int, kind) {
	if len(text)-i < len(word) || string(text[i:i+len(word)]) != word {
		return i, kindBad
	}
	return i + len(word), k
}

// nestedEnd is valueEnd for an object or an array.
func (s *stops) nestedEnd(text []byte, i, depth int) (end int, k kind) {
	object := text[i] == '{'
	closing := text[i] + 2 // '{' + 2 = '}', '[' + 2 = ']'
	if depth == maxDepth {
		return i, kindBad
	}
	if i++; i < len(text) && text[i] <= ' ' {
		i = skipSpace(text, i)
	}
	if i < len(text) && text[i] == closing {
		return i + 1, kindOther
	}
	for {
		if object {
			if i >= len(text) || text[i] != '"' {
				return i, kindBad
			}
			if i, k = s.valueEnd(text, i, depth); k == kindBad {
				return i, kindBad
			}
			if i < len(text) && text[i] != ':' {
				i = skipSpace(text, i)
			}
			if i >= len(text) || text[i] != ':' {
				return i, kindBad
			}
			if i++; i < len(text) && text[i] <= ' ' {
				i = skipSpace(text, i)
			}
		}
		if i, k = s.valueEnd(text, i, depth+1); k == kindBad {
			return i, kindBad
		}
		if i < len(text) && text[i] <= ' ' {
			i = skipSpace(text, i)
		}
		switch {
		case i >= len(text):
			return i, kindBad
		case text[i] == closing:
			return i + 1, kindOther
		case text[i] != ',':
			return i, kindBad
		}
		if i++; i < len(text) && text[i] <= ' ' {
			i = skipSpace(text, i)
		}
	}
}

// escapesHold reports whether every escape in the inside of a string is one.
func escapesHold(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if i == len(text) {
			return false
		}
		if text[i] == 'u' {
			if _, ok := unicodeEscape(text[i+1:]); !ok {
				return false
			}
			i += 4
		} else if jsonEscape(text[i]) == 0 {
			return false
		}
	}
	return true
}

// appendJSON appends the inside of a string with its escapes undone. A half of a
// surrogate pair alone becomes U+FFFD, as everywhere.
func appendJSON(dst, text []byte) (_ []byte, ok bool) {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			dst = append(dst, text[i])
			continue
		}
		i++
		if i == len(text) {
			return dst, false
		}
		if text[i] != 'u' {
			c := jsonEscape(text[i])
			if c == 0 {
				return dst, false
			}
			dst = append(dst, c)
			continue
		}
		code, ok := unicodeEscape(text[i+1:])
		if !ok {
			return dst, false
		}
		i += 4
		if utf16.IsSurrogate(code) {
			low, paired := rune(0), false
			if i+2 < len(text) && text[i+1] == '\\' && text[i+2] == 'u' {
				low, paired = unicodeEscape(text[i+3:])
			}
			if code = utf16.DecodeRune(code, low); paired && code != utf8.RuneError {
				i += 6
			}
		}
		dst = utf8.AppendRune(dst, code)
	}
	return dst, true
}

func jsonEscape(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

func unicodeEscape(text []byte) (code rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for _, c := range text[:4] {
		digit := unhex(c)
		if digit > 15 {
			return 0, false
		}
		code = code<<4 | rune(digit)
	}
	return code, true
}
