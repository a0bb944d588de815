package processor

import (
	"fmt"
	"math"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

const (
	// undecidedAfter is for how many seconds nothing must be in force in an attack before it is said why: what the first
	// seconds' few requests do not show, the next ones may.
	undecidedAfter = 30
	// undecidedLook is the seconds between two looks at why; another cap must stand for two of them.
	undecidedLook = 10
	// undecidedTold is that once it was told. One costs a fiftieth of what is looked for at each step, see BenchmarkRefuse.
	undecidedTold = 60
	// undecidedAgain is the least seconds between two changes that are told.
	undecidedAgain = 300
	// clientShows is after how many seconds a decision on a client shows whether that comes again: suspects are of so many
	// seconds, and what it sent before is among that.
	clientShows = (quarantine + 2) * stepSeconds
	// undecidedValue is how many bytes of a signature the sentence has.
	undecidedValue = 160
	// figuresShare is by how much a share of the attack's requests must differ from what was told, and figuresTimes how many times
	// as many people, or decisions on clients beside undecidedClients, it must be, for it to be told anew.
	figuresShare, figuresTimes, undecidedClients = 0.2, 2.0, 100
)

// The caps beside attribute's obstacles, as Undecided has them.
const (
	capBaseline  = "baseline"
	capProbation = "probation"
	capDecisions = "decisions"
)

// undecided is why nothing is in force in an incident at one site, or no more, and what was told of it.
type undecided struct {
	Bare  int64              `json:"bare,omitempty"`  // second since which nothing in force stops anything, 0 where something does
	Rest  int64              `json:"rest,omitempty"`  // second since which what is in force leaves much, 0 where it does not
	Next  int64              `json:"next,omitempty"`  // second of the next look
	Found string             `json:"found,omitempty"` // the cap that was found last
	At    int64              `json:"at,omitempty"`    // second in which something was told last, 0 for never
	Told  *schemas.Undecided `json:"told,omitempty"`  // nil where nothing is

	reached Cap     // by what was found at this look and left out
	beyond  float64 // share of the attack's requests that signatures, prefixes and scores among that would stop
}

// tellUndecided tells once why nothing is in force though the site is attacked, or why no more is though much is left, and that
// it is so no more.
func (s *site) tellUndecided(second int64, emit func(schemas.Event)) {
	i := s.incident
	if i == nil || s.d.o.LearnOnly || s.name == Other {
		return
	}
	u := &i.undecided
	bare := len(s.know.decisions) == 0
	if second < u.Next && s.state.Kind.Attack() && (bare || u.Told == nil || u.Told.Left > 0) {
		return
	}
	if u.Next = second + undecidedLook; u.Told != nil {
		u.Next = second + undecidedTold
	}
	switch stops := s.stopsSomething(second); {
	case !s.state.Kind.Attack():
		u.Bare, u.Rest = 0, 0
		s.tellDecided(second, emit)
	case s.state.Quiet != 0: // it may be over, and waits to be closed
		if second-s.state.Quiet >= undecidedLook {
			u.Bare, u.Rest = 0, 0
		}
		if stops && u.Told != nil && u.Told.Left == 0 {
			s.tellDecided(second, emit)
		}
	case stops:
		u.Bare = 0
		s.lookAtRest(second, emit)
	default:
		if u.Told != nil && u.Told.Left > 0 { // of what is in force no more
			s.tellDecided(second, emit)
		}
		if u.Rest = 0; u.Bare == 0 {
			u.Bare = second
		}
		if second-u.Bare >= undecidedAfter && u.mayTell(second) {
			s.tellWhy(s.undecided(second), second, emit)
		}
	}
}

func (u *undecided) mayTell(second int64) bool { return u.At == 0 || second-u.At >= undecidedAgain }

// tellDecided takes back what was told.
func (s *site) tellDecided(second int64, emit func(schemas.Event)) {
	u := &s.incident.undecided
	if u.Found = ""; u.Told != nil {
		u.Told = nil
		emit(s.event(schemas.IncidentUpdated, s.d.knownAt(second)))
	}
}

// tellWhy tells why, where that stands since the last look and is not what was told.
func (s *site) tellWhy(why schemas.Undecided, second int64, emit func(schemas.Event)) {
	u := &s.incident.undecided
	stands := u.At == 0 && why.Left == 0 || why.Cap == u.Found
	if u.Found = why.Cap; !stands || u.Told != nil && alike(u.Told, &why) {
		return
	}
	u.Told, u.At = &why, second
	emit(s.event(schemas.IncidentUpdated, s.d.knownAt(second)))
}

// alike reports whether two say the same, but for figures that differ little.
func alike(a, b *schemas.Undecided) bool {
	times := func(x, y float64) bool { return max(x, y) > figuresTimes*min(x, y) }
	return a.Cap == b.Cap && (a.Left > 0) == (b.Left > 0) && math.Abs(a.Left-b.Left) < figuresShare && math.Abs(a.Stops-b.Stops) < figuresShare &&
		!times(a.Touches, b.Touches) && !times(float64(a.Clients+undecidedClients), float64(b.Clients+undecidedClients))
}

// stopsSomething reports whether anything in force stops what comes: something that new addresses meet, too, or decisions on
// single clients of which a quarter come again. Of the newest of these nobody knows.
func (s *site) stopsSomething(second int64) bool {
	if len(s.know.decisions) > 0 {
		return true
	}
	old, again := 0, 0
	for _, d := range s.know.scored.list {
		if second-d.since > clientShows+nextLook {
			if old++; d.matched-d.since > clientShows {
				again++
			}
		}
	}
	return len(s.know.scored.list) > 0 && 4*again >= old
}

// undecided is why nothing is decided now.
func (s *site) undecided(second int64) schemas.Undecided {
	i, o := s.incident, &s.d.o
	u := schemas.Undecided{Site: s.name, Clients: len(s.know.scored.list)}
	switch reached := i.undecided.reached; {
	case i.lapsed:
		u.Cap, u.Setting = capProbation, "decisions.probation"
		u.Why = fmt.Sprintf("what was decided lapsed after %s, the probation of the first enforcement on this site (decisions.probation), as nothing had shown that it was right; if this is an attack: weir incidents confirm %s",
			plainly(o.Probation), i.id)
		return u
	case s.learned() < o.MinBaseline:
		u.Cap, u.Setting = capBaseline, "processor.min_baseline"
		u.Why = fmt.Sprintf("weir has seen %s of this site's normal traffic and decides from %s on (processor.min_baseline); old logs give it that at once: weir learn",
			plainly(s.learned()), plainly(o.MinBaseline))
		return u
	case reached == CapAll:
		u.Cap, u.Setting = capDecisions, string(CapAll)
		u.Why = fmt.Sprintf("as many decisions are in force on all sites as may be, %d (decisions.max)", o.MaxDecisions)
		return u
	}
	r := attribute.Refuse(s.normalSample(), s.suspects(second, i.suspectsFrom()), s.budget(second, i.suspectsFrom()))
	s.refused(&u, &r)
	return u
}

// refused puts into words what was refused.
func (s *site) refused(u *schemas.Undecided, r *attribute.Refusal) {
	u.Cap, u.Stops, u.Touches = string(r.Obstacle), r.Stops, r.Touches
	if r.Signature != nil {
		u.Value = r.Signature.String()
	}
	if r.Obstacle == attribute.TooManyHurt {
		u.Setting = "decisions.collateral"
	}
	u.Why = s.refusal(r, u.Left > 0)
}

// refusal is the sentence on what was refused, beside what is in force where more of an attack is looked for.
func (s *site) refusal(r *attribute.Refusal, more bool) string {
	o := &s.d.o
	measure := ""
	if r.Signature != nil {
		measure = fmt.Sprintf("the best measure found, %s, would stop %.0f %% of the attack's requests", shorten(r.Signature.String(), undecidedValue), 100*r.Stops)
	}
	may := fmt.Sprintf("%.2g %% may be blocked and %.2g %% challenged (decisions.collateral)", 100*o.Collateral, 100*attribute.SoftTimes*o.Collateral)
	switch r.Obstacle {
	case attribute.TooFewKnown:
		return fmt.Sprintf("weir knows %d normal clients of this site, and of fewer than %d it cannot tell whom it would refuse; old logs give it more: weir learn", r.Clients, o.MinClients)
	case attribute.TooLittle:
		return "too few of the requests are more than normal to tell the attack's from visitors'"
	case attribute.NothingApart:
		return "nothing was found that the attack's requests have and visitors' have not"
	case attribute.TooManyHurt:
		if r.Touches > attribute.SoftTimes*o.Collateral {
			return fmt.Sprintf("%s, and might touch %.2g %% of this site's people: %s", measure, 100*r.Touches, may)
		}
		if more {
			return fmt.Sprintf("%s, and might touch %.2g %% of this site's people, too many beside those whom what is in force may touch: %s", measure, 100*r.Touches, may)
		}
		return fmt.Sprintf("%s; of the %d normal clients that are known too few show whether it would touch more of the people than may be: %s", measure, r.Clients, may)
	case attribute.HasHurt:
		return measure + ", and people for whom a decision was lifted"
	case attribute.EarlierHurt:
		return measure + ", and too many of those who came before it was an attack"
	}
	return measure + ", too little to be sure that it is not visitors"
}

// plainly is a duration without parts that are zero.
func plainly(d time.Duration) string {
	d = d.Round(time.Second)
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if n := len(text) - len(zero); n > 0 && text[n:] == zero {
			text = text[:n+1]
		}
	}
	return text
}
