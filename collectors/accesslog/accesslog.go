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

// Format is a log format: the name of one of those below, or the text of a
// log_format of nginx or a LogFormat of Apache (see ByName). The zero value is
// Auto.
type Format string

// The formats that have names.
const (
	Auto          Format = ""               // find it by Detect
	Weir          Format = "weir"           // weir's own nginx JSON
	Combined      Format = "combined"       // nginx and Apache combined, extra fields at the end allowed
	VhostCombined Format = "vhost_combined" // combined with "host:port " or "host " in front
	Common        Format = "common"         // combined without referer and agent
	Caddy         Format = "caddy"          // Caddy's JSON, other messages in between
	Traefik       Format = "traefik"        // Traefik's common log format
	TraefikJSON   Format = "traefik_json"
	HAProxy       Format = "haproxy" // httplog, with or without a syslog header
)

// named lists the formats that have names, in the order in which people read them.
func named() []Format {
	return []Format{Auto, Weir, Combined, VhostCombined, Common, Caddy, Traefik, TraefikJSON, HAProxy}
}

// String is the format's name or text, which ByName takes.
func (f Format) String() string {
	if f == Auto {
		return "auto"
	}
	return string(f)
}

// Names lists the names that ByName takes.
func Names() (names []string) {
	for _, f := range named() {
		names = append(names, f.String())
	}
	return names
}

// ByName is the inverse of String; the empty name is Auto. A text with '$' or '%'
// in it is a format of its own: a log_format of nginx or a LogFormat of Apache, as
// it stands in their configuration or its inside alone. Lines of HAProxy's that
// capture header fields are HAProxy's format with these. The error lists the names, or
// says what is wrong with the text.
func ByName(name string) (Format, error) {
	for _, f := range named() {
		if name == f.String() || name == string(f) {
			return f, nil
		}
	}
	if isCaptures(name) {
		text := oneLine(name)
		if _, err := readCaptures(text); err != nil {
			return Auto, err
		}
		return Format(text), nil
	}
	if !strings.ContainsAny(name, "$%") {
		return Auto, fmt.Errorf("log format %q is not known: want one of %s, or the text of an nginx log_format or an Apache LogFormat", name, strings.Join(Names(), ", "))
	}
	text := oneLine(name)
	if _, err := compile(text); err != nil {
		return Auto, err
	}
	return Format(text), nil
}

// New makes a parser of the format; of Auto and of what ByName refuses it makes
// one that refuses every line.
func New(f Format) Parser {
	const both = schemas.FieldReferer | schemas.FieldUserAgent
	switch f {
	case Weir:
		return &flatJSON{lookup: weirKey}
	case Combined:
		return &combined{fields: both, agent: true}
	case VhostCombined:
		return &combined{fields: schemas.FieldSite | both, agent: true, host: true}
	case Common:
		return &combined{}
	case Caddy:
		return &caddyJSON{}
	case Traefik:
		return &combined{fields: both | schemas.FieldDuration, agent: true, traefik: true}
	case TraefikJSON:
		return &flatJSON{lookup: traefikKey, traefik: true}
	case HAProxy:
		return newHAProxy(nil)
	}
	if isCaptures(string(f)) {
		c, err := readCaptures(string(f))
		if err != nil {
			return refuser{}
		}
		return newHAProxy(c)
	}
	if program, err := compile(string(f)); err == nil {
		return &custom{program: program}
	}
	return refuser{}
}

type refuser struct{}

func (refuser) Parse(line []byte, _ *schemas.Request) Reason { return blankOr(line, Syntax) }

// formatsInOrder are those with names, as lines are tried with them: what takes a line of
// another goes behind that other.
var formatsInOrder = [...]Format{Weir, Caddy, TraefikJSON, HAProxy, Traefik, Combined, VhostCombined, Common}

// Detect finds the format with a name that takes most of the lines, and the share
// of them that it takes; empty lines, and messages of a server that it writes to
// the same log, are left out. Where none takes any it returns Auto and 0.
func Detect(lines [][]byte) (best Format, share float64) {
	var r schemas.Request
	for _, f := range formatsInOrder {
		parser, taken, all := New(f), 0, 0
		for _, line := range lines {
			reason := parser.Parse(line, &r)
			if reason == Empty || reason == Message {
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
	Message                  // something else than a request that this server logs
	NumReasons = int(iota)
)

var reasonNames = [NumReasons]string{
	"none", "empty", "too_long", "truncated", "syntax", "client", "time", "number", "message",
}

// String is the reason's name, as in metrics.
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}
