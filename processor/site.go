package processor

import (
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/baseline"
	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/processor/sketch"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

const (
	// stepSeconds is the step of buckets and of learning.
	stepSeconds = window.Short
	spanOfStep  = stepSeconds * time.Second
	// quarantine is how many steps traffic waits before it is learned as normal: two
	// minutes in which nothing was noticed.
	quarantine = 12
	// periodSeconds is how long a client that stays counts as one.
	periodSeconds = 600
	// bucketClients bounds the clients of one step's sample.
	bucketClients = 512
	// familiarMax is how many client programs a site knows, each for one to two times
	// as many.
	familiarMax = 8192
	// knownMax is how many paths a site knows, likewise.
	knownMax = 16384
	// bucketPaths bounds the paths that one step may add to them.
	bucketPaths = 1024
	// generation is after how many steps the older half of the normal sample goes: a
	// day.
	generation = 24 * 3600 / stepSeconds
)

// site is what the Detector keeps of one site.
type site struct {
	d     *Detector
	name  string
	phase int64 // which second of ten its steps end in
	know  *siteKnowledge

	windows *window.Site
	base    *baseline.Site
	state   detect.State
	tail    detect.Tail  // what evidence quiet traffic gives
	once    *sketch.Seen // client programs of at least one normal client
	users   *sketch.Seen // pairs of program and client

	filling *attribute.Sample // of the bucket that is being filled
	buckets [quarantine + 1]bucket
	bucket  int                  // the one that is being filled
	normal  [2]*attribute.Sample // younger and older generation
	age     int                  // steps that the younger has
	joined  *attribute.Sample    // both, made when an incident needs it

	asked  int64 // second in which the normal sample was asked for last
	worked int   // bytes that were left behind then, see Detector.working; 0 is none

	incident *incident
	past     *past     // the incident before, where it can still be corrected
	accepted *accepted // by a person; nil for nothing

	lists [schemas.NumListed]pathList
	told  [schemas.NumListed]uint64 // of the lists' versions, plus one; 0 is none

	alike attribute.Alike // normal clients like those that are under a decision of their own; nil for none

	trusted  bool        // its first enforcement was confirmed, see probation
	regulars regularPast // of the last minutes
	visits   []visit     // probes that are watched

	remembered remembered // what was lifted

	armed      []*armed
	recalls    int    // looks at traffic above normal that matched none of them, in a row
	nextRecall int64  // second
	returns    string // while an incident is opened by them: the one that they are of

	requests uint64
	last     int64 // unix second of the last request
	alert    detect.Alert
	reading  detect.Reading
	scores   detect.Scores

	recent  []recentStep // read from saved state, until Filled
	current bool         // likewise: whether the step that is being filled is tainted
}

// bucket is what one step saw, in quarantine.
type bucket struct {
	sample   *attribute.Sample          // once it is filled, packed
	even     [detect.NumSignals]float64 // its signals, on the baseline's scale
	evidence float64                    // of that
	paths    []uint64                   // served and not known yet
	found    found                      // served and not known for sure
	second   int64                      // in which it ended
	tainted  bool                       // not to be learned
	filled   bool
}

// bytes is what the paths take that wait to be learned.
func (b *bucket) bytes() int { return b.found.bytes() + 8*cap(b.paths) }

func newSite(d *Detector, name string, number int) *site {
	s := &site{
		d: d, name: name, phase: int64(number % stepSeconds), know: d.know.of(name),
		windows: window.NewSite(d.windows), base: baseline.New(detect.Scales()), once: sketch.NewSeen(familiarMax), users: sketch.NewSeen(familiarMax),
	}
	s.filling = attribute.NewSample(d.extract, bucketClients)
	for of := range s.lists {
		s.lists[of].of = schemas.Listed(of)
	}
	for i := range s.normal {
		s.normal[i] = attribute.NewSample(d.extract, max(512, d.o.SampleClients*32/max(32, number+1)))
	}
	return s
}

// take adds a pane of the second that closes next.
func (s *site) take(p *Pane) {
	n := p.Counts[window.Requests]
	s.requests += n
	if n > 0 {
		s.last = max(s.last, p.Second)
	}
	b := &s.buckets[s.bucket]
	s.filling.Join(p.Sample)
	s.d.held.found -= b.bytes()
	if s.d.held.found < heldFoundBytes {
		served := p.Served[:min(len(p.Served), bucketPaths-len(b.paths))]
		b.paths = append(roomy(b.paths, len(served)), served...)
		b.found.join(&p.Found, bucketFound, bucketFoundText)
	}
	s.d.held.found += b.bytes()
	p.Pane = s.windows.Take(p.Second, p.Pane)
}

// idle reports whether closing the second after this one changes nothing.
func (s *site) idle(second int64) bool {
	return s.incident == nil && s.know.inForce() == 0 && len(s.visits) == 0 && !s.state.Suspicious() &&
		second-s.last > (quarantine+2)*stepSeconds
}

// close ends a second: the windows slide, and where there is reason the signals
// are looked at.
func (s *site) close(second int64, emit func(schemas.Event)) {
	if len(s.d.corrections) > 0 {
		s.correct(second, emit)
	}
	if len(s.d.rejected) > 0 {
		s.letGo(second, emit)
	}
	s.windows.Close(second)
	step := second%stepSeconds == s.phase
	if step {
		s.windows.Step()
	}
	c := s.windows.Short()
	if step || s.state.Suspicious() || s.alert.By(c) {
		s.look(second, emit)
	}
	if step {
		if s.d.o.Signals != nil {
			s.d.o.Signals(time.Unix(second+1, 0).UTC(), s.name, detect.All(&s.reading, &s.scores, s.windows.Mix()))
		}
		s.endStep(second)
	}
	s.feedback(second, step, emit)
	s.recall(second, emit)
	s.decide(second, emit)
	if s.asked == second {
		s.d.working(s, second)
	}
}

// feedback is what comes of the decisions in force.
func (s *site) feedback(second int64, step bool, emit func(schemas.Event)) {
	if len(s.visits) > 0 {
		s.ripen(second)
	}
	if step && s.know.inForce() > 0 {
		s.breaker(second, emit)
	}
	s.probation(second, emit)
}

// measure reads the signals.
func (s *site) measure(second int64) {
	s.reading = detect.Read(s.windows.Short(), s.windows.Read())
	s.scores = detect.Score(s.base, hourOf(second), &s.reading)
	s.scores.Limits = detect.LimitsOf(&s.tail, s.d.o.FalseIncidents, s.d.watched)
}

// look reads the signals and steps the incident.
func (s *site) look(second int64, emit func(schemas.Event)) {
	s.measure(second)
	if s.incident != nil {
		s.incident.peak.Note(&s.reading, &s.scores)
		s.incident.among = s.incident.among || s.state.Kind == schemas.Crowd
	}
	if s.accepted != nil && second < s.accepted.Until {
		s.scores.Accept(&s.reading, &s.accepted.Peak)
	}
	s.alert = detect.AlertOf(s.base, hourOf(second), &s.scores)
	if s.base.Windows() < minWindows || s.name == Other {
		return
	}
	if second%stepSeconds == s.phase && s.state.Drift(second, &s.reading, &s.scores) {
		s.taint()
	}
	change := s.state.Step(second, &s.reading, &s.scores)
	if change != detect.None {
		s.change(change, second, emit)
	}
}

// minWindows is how much must be learned before anything can be abnormal.
const minWindows = 30

func hourOf(second int64) int { return baseline.HourOf(time.Unix(second, 0)) }

// endStep puts the current bucket into quarantine, and learns from the one that
// leaves it.
func (s *site) endStep(second int64) {
	current := s.filled(second)
	current.even, current.evidence = s.reading.Even, detect.Evidence(&s.reading, &s.scores)
	current.tainted = current.tainted || s.state.Open || s.state.Doubtful()
	if s.incident != nil {
		s.learnTroubled(&current.found)
	}
	s.noteEarlier()
	if leaving := &s.buckets[s.bucket]; leaving.filled && !leaving.tainted && !s.state.Open {
		s.learn(leaving)
	}
	s.empty()
}

// filled puts the bucket that was being filled into quarantine, and turns to the next.
func (s *site) filled(second int64) *bucket {
	b := &s.buckets[s.bucket]
	b.sample = s.filling.Pack()
	b.sample.Span = spanOfStep
	b.second, b.filled = second, true
	s.filling.Reset()
	s.d.held.quarantine(b.sample, len(s.d.sites))
	s.bucket = (s.bucket + 1) % len(s.buckets)
	return b
}

// empty makes the bucket ready to be filled.
func (s *site) empty() {
	b := &s.buckets[s.bucket]
	if b.sample != nil {
		s.d.held.quarantined -= b.sample.Len()
	}
	kept := b.paths[:0]
	if cap(kept) > 2*len(b.paths)+16 { // a site learns its paths once, and then few
		kept = nil
	}
	s.d.held.found -= b.bytes()
	*b = bucket{paths: kept}
	s.d.held.found += b.bytes()
}

func (s *site) learn(b *bucket) {
	s.base.Learn(hourOf(b.second), b.even[:])
	if s.base.Windows() > minWindows {
		s.tail.Learn(b.evidence)
	}
	b.sample.Programs(s.learnProgram)
	for _, path := range b.paths {
		s.d.know.learnPath(s.know, path)
	}
	s.learnPaths(&b.found)
	before := s.knows()
	s.normal[0].Merge(b.sample, true)
	s.joined = nil
	if s.age++; s.age >= generation {
		s.normal[0], s.normal[1] = s.normal[1], s.normal[0]
		s.normal[0].Reset()
		s.age = 0
		for of := range s.lists {
			s.lists[of].rest()
		}
	}
	s.d.held.normal += s.knows() - before
	s.d.thin()
}

// learnProgram takes a program that a normal client used: it is familiar from the second
// client on. Whose programs these are is of interest no longer then, and not kept: it would be
// every client of the site.
func (s *site) learnProgram(client, program uint64) {
	familiar := s.know.familiar
	switch {
	case familiar.Recent(program):
	case familiar.Has(program), !s.users.Add(program^client) && s.once.Add(program):
		s.d.know.learnProgram(s.know, program)
	}
}

// knows is how many normal clients the site's samples hold.
func (s *site) knows() int { return s.normal[0].Len() + s.normal[1].Len() }

// taint keeps everything in quarantine from being learned.
func (s *site) taint() {
	for i := range s.buckets {
		s.buckets[i].tainted = true
	}
}

// normalSample is both generations of the normal sample together.
func (s *site) normalSample() *attribute.Sample {
	s.asked = s.d.closed
	if s.normal[1].Len() == 0 {
		return s.normal[0]
	}
	if s.joined == nil {
		s.joined = attribute.NewSample(s.d.extract, 2*s.d.o.SampleClients)
		s.joined.Merge(s.normal[0], false)
		s.joined.Merge(s.normal[1], false)
	}
	return s.joined
}

// suspects is a sample of the last two minutes, no further back than since. The oldest is taken first, as in the
// normal sample: whether a client was new here, and what it asked for first, is of when it came. It is valid until
// the next call, of any site.
func (s *site) suspects(second, since int64) *attribute.Sample {
	sample := s.d.suspects
	s.sinceThen(sample, second, since, func(step *attribute.Sample) { sample.Merge(step, false) })
	return sample
}

// whole is the same with all whom the steps' samples have, of a botnet that is larger than suspects holds.
func (s *site) whole(second, since int64) *attribute.Sample {
	sample := s.d.whole
	s.sinceThen(sample, second, since, sample.Gather)
	return sample
}

// sinceThen empties a sample and adds the steps' of the last two minutes.
func (s *site) sinceThen(sample *attribute.Sample, second, since int64, add func(step *attribute.Sample)) {
	sample.Reset()
	back := 1
	for ; back < len(s.buckets); back++ {
		if b := s.ago(back); !b.filled || b.second <= since {
			break
		}
	}
	for back--; back > 0; back-- {
		sample.Young(back < 2)
		add(s.ago(back).sample)
	}
	sample.Young(true)
	s.filling.Span = time.Duration((second-s.phase)%stepSeconds) * time.Second
	add(s.filling)
}

// ago is the bucket of so many steps before the one that is being filled.
func (s *site) ago(back int) *bucket {
	return &s.buckets[(s.bucket-back+len(s.buckets))%len(s.buckets)]
}

// learned is how much normal traffic the baseline rests on.
func (s *site) learned() time.Duration {
	return time.Duration(s.base.Windows()) * stepSeconds * time.Second
}

func (s *site) status() SiteStatus {
	st := SiteStatus{
		Name: s.name, Requests: s.requests, Learned: s.learned(),
		Signals: detect.Signals(&s.reading, &s.scores),
		Clients: s.knows(),
	}
	if s.incident != nil {
		st.Incident = s.incident.id
	}
	return st
}
