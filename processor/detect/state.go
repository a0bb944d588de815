package detect

import (
	"math"
	"time"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// QuietFor is how long an incident must be quiet before it closes.
const QuietFor = 2 * time.Minute

// Change is what a step did to the incident.
type Change int

// The changes.
const (
	None Change = iota
	Opened
	Updated // its kind is another
	Closed
)

// State is the incident state of one site. The zero value has no incident. Only
// Kind, Open and the counters matter; all are exported so that they can be saved.
type State struct {
	Open  bool
	Kind  schemas.Kind
	Quiet int64 // unix second since which it is quiet; 0 is not

	Attack, Crowd, Breakage int // steps in a row that show one
	Machines                int // steps in a row with many machines that ask for one page
	Scattered               int // steps in a row with strangers who ask for pages all over the site
	Brought                 int // steps since it was calm in which those above normal brought assets
	Scanning                int // steps in a row with few clients who try what is not there
	Probing                 int // steps in a row with much of what scanners try

	// Swell is how many of the clients that an open release brought may still be there.
	Swell float64

	// Lost is how many requests were lost, in steps of ten seconds in a row in which a fair part was, see loses.
	Lost float64

	// Moved is by how much more of a site's clients than are above normal ask for what was never served before,
	// summed up, see moves.
	Moved float64

	// Slow is what departs a little and long, summed over steps of ten seconds (CUSUM,
	// Page 1954).
	Slow    float64
	Drifted int64 // second of the last of these steps
}

// Suspicious reports whether the last step showed the beginning of something: then
// nothing is to be learned, and the next second is looked at in full.
func (s *State) Suspicious() bool {
	return s.Open || s.Doubtful() || s.Attack > 0 || s.Scattered > 0 || s.Scanning > 0 || s.Probing > 0 || s.Crowd > 0 || s.Breakage > 0 || s.Lost > 0 || s.Machines > 0
}

// people reports whether those above normal are people: they bring assets or, where the site
// fails by now and nobody can, did before it failed, unless others have come since.
func (s *State) people(r *Reading, sc *Scores) bool {
	return bringAssets(r, sc) || s.Brought >= broughtLeast && (failsVisitors(r) || harmScore(sc) >= enter) && !joined(r, sc)
}

// released reports whether machines that say so have come for one page, and are still many of
// those above normal: people follow a link's previews, and a site may fail under both.
func (s *State) released(r *Reading, sc *Scores) bool {
	return s.Open && s.Kind == schemas.Release && r.Raw[DeclaredShare] >= declaredRest && !varied(r, sc) && markScore(MissingShare, r, sc) < enter
}

// Drift takes the window of a whole step of ten seconds, which ends with a second, and reports
// whether what departs for long has just become doubtful: what was seen of late is then not to
// be learned.
func (s *State) Drift(second int64, r *Reading, sc *Scores) bool {
	before := s.Slow
	s.Slow = min(max(0, s.Slow+s.departs(r, sc)), 2*sc.Limits.slow)
	s.Drifted = second
	s.Lost, s.Moved = s.loses(r, sc), s.moves(r, sc)
	return before < slowDoubt && s.Slow >= slowDoubt
}

// departs is what a step adds to what departs a little and long.
func (s *State) departs(r *Reading, sc *Scores) float64 {
	if comers(r, sc) < minClients || oneDeclared(r, sc) {
		return -slowStep
	}
	if s.moved() && bringAssets(r, sc) { // to a page each by an old address and its new one, so that nearly all differ
		return s.marked(r, sc)
	}
	return max(s.marked(r, sc), strewn(r, sc)-slowStep)
}

// marked is what volume above normal adds, and with it what those have in common that are. A mark that
// is not quite enough takes only a part of what was summed up: ordinary visitors who happen to be
// many for a moment blur what the others have in common, and do not make them visitors.
func (s *State) marked(r *Reading, sc *Scores) float64 {
	if max(excess(r, sc), excessPages(r, sc), idlersHere(r, sc)) < minExcess/2 || slowVolume(sc) < slowLeast {
		return -slowStep
	}
	mark := max(0, markScore(MissingShare, r, sc))
	people := s.people(r, sc)
	if idle := idleAbove(r, sc); !people && (r.Raw[DeclaredShare] < declaredShare || varied(r, sc)) {
		mark = max(idle, math.Hypot(mark, idle)) // two facts of which neither brings the other with it
	}
	if r.Raw[DeclaredShare] < declaredShare && !people {
		mark = max(mark, bareClients(r, sc, false))
		if !s.moved() {
			mark = max(mark, markScore(UnknownShare, r, sc))
		}
		if drowning(r, sc) {
			mark = max(mark, markScore(UnfamiliarShare, r, sc))
		}
	}
	if mark < slowMarked {
		return -slowStep * (1 - mark/slowMarked)
	}
	return min(slowVolume(sc)+min(mark, slowMark), 2*slowMost) - slowStep
}

// slowNow is what departs a little and long up to a second within a step: the part of it that
// is over counts, so that what is an attack is one before the step ends. No step is enough by itself.
func (s *State) slowNow(second int64, r *Reading, sc *Scores) float64 {
	part := second - s.Drifted
	if s.Slow <= 0 || part <= 0 || part >= window.Short {
		return s.Slow
	}
	return s.Slow + max(0, s.departs(r, sc))*float64(part)/window.Short
}

// moves is what a step adds to how sure it is that a site has moved to other URLs: its own visitors ask for what
// was never served before, so that more clients do than are above normal. Bots come on top. Where visitors leave, as
// the site fails or an attack is under way, it stands still. One step adds movedOnce at the most: where visitors stay away for a
// moment, bots come in their place.
func (s *State) moves(r *Reading, sc *Scores) float64 {
	if s.Open || s.Attack > 0 || failsVisitors(r) || harmScore(sc) >= enter {
		return s.Moved
	}
	visitors := markedAbove(UnknownShare, r, sc) - max(0, excessClients(r, sc))
	return min(max(0, s.Moved+min(visitors/(movedNoise*math.Sqrt(1+sc.Level[UniqueClients]))-movedStep, movedOnce)), movedMost)
}

func (s *State) moved() bool { return s.Moved >= movedSure }

// loses is what a step adds to the requests lost: on a small site ten seconds have too few of them to say anything,
// and whoever finds it broken comes back once or twice, and then no more.
func (s *State) loses(r *Reading, sc *Scores) float64 {
	switch lost := lostShare(r); {
	case usuallyLost(sc) >= breakageShare/2: // a site of which much fails at all times
		return 0
	case r.Requests-r.Stopped < lostFew || r.Raw[UniqueClients] < lostClients || clientScore(sc) >= enter:
		if s.Lost < lostForgotten { // a site that nobody asks for any more is not looked at for a day
			return 0
		}
		return lostFades * s.Lost
	case lost < lostFrom || harmScore(sc) < lostScore:
		return 0
	default:
		return min(s.Lost+min(lost*(r.Requests-r.Stopped), lostStep), lostMost)
	}
}

// Doubtful reports whether the traffic departs, or fails, too long to be learned.
func (s *State) Doubtful() bool { return s.Slow >= slowDoubt || s.Lost >= lostStep }

// Step takes the window that ended with a second. The caller steps every second
// while Suspicious or where a cheap look at the counts gives reason to.
func (s *State) Step(second int64, r *Reading, sc *Scores) Change {
	switch {
	case volumeScore(sc) < leave:
		s.Brought = 0
	case clientScore(sc) >= enter && !failsVisitors(r) && bringAssets(r, sc):
		s.Brought = inRow(s.Brought, true)
	}
	kind, attack := classify(r, sc, s.people(r, sc), s.moved())
	onePage := oneDeclared(r, sc) || s.released(r, sc)
	declared := attack && kind == schemas.Flood && onePage
	s.Machines = inRow(s.Machines, onePage && clientScore(sc) >= enter && enough(r, sc))
	switch stay := s.Machines >= machines; {
	case declared && !stay:
		attack = false
	case stay && (failsVisitors(r) || harmScore(sc) >= enter):
		kind, attack = schemas.Flood, true
	}
	s.swell(excessClients(r, sc), attack)
	if s.ebbs(r, sc) {
		attack, declared = false, true
	}
	if !attack && !declared && s.slowNow(second, r, sc) >= sc.Limits.slow {
		kind, attack = schemas.Flood, true
		s.Attack = max(s.Attack, persist)
	}
	s.Scattered = inRow(s.Scattered, scattered(r, sc))
	if s.Scattered >= scatteredPersist && !attack {
		kind, attack = schemas.Flood, true
		s.Attack = max(s.Attack, persist)
	}
	s.Scanning = inRow(s.Scanning, scanning(r, sc))
	s.Probing = inRow(s.Probing, probing(r, sc))
	if (s.Scanning >= scanPersist || s.Probing >= probePersist) && !attack {
		kind, attack = schemas.Scan, true
		s.Attack = max(s.Attack, persist)
	}
	s.Attack = inRow(s.Attack, attack)
	s.Crowd = inRow(s.Crowd, !attack && crowd(r, sc))
	s.Breakage = inRow(s.Breakage, !attack && breakage(r, sc))
	if s.Open {
		return s.hold(second, kind, r, sc)
	}
	switch {
	case s.Attack >= persist:
		s.Kind = kind
	case s.Crowd >= crowdPersist:
		s.Kind = surge(r, sc)
	case s.Breakage >= breakagePersist, s.Lost >= lostEnough && clientScore(sc) < enter:
		s.Kind = schemas.Breakage
	default:
		return None
	}
	s.Open, s.Quiet = true, 0
	return Opened
}

// swell follows how many clients a release brings: up at once where nothing speaks for an
// attack, and down as releases do where something does.
func (s *State) swell(above float64, attack bool) {
	if !s.Open || s.Kind != schemas.Release {
		return
	}
	s.Swell *= math.Exp2(-1.0 / swellHalf)
	if !attack {
		s.Swell = max(s.Swell, above)
	}
}

// ebbs reports whether there are no more clients above normal than what an open release has
// left behind, hardly one of which claims to be a browser: towards its end a single scanner
// or reader is enough for its few requests to look as if machines went all over the site. An
// attack that begins then brings browsers, what is not there, or more clients. Where the site fails
// under what has come, browsers are there too: people who follow, and wait for a minute to be answered.
func (s *State) ebbs(r *Reading, sc *Scores) bool {
	return s.Open && s.Kind == schemas.Release && (newcomers(r, sc) < minClients || failsVisitors(r)) &&
		excessClients(r, sc) <= s.Swell+minClients && markScore(MissingShare, r, sc) < enter
}

func inRow(n int, yes bool) int {
	if !yes {
		return 0
	}
	return min(n+1, 1<<20)
}

// hold keeps, turns or closes an open incident.
func (s *State) hold(second int64, kind schemas.Kind, r *Reading, sc *Scores) Change {
	quiet := volumeScore(sc) < leave && r.Stopped < max(5, 0.1*r.Requests)
	if s.Kind == schemas.Breakage {
		quiet = harmScore(sc) < leave && sc.Score[NotFoundShare] < leave
	}
	switch {
	case !quiet:
		s.Quiet = 0
	case s.Quiet == 0:
		s.Quiet = second
	case second-s.Quiet >= int64(QuietFor/time.Second):
		*s = State{}
		return Closed // and Slow begins anew
	}
	if s.Attack >= persist && !s.Kind.Attack() {
		s.Kind = kind
		return Updated
	}
	return None
}
