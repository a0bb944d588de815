package detect

import (
	"fmt"
	"math"
	"time"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

const (
	// enter: an attack opens when a volume signal and one that tells strangers from
	// visitors are each this many spreads out of range, and together enterSum.
	enter    = 3.0
	enterSum = 9.0
	// persist is for how many steps of a second in a row.
	persist = 3
	// crowdScore and crowdPersist: volume alone must be further out, and longer.
	crowdScore   = 5.0
	crowdPersist = 20
	// leave: an incident is quiet where volume is below this and little is stopped.
	leave = 2.5
	// minExcess is how many requests above normal a window must have: less than two
	// a second is nobody's flood.
	minExcess = 20.0
	// minClients is how many clients above normal a distributed attack must have.
	minClients = 8.0
	// excessShare: the attack's mark must be on this share of what is above normal.
	excessShare = 0.3
	// breakage: harm without volume must last.
	breakageScore   = 5.0
	breakagePersist = 20
	breakageShare   = 0.2
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
}

// Suspicious reports whether the last step showed the beginning of something: then
// nothing is to be learned, and the next second is looked at in full.
func (s *State) Suspicious() bool {
	return s.Open || s.Attack > 0 || s.Crowd > 0 || s.Breakage > 0
}

// Step takes the window that ended with a second. The caller steps every second
// while Suspicious or where a cheap look at the counts gives reason to.
func (s *State) Step(second int64, r *Reading, sc *Scores) Change {
	kind, attack := classify(r, sc)
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
		s.Kind = schemas.Crowd
		if sc.Score[PageShare] > enter && r.Raw[NoRefererShare] > 0.8 && sc.Score[UnfamiliarShare] < enter {
			s.Kind = schemas.Release // machines that the site knows, all at once
		}
	case s.Breakage >= breakagePersist:
		s.Kind = schemas.Breakage
	default:
		return None
	}
	s.Open, s.Quiet = true, 0
	return Opened
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
		return Closed
	}
	if s.Attack >= persist && !s.Kind.Attack() {
		s.Kind = kind
		return Updated
	}
	return None
}

func volumeScore(sc *Scores) float64 {
	return max(sc.Score[RequestRate], sc.Score[UniqueClients], sc.Score[NewClients])
}

func harmScore(sc *Scores) float64 {
	return max(sc.Score[ErrorShare], sc.Score[AbandonedShare], sc.Score[SlowShare])
}

// excess is how many requests of the window are above the normal level.
func excess(r *Reading, sc *Scores) float64 {
	return r.Requests - sc.Level[RequestRate]*window.Short
}

// excessClients is the same of the clients.
func excessClients(r *Reading, sc *Scores) float64 {
	return r.Raw[UniqueClients] - sc.Level[UniqueClients]
}

// markScore is the score of a client share, or 0 where the mark is on too few of the
// clients above normal to be what they have in common.
func markScore(i int, r *Reading, sc *Scores) float64 {
	marked := r.Raw[i]*r.Raw[UniqueClients] - sc.Level[i]*sc.Level[UniqueClients]
	if marked < excessShare*excessClients(r, sc) {
		return 0
	}
	return sc.Score[i]
}

// classify says whether the window shows an attack, and of what kind: more
// requests than normal, from more clients than normal, and the clients in excess ask
// for what is not there or use programs that the site does not know.
func classify(r *Reading, sc *Scores) (schemas.Kind, bool) {
	vol := volumeScore(sc)
	missing := max(markScore(MissingShare, r, sc), markScore(UnknownShare, r, sc))
	mark := max(missing, markScore(UnfamiliarShare, r, sc))
	if vol < enter || mark < enter || vol+mark < enterSum || excess(r, sc) < minExcess || excessClients(r, sc) < minClients {
		return "", false
	}
	if missing < enter && r.Raw[PathEntropy] < 0.5*sc.Level[PathEntropy] && harmScore(sc) < enter {
		return "", false // strangers who all ask for one page and harm nobody: link previews
	}
	if markScore(MissingShare, r, sc) < enter && harmScore(sc) < enter && r.Raw[DistinctPaths] > 0.7 {
		return schemas.Scrape, true
	}
	return schemas.Flood, true
}

func crowd(r *Reading, sc *Scores) bool {
	return max(sc.Score[RequestRate], sc.Score[UniqueClients]) >= crowdScore &&
		excess(r, sc) >= minExcess && excessClients(r, sc) >= minClients
}

func breakage(r *Reading, sc *Scores) bool {
	broken := r.Raw[ErrorShare] >= breakageShare && sc.Score[ErrorShare] >= breakageScore ||
		r.Raw[NotFoundShare] >= breakageShare && sc.Score[NotFoundShare] >= breakageScore
	return broken && r.Requests >= 20 && r.Raw[UniqueClients] >= 5 && volumeScore(sc) < enter
}

// Cause is one sentence for a person.
func Cause(kind schemas.Kind, r *Reading, sc *Scores) string {
	rate := fmt.Sprintf("%.1f requests/s (normal %.1f) from %.0f clients (normal %.0f) in 10 s",
		r.Raw[RequestRate], sc.Level[RequestRate], r.Raw[UniqueClients], sc.Level[UniqueClients])
	percent := func(i int) string { return fmt.Sprintf("%.0f %%", math.Round(100*r.Raw[i])) }
	switch kind {
	case schemas.Flood, schemas.Scrape, schemas.Scan:
		return fmt.Sprintf("%s; of these clients %s ask for pages that are missing, %s for paths never served before, %s use programs this site does not know",
			rate, percent(MissingShare), percent(UnknownShare), percent(UnfamiliarShare))
	case schemas.Breakage:
		return fmt.Sprintf("%s of the requests fail with 5xx, %s with 404, while no more visitors than normal come",
			percent(ErrorShare), percent(NotFoundShare))
	}
	return rate + "; they ask for what visitors of this site ask for"
}
