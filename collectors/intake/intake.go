// Package intake is where listeners put the lines that others push to this machine:
// syslog, HTTP, a pipe. It states what a line needs to be safe, and counts what
// came, what was refused and what was dropped, the same way for every listener.
package intake

import (
	"context"

	"github.com/weir-project/weir/collectors/spool"
)

// Stream tells apart who sends through one listener: the machine whose log it is,
// and what that machine calls the log. Both come from the sender, so whoever keeps
// something for each bounds how many there are.
type Stream struct {
	Edge string // "" is this machine
	Tag  string
}

// Bounds on a stream's names, in bytes; what is longer is cut.
const (
	MaxEdge = 64
	MaxTag  = 48
)

// StreamOf makes a stream of names as they came: cut, and nothing in them but letters,
// digits, '.', '_' and '-', in lower case, so that they can be a file's and a
// metric's.
func StreamOf(edge, tag []byte) Stream {
	return Stream{Edge: clean(edge, MaxEdge), Tag: clean(tag, MaxTag)}
}

func clean(name []byte, most int) string {
	var text [MaxEdge]byte
	n := 0
	for _, c := range name[:min(len(name), most)] {
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-', c == '.' && n > 0:
		default:
			c = '_'
		}
		text[n] = c
		n++
	}
	return string(text[:n])
}

// ErrFull says that there is no room for lines at the moment: what was taken must be
// shipped first. Trying again later is right.
var ErrFull = spool.ErrFull

// Lines takes lines for good. It is called by several goroutines at once.
type Lines interface {
	// Append returns nil once the lines, each with its newline, would survive the death
	// of this process and be shipped, in this order among those of one stream. Where
	// there is no room it waits for some until ctx ends, and then returns an error that wraps
	// ErrFull; none or all of the lines were taken. It keeps nothing of lines.
	Append(ctx context.Context, from Stream, lines []byte) error
}
