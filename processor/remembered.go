package processor

import (
	"fmt"
	"slices"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// What hurt is refused for the rest of its incident. When the attack is back after that, what stopped people
// last time may stop bots alone now, or the same people again. So it is not forgotten: for rememberFor
// nothing of it blocks, it asks at the most, and its reason says why.
const (
	// rememberFor is how many seconds it is remembered after it hurt last: as long as, by default, what
	// hurt nobody is kept armed.
	rememberFor = 21 * 24 * 3600
	// maxRemembered bounds the values of a site; addresses go first, then what hurt longest ago.
	maxRemembered = 256
	// rememberedVersion is the form of what is saved; what has another is left out.
	rememberedVersion = 1
)

// harm is a decision that was lifted because it hurt, or by a person, who will have had a reason.
type harm struct {
	Decision  string            `json:"decision"`
	Scope     schemas.Scope     `json:"scope"`
	Value     string            `json:"value"`
	Second    int64             `json:"second"`       // unix, in which it was lifted
	By        string            `json:"by,omitempty"` // the person who lifted it; "" where it hurt
	signature schemas.Signature // as Value says
}

// remembered is what hurt on a site in earlier incidents, and in the open one.
type remembered struct {
	harms  []harm
	people *attribute.Sample // whom signatures stopped, those who were let through and watched; nil for nobody
	last   int64             // unix second in which they were added to
}

// remember keeps what is lifted; by says who did, "" where it was weir itself.
func (s *site) remember(d *decision, second int64, by string) {
	if d.signature == nil && by == "" && d.forMatch {
		return // it was the signature's doing
	}
	r := &s.remembered
	r.harms = slices.DeleteFunc(r.harms, func(h harm) bool { return h.Value == d.Value })
	r.harms = append(r.harms, harm{d.ID, d.Scope, d.Value, second, by, d.signature})
	if len(r.harms) > maxRemembered {
		at := slices.IndexFunc(r.harms, func(h harm) bool { return h.Scope == schemas.ScopeClient })
		r.harms = slices.Delete(r.harms, max(at, 0), max(at, 0)+1)
	}
}

// rememberPeople keeps the people for whom a signature was lifted.
func (s *site) rememberPeople(second int64, suspects *attribute.Sample, people map[uint64]bool) {
	r := &s.remembered
	if r.people == nil {
		r.people = attribute.NewSample(s.d.extract, maxHurt)
	}
	r.people.Take(suspects, people)
	r.last = second
}

// pardon lets go of what has proved right by now, or hurt too long ago.
func (s *site) pardon(second int64, proved string) {
	r := &s.remembered
	r.harms = slices.DeleteFunc(r.harms, func(h harm) bool { return h.Value == proved || h.Second+rememberFor <= second })
	if r.last+rememberFor <= second {
		r.people = nil
	}
}

// blockedBefore are the signatures that hurt and the people whom they stopped, for attribution to look
// for others that can be blocked.
func (s *site) blockedBefore() (before attribute.Hurt) {
	for _, h := range s.remembered.harms {
		if h.signature != nil {
			before.Signatures = append(before.Signatures, h.signature)
		}
	}
	before.People = s.remembered.people
	return before
}

// mind makes a challenge of a block that hurt in an earlier incident, or stops people whom another one stopped, and
// returns what its reason is to say of it; "" where nothing is known.
func (s *site) mind(m *attribute.Measure) (said string) {
	r := &s.remembered
	if at := slices.IndexFunc(r.harms, func(h harm) bool {
		return h.Value == m.Value || m.Score != nil && h.Scope == schemas.ScopeScore // each has other points
	}); at >= 0 {
		h := &r.harms[at]
		on := time.Unix(h.Second, 0).UTC().Format(time.DateOnly)
		if said = fmt.Sprintf("; it was lifted on %s because it hurt people (%s)", on, h.Decision); h.By != "" {
			said = fmt.Sprintf("; %s lifted it on %s (%s)", h.By, on, h.Decision)
		}
	} else if before := (&attribute.Hurt{People: r.people}); ofRequests(m) && before.Touched(attribute.Rule{Signature: m.Signature, Score: m.Score}, s.resolver()) > 0 {
		said = fmt.Sprintf("; it matches people for whom others were lifted on %s", time.Unix(r.last, 0).UTC().Format(time.DateOnly))
	}
	if said != "" && m.Action == schemas.Block {
		m.Action = schemas.Challenge
	}
	if said != "" {
		said += ", so that it only asks until it has hurt nobody"
	}
	return said
}

// ofRequests reports whether a measure goes by what a request is.
func ofRequests(m *attribute.Measure) bool { return m.Signature != nil || m.Score != nil }

type savedRemembered struct {
	Version int    `json:"version"`
	Harms   []harm `json:"harms"`
	People  []byte `json:"people,omitempty"`
	Last    int64  `json:"last,omitempty"`
}

func (s *site) saveRemembered() *savedRemembered {
	r := &s.remembered
	if len(r.harms) == 0 && r.people == nil {
		return nil
	}
	saved := &savedRemembered{Version: rememberedVersion, Harms: r.harms, Last: r.last}
	if r.people != nil {
		var w state.Writer
		r.people.Write(&w)
		saved.People = w.Bytes
	}
	return saved
}

func (s *site) loadRemembered(saved *savedRemembered) (err error) {
	if saved == nil || saved.Version != rememberedVersion {
		return nil
	}
	if len(saved.Harms) > maxRemembered {
		return fmt.Errorf("site %q remembers %d decisions that hurt, at most %d", s.name, len(saved.Harms), maxRemembered)
	}
	r := &s.remembered
	r.harms, r.last = saved.Harms, saved.Last
	for i := range r.harms {
		if h := &r.harms[i]; h.Scope == schemas.ScopeSignature {
			if h.signature, err = schemas.ParseSignature(h.Value); err != nil {
				return err
			}
		}
	}
	if r.people, err = s.loadSample(saved.People, maxHurt); err != nil {
		return fmt.Errorf("people who were hurt before: %w", err)
	}
	return nil
}
