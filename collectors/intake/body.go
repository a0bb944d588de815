package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// MaxLine bounds one pushed line, in bytes.
const MaxLine = 128 << 10

// Body cuts what came in one piece, the body of an HTTP request or a message, into
// lines. Its memory serves the next one again.
//
// A body is lines, or JSON: objects one a line (NDJSON) or one after another, or an
// array. An element that is a text is a line. An object whose "message", "log" or
// "MESSAGE" is a text, as shippers wrap what they read, stands for that text; any
// other object is a line itself, as it stands. Of an array of a time and an object,
// which Fluent Bit writes, the object counts.
type Body struct {
	Lines   []byte // each with its newline
	Count   int    // of the lines
	Refused [numReasons]int
	text    []byte
}

// Split takes a body in place of the one before.
func (b *Body) Split(body []byte) {
	b.Lines, b.Count, b.Refused = b.Lines[:0], 0, [numReasons]int{}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		b.Refused[Empty]++
	case trimmed[0] == '[' && json.Valid(trimmed): // a log_format may begin with '[', too
		b.array(trimmed)
	case trimmed[0] == '{' && spread(trimmed):
		b.values(trimmed)
	default:
		for line := range bytes.Lines(body) {
			b.line(bytes.TrimRight(line, "\r\n\x00"))
		}
	}
}

// spread reports whether the first object of a body goes over several lines.
func spread(body []byte) bool {
	first, _, more := bytes.Cut(body, []byte{'\n'})
	return more && !json.Valid(first)
}

// values takes objects one after another, however they are laid out.
func (b *Body) values(body []byte) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	for {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Refused[Object]++
			return
		}
		b.value(value)
	}
}

// array takes the elements of a valid array.
func (b *Body) array(body []byte) {
	for s := (scanner{text: body, at: 1}); s.element(); {
		from := s.at
		s.skip()
		b.value(body[from:s.at])
	}
}

// value takes one valid value that stands for a line.
func (b *Body) value(value []byte) {
	switch value[0] {
	case '"':
		b.put(b.unquote(value))
	case '{':
		b.object(value)
	case '[':
		last := []byte(nil)
		for s := (scanner{text: value, at: 1}); s.element(); {
			from := s.at
			s.skip()
			last = value[from:s.at]
		}
		if len(last) > 0 && last[0] == '{' {
			b.object(last)
			return
		}
		b.Refused[Object]++
	default:
		b.Refused[Object]++
	}
}

// line takes one line of a body of lines.
func (b *Body) line(line []byte) {
	if object := bytes.TrimLeft(line, " \t"); len(object) > 0 && object[0] == '{' {
		if json.Valid(object) {
			b.object(object)
			return
		}
	}
	b.put(line)
}

// object takes a valid object.
func (b *Body) object(object []byte) {
	for s := (scanner{text: object, at: 1}); s.element(); {
		from := s.at
		s.skip()
		key := object[from:s.at]
		s.space()
		s.at++ // ':'
		s.space()
		from = s.at
		s.skip()
		if value := object[from:s.at]; value[0] == '"' && wraps(key) {
			b.put(b.unquote(value))
			return
		}
	}
	if bytes.ContainsAny(object, "\r\n") { // between its parts: within texts they are escaped
		object = bytes.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return ' '
			}
			return r
		}, object)
	}
	b.put(object)
}

// wraps reports whether a key's value is a line that a shipper has read.
func wraps(key []byte) bool {
	switch string(key) {
	case `"message"`, `"log"`, `"MESSAGE"`:
		return true
	}
	return false
}

// put keeps a line.
func (b *Body) put(line []byte) {
	line = bytes.TrimRight(line, "\r\n\x00")
	switch {
	case len(bytes.TrimSpace(line)) == 0:
		b.Refused[Empty]++
	case len(line) > MaxLine:
		b.Refused[TooLong]++
	case bytes.IndexByte(line, '\n') >= 0:
		b.Refused[Broken]++
	default:
		b.Lines = append(append(b.Lines, line...), '\n')
		b.Count++
	}
}

// unquote is a valid text's value, valid until the next one.
func (b *Body) unquote(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1]
	}
	b.text = appendUnquoted(b.text[:0], text[1:len(text)-1])
	return b.text
}
