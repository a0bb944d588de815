// Package window keeps what one site did second by second, in event time: panes of
// one second, the 10-second window that slides over them, and the longer ones
// that step with it; and it keeps the time itself: watermarks of the sources, how late
// requests come, and whose clock is wrong.
package window

import "math"

// Count names one of a pane's counters.
type Count int

// The counters. All count requests, except NewClients and Work.
const (
	Requests    Count = iota
	NotFound          // answered 404 or 410
	ClientError       // 4xx without 404, 410 and 499
	ServerError       // 5xx
	Abandoned         // 499: the client gave up waiting
	Slow              // took longer than the processor's bound
	NewClients        // clients not seen before
	Pages             // not an asset (style, script, image, font)
	NoReferer         // without a referer, where the format carries it
	Stopped           // an edge did not let it through
	Late              // came after its second had closed
	Work              // milliseconds that the application was busy with them, where that is known
	Holes             // refused or not there, with a path that scanners try
	NumCounts   = int(Holes) + 1
)

// Counts is one number for each Count.
type Counts [NumCounts]uint64

// Add adds other.
func (c *Counts) Add(other *Counts) {
	for i, n := range other {
		c[i] += n
	}
}

// Sub takes away other, which was added before.
func (c *Counts) Sub(other *Counts) {
	for i, n := range other {
		c[i] -= n
	}
}

// stepCounts are the counts of ten seconds, in half the room: there are sixty to a site. What
// does not fit, 400 million requests a second, counts as the most that does.
type stepCounts [NumCounts]uint32

func stepCountsOf(c *Counts) (s stepCounts) {
	for i, n := range c {
		s[i] = uint32(min(n, math.MaxUint32))
	}
	return s
}

func (c *Counts) add(s *stepCounts) {
	for i, n := range s {
		c[i] += uint64(n)
	}
}

func (c *Counts) sub(s *stepCounts) {
	for i, n := range s {
		c[i] -= uint64(n)
	}
}

// Mark names what a client can be marked with in a window. Marks count clients, not
// requests: one scanner asks for a thousand missing pages, and is one client.
type Mark int

// The marks.
const (
	MissingPage Mark = iota // asked for a page that is not there
	UnknownPath             // asked for a path that the site has not served before
	Unfamiliar              // uses a client program that the site does not know
	Loading                 // asked for an asset, as browsers do that show a page
	Declared                // says that it is no browser
	NumMarks    = int(Declared) + 1
)
