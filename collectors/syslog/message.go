package syslog

import (
	"bytes"

	"github.com/weir-project/weir/collectors/intake"
)

// message is one syslog message; its slices alias what it was read from.
type message struct {
	host, tag []byte // nil where the header has none
	line      []byte
}

// parse reads a header of RFC 3164 or RFC 5424 and takes what follows it for a line.
// It is strict where a mistake would take a part of the line for the header: without
// a tag, the first word after the time could be a host or the line's client.
func (m *message) parse(text []byte) intake.Reason {
	*m = message{}
	text, ok := cutPriority(text)
	if !ok {
		return intake.Priority
	}
	if len(text) > 2 && text[0] == '1' && text[1] == ' ' {
		return m.parse5424(text[2:])
	}
	return m.parse3164(text)
}

// plain takes all of a message for a line.
func (m *message) plain(text []byte) intake.Reason {
	*m = message{}
	return m.take(text)
}

// cutPriority takes "<0>" to "<191>" off the front.
func cutPriority(text []byte) (rest []byte, ok bool) {
	if len(text) < 3 || text[0] != '<' {
		return text, false
	}
	n := 0
	for i, c := range text[1:min(len(text), 5)] {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + int(c-'0')
		case c == '>' && i > 0 && n <= 191:
			return text[i+2:], true
		default:
			return text, false
		}
	}
	return text, false
}

// parse3164 reads "Nov 28 17:35:39 host tag[pid]: line", without the host where the
// sender leaves it out, and with a time of RFC 3339 where rsyslog forwards.
func (m *message) parse3164(text []byte) intake.Reason {
	text, ok := cutTime(text)
	if !ok {
		return intake.Header
	}
	word, rest := cutWord(text)
	if tag, ok := tagOf(word); ok {
		m.tag = tag
		return m.take(rest)
	}
	if !isHost(word) {
		return intake.Header
	}
	m.host = word
	word, rest = cutWord(rest)
	if m.tag, ok = tagOf(word); !ok {
		return intake.Header
	}
	return m.take(rest)
}

// cutTime takes a time and the space after it off the front: "Jan _2 15:04:05" (RFC
// 3164, section 4.1.2), or one that begins like RFC 3339's.
func cutTime(text []byte) (rest []byte, ok bool) {
	const length = len("Jan _2 15:04:05")
	if len(text) > length && text[length] == ' ' && text[3] == ' ' && text[6] == ' ' && text[9] == ':' && text[12] == ':' &&
		isMonth(text[:3]) && (text[4] == ' ' || isDigit(text[4])) && isDigit(text[5]) &&
		isDigit(text[7]) && isDigit(text[8]) && isDigit(text[10]) && isDigit(text[11]) && isDigit(text[13]) && isDigit(text[14]) {
		return text[length+1:], true
	}
	word, rest := cutWord(text)
	return rest, isTime(word)
}

func isMonth(word []byte) bool {
	switch string(word) {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec":
		return true
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isTime looks at the fixed part of "2006-01-02T15:04:05...".
func isTime(word []byte) bool {
	const shape = "dddd-dd-ddTdd:dd:dd"
	if len(word) < len(shape) || len(word) > 40 {
		return false
	}
	for i := range len(shape) {
		if shape[i] == 'd' && !isDigit(word[i]) || shape[i] != 'd' && word[i] != shape[i] {
			return false
		}
	}
	return true
}

// cutWord takes what comes before the first space, which is dropped.
func cutWord(text []byte) (word, rest []byte) {
	word, rest, _ = bytes.Cut(text, []byte{' '})
	return word, rest
}

// tagOf reads "tag:" and "tag[pid]:".
func tagOf(word []byte) (tag []byte, ok bool) {
	if len(word) < 2 || word[len(word)-1] != ':' {
		return nil, false
	}
	tag = word[:len(word)-1]
	if at := bytes.IndexByte(tag, '['); at > 0 && tag[len(tag)-1] == ']' {
		tag = tag[:at]
	}
	for _, c := range tag {
		if !isNameByte(c) && c != '/' && c != '@' {
			return nil, false
		}
	}
	return tag, true
}

// isHost reports whether a word can be a host's name or address.
func isHost(word []byte) bool {
	for _, c := range word {
		if !isNameByte(c) && c != ':' && c != '%' && c != '[' && c != ']' {
			return false
		}
	}
	return len(word) > 0 && len(word) <= 255
}

func isNameByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) || c == '-' || c == '_' || c == '.'
}

// parse5424 reads what follows "<PRI>1 ": time, host, application, process, message
// id, structured data, each "-" where there is none (RFC 5424, section 6).
func (m *message) parse5424(text []byte) intake.Reason {
	var words [5][]byte
	for i := range words {
		if words[i], text = cutWord(text); len(words[i]) == 0 || len(words[i]) > 255 {
			return intake.Header
		}
	}
	if t := words[0]; !isNil(t) && !isTime(t) {
		return intake.Header
	}
	m.host, m.tag = known(words[1]), known(words[2])
	text, ok := cutData(text)
	if !ok {
		return intake.Header
	}
	return m.take(bytes.TrimPrefix(text, []byte("\ufeff"))) // MSG-UTF8 begins with a BOM
}

func isNil(word []byte) bool { return len(word) == 1 && word[0] == '-' }

func known(word []byte) []byte {
	if isNil(word) {
		return nil
	}
	return word
}

// cutData takes structured data and the space after it off the front. Within a value
// '"', '\' and ']' are escaped by a '\' (section 6.3.3).
func cutData(text []byte) (rest []byte, ok bool) {
	if len(text) > 0 && text[0] == '-' {
		return afterData(text[1:])
	}
	if len(text) == 0 || text[0] != '[' {
		return text, false
	}
	for quoted, i := false, 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == ']' && (i+1 == len(text) || text[i+1] != '['):
			return afterData(text[i+1:])
		}
	}
	return text, false
}

func afterData(text []byte) (rest []byte, ok bool) {
	if len(text) == 0 {
		return text, true // no message
	}
	return text[1:], text[0] == ' '
}

// take makes the line of what follows the header. rsyslog leaves a space in front of
// it, and senders end it by newlines, carriage returns and NULs.
func (m *message) take(text []byte) intake.Reason {
	text = bytes.TrimRight(text, "\r\n\x00")
	if len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return intake.Empty
	}
	if bytes.IndexByte(text, '\n') >= 0 {
		return intake.Broken
	}
	m.line = text
	return intake.Taken
}
