package tail

import (
	"bytes"
	"errors"
	"io"

	"github.com/weir-project/weir/collectors/accesslog"
)

// blockSize is how much is read at once, in bytes.
const blockSize = 256 << 10

// lineReader cuts a stream into lines without copying them. Its buffer grows to
// a line's bound and no further.
type lineReader struct {
	source io.Reader
	buffer []byte
	line   int // where the line returned last begins
	start  int // where the next one begins
	end    int // of what was read
	ended  bool
	failed error // what ended the stream, but its end
}

// next gives the next line without its newline. reason is None, TooLong (then
// line is nil), or Truncated where the stream failed within it. ok is false at
// the end. The line is valid until the next call of next or peek.
func (l *lineReader) next() (line []byte, reason accesslog.Reason, ok bool) {
	l.line = l.start
	for from := l.start; ; {
		if at := bytes.IndexByte(l.buffer[from:l.end], '\n'); at >= 0 {
			line = l.buffer[l.start : from+at]
			l.start = from + at + 1
			return line, accesslog.None, true
		}
		if l.ended {
			line = l.buffer[l.start:l.end]
			l.start = l.end
			if len(line) > 0 && l.failed != nil {
				reason = accesslog.Truncated
			}
			return line, reason, len(line) > 0
		}
		if l.end-l.start > accesslog.MaxLine {
			return nil, accesslog.TooLong, l.discard()
		}
		scanned := l.end - l.start
		l.fill()
		from = l.start + scanned
	}
}

// discard drops the rest of a line.
func (l *lineReader) discard() bool {
	for {
		if at := bytes.IndexByte(l.buffer[l.start:l.end], '\n'); at >= 0 {
			l.start += at + 1
			l.line = l.start
			return true
		}
		if l.start, l.line = l.end, l.end; l.ended {
			return true
		}
		l.fill()
	}
}

// peek calls each with up to most lines after the one that next returned, as far as they lie within
// a block, and gives that one again, because it may have moved. Lines are valid during the call.
func (l *lineReader) peek(most int, each func(line []byte)) (line []byte) {
	length := l.start - l.line
	if length > 0 && l.buffer[l.start-1] == '\n' {
		length--
	}
	for from := 0; most > 0; most-- { // bytes after start
		at := bytes.IndexByte(l.buffer[l.start+from:l.end], '\n')
		for at < 0 && !l.ended && l.end-l.start <= blockSize {
			l.fill()
			at = bytes.IndexByte(l.buffer[l.start+from:l.end], '\n')
		}
		if at < 0 {
			break
		}
		each(l.buffer[l.start+from : l.start+from+at])
		from += at + 1
	}
	return l.buffer[l.line : l.line+length]
}

// fill reads more, keeping the line returned last and what follows it.
func (l *lineReader) fill() {
	if l.end == len(l.buffer) {
		if l.line > 0 {
			copy(l.buffer, l.buffer[l.line:l.end])
			l.start, l.end, l.line = l.start-l.line, l.end-l.line, 0
		} else {
			l.buffer = append(l.buffer, make([]byte, max(blockSize, len(l.buffer)))...)
		}
	}
	n, err := l.source.Read(l.buffer[l.end:])
	l.end += n
	if err != nil {
		l.ended = true
		if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			l.failed = err
		}
	}
}

// sample gives the first lines without consuming them; a last line without its
// newline only where the stream ends with it.
func (l *lineReader) sample() (lines [][]byte, raw []byte) {
	for !l.ended && l.end < blockSize {
		l.fill()
	}
	raw = l.buffer[:l.end]
	for rest := raw; len(rest) > 0 && len(lines) < 1000; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		if whole || l.ended && l.failed == nil {
			lines = append(lines, line)
		}
		rest = after
	}
	return lines, raw
}
