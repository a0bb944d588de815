// Package accesslog turns one line of a web server's access log into a
// schemas.Request, without allocating. It reads bytes and nothing else: where
// lines come from and where requests go is not its business.
//
// A line either gives the right fields or is refused with a Reason; it never
// gives a wrong field. What a client may choose (the request line, the host, the
// agent, the referer) is taken as it was sent, with the log's own escapes undone,
// so that a value equals what the edge's own variables hold.
package accesslog

import (
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// MaxLine bounds one line, in bytes without its end. No web server logs longer
// ones from a request that it has accepted.
const MaxLine = 1 << 20

// Parser reads the lines of one format. It keeps memory between lines, so it
// serves one goroutine.
type Parser interface {
	// Parse fills r from line, which has no newline at its end (a carriage return
	// is ignored), and returns None; or it returns why not, and r is undefined.
	// r's slices alias the line and the parser's memory: they are valid until
	// the line changes or Parse is called again. Values are not cut to schemas'
	// bounds: the batch's builder does that.
	Parse(line []byte, r *schemas.Request) Reason
}

// Format names a log format. The zero value is Auto.
type Format uint8

// The formats.
const (
	Auto          Format = iota // find it by Detect
	Weir                        // weir's own nginx JSON
	Combined                    // nginx and Apache combined, extra fields at the end allowed
	VhostCombined               // combined with "host:port " or "host " in front
	Common                      // combined without referer and agent
	numFormats    = int(iota)
)

var formatNames = [numFormats]string{"auto", "weir", "combined", "vhost_combined", "common"}

// String is the format's name, as in a configuration and in NATS subjects.
func (f Format) String() string {
	if int(f) < numFormats {
		return formatNames[f]
	}
	return "unknown"
}

// Names lists the names that ByName takes.
func Names() []string { return append([]string(nil), formatNames[:]...) }

// ByName is the inverse of String; the empty name is Auto. The error lists the
// names.
func ByName(name string) (Format, error) {
	if name == "" {
		return Auto, nil
	}
	for f, n := range formatNames {
		if n == name {
			return Format(f), nil
		}
	}
	return Auto, fmt.Errorf("log format %q is not known: want one of %s", name, strings.Join(formatNames[:], ", "))
}

// New makes a parser of the format; of Auto and of unknown formats it makes one
// that refuses every line.
func New(f Format) Parser {
	switch f {
	case Weir:
		return &weirJSON{}
	case Combined:
		return &combined{fields: schemas.FieldReferer | schemas.FieldUserAgent, agent: true}
	case VhostCombined:
		return &combined{fields: schemas.FieldSite | schemas.FieldReferer | schemas.FieldUserAgent, agent: true, host: true}
	case Common:
		return &combined{}
	}
	return refuser{}
}

type refuser struct{}

func (refuser) Parse([]byte, *schemas.Request) Reason { return Syntax }

// Detect finds the format that takes most of the lines, and the share of them
// that it takes, empty lines left out. Where none takes any it returns Auto and 0.
func Detect(lines [][]byte) (best Format, share float64) {
	var r schemas.Request
	for f := Weir; int(f) < numFormats; f++ {
		parser, taken, all := New(f), 0, 0
		for _, line := range lines {
			reason := parser.Parse(line, &r)
			if reason == Empty {
				continue
			}
			all++
			if reason == None {
				taken++
			}
		}
		if taken > 0 && float64(taken)/float64(all) > share {
			best, share = f, float64(taken)/float64(all)
		}
	}
	return best, share
}

// Reason says why a line was refused. The set is small and fixed, so that it can
// be a metric's label.
type Reason uint8

// The reasons.
const (
	None       Reason = iota // not refused
	Empty                    // nothing but white space
	TooLong                  // more than MaxLine bytes
	Truncated                // the input broke off within the line
	Syntax                   // not a line of this format
	Client                   // the client is not an IP address
	Time                     // no time, or not one
	Number                   // a number is malformed or out of range
	NumReasons = int(iota)
)

var reasonNames = [NumReasons]string{
	"none", "empty", "too_long", "truncated", "syntax", "client", "time", "number",
}

// String is the reason's name, as in metrics.
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}
