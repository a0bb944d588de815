package simulate

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// scorer holds what it needs of every line, 24 bytes each: which visitors were
// there during the attack is known only when its last request is.
type scorer struct {
	rows   []scored
	names  map[string]uint32   // sites and clients, numbered
	sites  []string            // by number, "" for clients
	actors map[actorKey]uint32 // numbered
	kinds  []Kind              // by actor's number
	botnet map[uint32]bool     // clients of bots
	attack span
}

type actorKey struct {
	kind Kind
	id   string
}

type scored struct {
	sent                int64 // unix milliseconds
	site, client, actor uint32
	severity            uint8
	attack, succeeds    bool
}

// span is the attack: its site, its first and last request.
type span struct {
	there       bool
	site        uint32
	first, last int64 // unix milliseconds
}

func newScorer() *scorer {
	return &scorer{names: map[string]uint32{}, actors: map[actorKey]uint32{}, botnet: map[uint32]bool{}}
}

func (s *scorer) name(text string) uint32 {
	n, ok := s.names[text]
	if !ok {
		n = uint32(len(s.sites))
		s.names[text] = n
		s.sites = append(s.sites, text)
	}
	return n
}

func (s *scorer) add(t *Truth, action schemas.Action) {
	key := actorKey{t.Kind, t.Actor}
	actor, ok := s.actors[key]
	if !ok {
		actor = uint32(len(s.kinds))
		s.actors[key] = actor
		s.kinds = append(s.kinds, t.Kind)
	}
	row := scored{
		sent: t.Sent.UnixMilli(), site: s.name(t.Site), client: s.name(t.Client), actor: actor,
		severity: uint8(action.Severity()), attack: t.Attack, succeeds: t.WouldSucceed,
	}
	s.rows = append(s.rows, row)
	if !t.Attack {
		return
	}
	s.botnet[row.client] = true
	if !s.attack.there {
		s.attack = span{true, row.site, row.sent, row.sent}
	}
	s.attack.first, s.attack.last = min(s.attack.first, row.sent), max(s.attack.last, row.sent)
}

// bySeverity are the actions as the rows keep them.
var bySeverity = [...]schemas.Action{schemas.Allow, schemas.Throttle, schemas.Challenge, schemas.Block}

func (s *scorer) judge() Scorecard {
	card := Scorecard{Lines: int64(len(s.rows)), ByKind: map[Kind]Touched{}}
	if s.attack.there {
		card.AttackSite = s.sites[s.attack.site]
		card.AttackFirst = time.UnixMilli(s.attack.first).UTC()
		card.AttackLast = time.UnixMilli(s.attack.last).UTC()
	}
	during, whole, elsewhere := s.losses(), s.losses(), s.losses()
	for i := range s.rows {
		row := &s.rows[i]
		here := s.attack.there && row.site == s.attack.site && row.sent >= s.attack.first
		switch {
		case s.kinds[row.actor] == Bot && !row.attack: // behaves, for now
		case row.attack:
			card.Attack.add(bySeverity[row.severity])
			if row.sent-s.attack.first > Grace.Milliseconds() {
				card.Late.add(bySeverity[row.severity])
			}
		case here:
			whole.add(row, s)
			if row.sent <= s.attack.last {
				during.add(row, s)
			}
		default:
			elsewhere.add(row, s)
		}
	}
	during.count(s, &card.Visitors, &card.Shared, &card.Scanners, card.ByKind)
	whole.count(s, &card.ToTheEnd, nil, nil, nil)
	elsewhere.count(s, &card.Elsewhere, nil, nil, nil)
	return card
}

// loss is what became of an actor.
type loss struct {
	seen, blocked, slowed, shared bool
}

// losses are by actor's number.
type losses []loss

func (s *scorer) losses() losses { return make(losses, len(s.kinds)) }

func (l losses) add(row *scored, s *scorer) {
	x := &l[row.actor]
	x.seen = true
	x.shared = x.shared || s.botnet[row.client]
	if row.succeeds {
		x.blocked = x.blocked || row.severity == 3
		x.slowed = x.slowed || row.severity > 0
	}
}

// count sorts the actors into visitors, those behind a bot's client, and scanners.
func (l losses) count(s *scorer, visitors, shared, scanners *Touched, kinds map[Kind]Touched) {
	for actor := range l {
		x := &l[actor]
		if !x.seen {
			continue
		}
		switch kind := s.kinds[actor]; {
		case kind == Scanner:
			scanners.count(x)
		case x.shared:
			shared.count(x)
		default:
			visitors.count(x)
			if kinds != nil {
				t := kinds[kind]
				t.count(x)
				kinds[kind] = t
			}
		}
	}
}

func (t *Touched) count(x *loss) {
	if t == nil {
		return
	}
	t.Actors++
	if x.blocked {
		t.Blocked++
	} else if x.slowed {
		t.Slowed++
	}
}

// String is the card as a person reads it.
func (c Scorecard) String() string {
	var b strings.Builder
	touched := func(what string, t Touched) {
		fmt.Fprintf(&b, "%-34s %d of %d blocked (%.2f %%), %d slowed\n", what, t.Blocked, t.Actors, 100*t.BlockedShare(), t.Slowed)
	}
	if c.AttackSite == "" {
		fmt.Fprintf(&b, "no attack in %d lines\n", c.Lines)
	} else {
		fmt.Fprintf(&b, "attack on %s, %s to %s\n", c.AttackSite, c.AttackFirst.Format(time.TimeOnly), c.AttackLast.Format(time.TimeOnly))
		fmt.Fprintf(&b, "%-34s %d of %d blocked (%.2f %%), %.2f %% with challenged and throttled\n",
			"its requests later than "+Grace.String(), c.Late.Block, c.Late.Requests, 100*c.Late.BlockShare(), 100*c.Late.Share())
		touched("visitors there during it", c.Visitors)
		touched("visitors there until the end", c.ToTheEnd)
		touched("visitors behind a bot's address", c.Shared)
		touched("scanners", c.Scanners)
	}
	touched("visitors elsewhere and before", c.Elsewhere)
	if e := c.Events; e != nil {
		fmt.Fprintf(&b, "%-34s %s flood, %s any\n", "seconds to notice", seconds(e.Flood), seconds(e.Noticed))
		fmt.Fprintf(&b, "%-34s %d %v\n", "false incidents of an attack kind", len(e.False), e.False)
		fmt.Fprintf(&b, "%-34s %d, %d before the attack\n", "decisions", e.Decisions, e.DecisionsBefore)
	}
	return b.String()
}

func seconds(s *float64) string {
	if s == nil {
		return "never"
	}
	return fmt.Sprintf("%.1f", *s)
}
