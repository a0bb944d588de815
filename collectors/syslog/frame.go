package syslog

import (
	"bytes"
	"errors"
	"io"

	"github.com/weir-project/weir/collectors/intake"
)

// framing is how the messages of a connection are told apart (RFC 6587, section 3.4).
type framing uint8

const (
	unknown framing = iota
	newline         // each ends with a newline (or a NUL, as old senders do)
	counted         // each begins with its length
)

// framer cuts a connection's bytes into messages without copying them. Its buffer
// grows to a message's bound and no further.
type framer struct {
	source io.Reader
	most   int     // bytes of one message
	mode   framing // found from the first byte where unknown
	buffer []byte
	start  int // where the next message begins
	end    int // of what was read
	skip   int // bytes that are still to be left out: the rest of a message that is too long
	line   bool
	ended  error
}

// firstBuffer is what a connection's buffer begins with, in bytes.
const firstBuffer = 16 << 10

// maxCount bounds the digits of a counted message's length.
const maxCount = 9

// errMore says that the message is not there as a whole yet.
var errMore = errors.New("more must be read")

// next gives the next message of those that were read: errMore where there is none as
// a whole. A message with a reason is not to be used. The message is valid until fill.
// An Unframed one is the last.
func (f *framer) next() (message []byte, reason intake.Reason, err error) {
	if f.mode == unknown {
		if f.start == f.end {
			return nil, 0, errMore
		}
		f.mode = newline
		if c := f.buffer[f.start]; c >= '1' && c <= '9' {
			f.mode = counted
		}
	}
	if f.mode == counted {
		return f.nextCounted()
	}
	return f.nextLine()
}

// nextLine gives a message up to its newline.
func (f *framer) nextLine() ([]byte, intake.Reason, error) {
	rest := f.buffer[f.start:f.end]
	at := bytes.IndexByte(rest, '\n')
	if f.line { // within one that is too long
		if at < 0 {
			f.start = f.end
			return nil, 0, errMore
		}
		f.start, f.line = f.start+at+1, false
		return f.nextLine()
	}
	switch {
	case at > f.most:
		f.start += at + 1
		return nil, intake.TooLong, nil
	case at >= 0:
		f.start += at + 1
		return rest[:at], intake.Taken, nil
	case len(rest) > f.most:
		f.start, f.line = f.end, true
		return nil, intake.TooLong, nil
	}
	return nil, 0, errMore
}

// nextCounted gives a message after its length and a space. A length that is none
// cannot be recovered from: where the next message begins is not known.
func (f *framer) nextCounted() ([]byte, intake.Reason, error) {
	if f.skip > 0 {
		n := min(f.skip, f.end-f.start)
		f.start += n
		f.skip -= n
		if f.skip > 0 {
			return nil, 0, errMore
		}
	}
	rest := f.buffer[f.start:f.end]
	for len(rest) > 0 && (rest[0] == '\n' || rest[0] == '\r') { // some end counted messages with one, too
		rest = rest[1:]
		f.start++
	}
	length := 0
	for i, c := range rest {
		switch {
		case c >= '0' && c <= '9' && i < maxCount && (c != '0' || i > 0):
			length = length*10 + int(c-'0')
			continue
		case c != ' ' || i == 0:
			return nil, intake.Unframed, nil
		case length > f.most:
			f.start, f.skip = f.start+i+1, length
			return nil, intake.TooLong, nil
		case len(rest)-i-1 < length:
			return nil, 0, errMore
		}
		f.start += i + 1 + length
		return rest[i+1 : i+1+length], intake.Taken, nil
	}
	return nil, 0, errMore
}

// fill reads more; the error is the source's, io.EOF included, and comes once all that
// was read has been given.
func (f *framer) fill() error {
	if f.ended != nil {
		return f.ended
	}
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if f.end == len(f.buffer) {
		if f.start > 0 {
			f.end = copy(f.buffer, f.buffer[f.start:f.end])
			f.start = 0
		} else { // a whole message and its length fit, at most
			size := min(max(firstBuffer, 2*len(f.buffer)), f.most+firstBuffer)
			f.buffer = append(f.buffer, make([]byte, size-len(f.buffer))...)
		}
	}
	n, err := f.source.Read(f.buffer[f.end:])
	f.end += n
	if err != nil {
		f.ended = err
		if n == 0 {
			return err
		}
	}
	return nil
}

// rest is what the source ended with: a last line without its newline is one; part of
// a counted message is none, and Idle.
func (f *framer) rest() (message []byte, reason intake.Reason) {
	message = f.buffer[f.start:f.end]
	f.start = f.end
	switch {
	case f.mode == counted && (len(message) > 0 || f.skip > 0):
		return nil, intake.Idle
	case f.line || len(message) == 0:
		return nil, intake.Empty
	}
	return message, intake.Taken
}

// inside reports whether the source stopped within a message.
func (f *framer) inside() bool { return f.start < f.end || f.skip > 0 || f.line }
