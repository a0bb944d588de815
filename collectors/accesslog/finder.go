package accesslog

import "github.com/weir-project/weir/schemas"

// Finder is a Parser of a log whose format nobody named. A line that its format refuses is
// tried with the other formats that have names, and the one that takes it is the format from
// then on: servers are told to log otherwise while they run, and several of one machine may
// share a log.
type Finder struct {
	format  Format
	parser  Parser
	parsers [len(formatsInOrder)]Parser
	missed  int // lines since one was taken
}

// Of lines that no format takes, the first ones in a row are tried with all, and then one
// of so many, so that what is no log costs little more than to refuse it.
const triedLines, triedOneOf = 64, 64

// Reset has it begin anew, with a format with a name, or Auto.
func (f *Finder) Reset(format Format) {
	f.format, f.missed = format, 0
	for i, name := range formatsInOrder {
		if f.parsers[i] == nil {
			f.parsers[i] = New(name)
		}
		if name == format {
			f.parser = f.parsers[i]
			return
		}
	}
	f.parser = New(format)
}

// Format is the one that took the last line that was taken.
func (f *Finder) Format() Format { return f.format }

// Parse implements Parser.
func (f *Finder) Parse(line []byte, r *schemas.Request) Reason {
	reason := f.parser.Parse(line, r)
	if reason == None {
		f.missed = 0
		return None
	}
	if reason == Empty || reason == TooLong {
		return reason
	}
	if f.missed++; f.missed > triedLines && f.missed%triedOneOf != 0 {
		return reason
	}
	for i, name := range formatsInOrder {
		if f.parsers[i] == nil {
			f.parsers[i] = New(name)
		}
		if name != f.format && f.parsers[i].Parse(line, r) == None {
			f.format, f.parser, f.missed = name, f.parsers[i], 0
			return None
		}
	}
	return reason
}
