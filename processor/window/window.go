// Package window keeps what one site did second by second, in event time: panes of
// one second, the 10-second window that slides over them, and the longer ones
// that step with it.
package window

// Count names one of a pane's counters.
type Count int

// The counters. All count requests, except NewClients.
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
	NumCounts   = int(Late) + 1
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

// Mark names what a client can be marked with in a window. Marks count clients, not
// requests: one scanner asks for a thousand missing pages, and is one client.
type Mark int

// The marks.
const (
	MissingPage Mark = iota // asked for a page that is not there
	UnknownPath             // asked for a path that the site has not served before
	Unfamiliar              // uses a client program that the site does not know
	NumMarks    = int(Unfamiliar) + 1
)

const (
	// Short is the length of the short window in panes, and the step of the others.
	Short = 10
	// Open is how many seconds may be open at once: lateness can be at most one less.
	Open = 22
	ring = 32 // at least Short + Open
	tens = 60 // 10 minutes of 10-second steps
)

// Site is the windows of one site. Seconds are unix seconds. Advance closes them in
// order. The zero value starts with the first Advance or Pane. Not for concurrent use.
type Site struct {
	panes  [ring]Pane
	closed int64 // the last second closed; 0 before the first
	short  Counts
	steps  [tens]Counts
	step   int // the steps closed
	minute Counts
	long   Counts
	since  Counts // closed seconds since the last step

	merged Pane // of the short window, when it is read
}

// Pane is the open pane for a second: the oldest open one where the second has
// closed (late is then true), the newest that may be open where it is too far ahead.
func (s *Site) Pane(second int64) (p *Pane, late bool) {
	if s.closed == 0 {
		s.closed = second - Open/2
	}
	late = second <= s.closed
	second = min(max(second, s.closed+1), s.closed+Open)
	return &s.panes[slot(second)], late
}

// Take adds a pane of the second that closes next. It comes back with other content,
// to be reset.
func (s *Site) Take(second int64, p *Pane) {
	into, _ := s.Pane(second)
	if into.Counts[Requests] == 0 {
		into.swap(p)
		return
	}
	into.Merge(p)
}

func slot(second int64) int { return int(uint64(second) % ring) }

// Close closes a second, and those before it that were not.
func (s *Site) Close(second int64) {
	if s.closed == 0 || second-s.closed > ring {
		s.clear(second)
		return
	}
	for s.closed < second {
		s.closed++
		s.short.Add(&s.panes[slot(s.closed)].Counts)
		s.since.Add(&s.panes[slot(s.closed)].Counts)
		leaving := &s.panes[slot(s.closed-Short)]
		if leaving.Counts[Requests] > 0 {
			s.short.Sub(&leaving.Counts)
			leaving.Reset()
		}
	}
}

// clear forgets everything after a gap longer than the windows.
func (s *Site) clear(second int64) {
	for i := range s.panes {
		s.panes[i].Reset()
	}
	s.short, s.since, s.closed = Counts{}, Counts{}, second
}

// Step ends a 10-second step: what closed since the last is added to the minute
// and the ten minutes.
func (s *Site) Step() {
	at := s.step % tens
	s.long.Sub(&s.steps[at])
	if s.step >= 6 {
		s.minute.Sub(&s.steps[(s.step-6)%tens])
	}
	s.steps[at] = s.since
	s.long.Add(&s.since)
	s.minute.Add(&s.since)
	s.since = Counts{}
	s.step++
}

// Short is the counts of the last 10 closed seconds.
func (s *Site) Short() *Counts { return &s.short }

// Minute is the counts of the last 6 steps.
func (s *Site) Minute() *Counts { return &s.minute }

// Long is the counts of the last 60 steps, 10 minutes.
func (s *Site) Long() *Counts { return &s.long }

// Reading is what the short window's sketches say.
type Reading struct {
	Clients, Paths float64           // distinct
	Marked         [NumMarks]float64 // distinct clients
	Entropy        float64           // bits, of the paths
}

// Read merges the panes of the short window. It costs microseconds for an ordinary
// site and up to a millisecond for one with thousands of clients a second.
func (s *Site) Read() (r Reading, err error) {
	s.merged.Reset()
	for second := s.closed - Short + 1; second <= s.closed; second++ {
		if p := &s.panes[slot(second)]; p.Counts[Requests] > 0 {
			s.merged.Merge(p)
		}
	}
	m := &s.merged
	r = Reading{Clients: m.Clients.Estimate(), Paths: m.Paths.Estimate(), Entropy: m.Tallies[ByPath].Bits()}
	for i := range m.Marked {
		r.Marked[i] = m.Marked[i].Estimate()
	}
	return r, nil
}
