package processor

import (
	"fmt"
	"slices"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

const (
	// maxArmed bounds the armed signatures of a site; those that matched longest ago go.
	maxArmed = 64
	// armedAfter is for how many seconds a signature must have gone on stopping something
	// before it is worth to be kept.
	armedAfter = 20
	// recallExcess is how many requests above normal ten seconds must have, recallClients
	// how many clients and recallShare which part of the excess armed signatures must match,
	// for the attack to be back.
	recallExcess, recallClients, recallShare = 20, 8, 0.3
	// recallPause is the most seconds between two looks at traffic that goes on above normal
	// and matches nothing.
	recallPause = 10
)

// armed is a signature that stopped an attack, kept for its return.
type armed struct {
	Decision  string            `json:"decision"` // the last that it was
	Incident  string            `json:"incident"`
	Kind      schemas.Kind      `json:"kind"`
	Action    schemas.Action    `json:"action"`
	Value     string            `json:"value"`
	Matched   int64             `json:"matched"` // unix second in which it last stopped something
	Until     int64             `json:"until"`   // unix second
	signature schemas.Signature // as Value says
}

// keepArmed keeps the signature of a decision that ends.
func (s *site) keepArmed(d *decision, why string, second int64) {
	d.Armed = s.arm(d, second)
	if d.clean() {
		s.pardon(second, d.Value)
	}
	d.Reason = why + "; armed until " + d.Armed.Format(time.DateOnly) + ", for the attack's return"
}

// arms reports whether a decision that ends is kept armed: a signature that went on stopping
// something, and hurt nobody. One whose probes behave like people is not, be it that the attack's clients do, too: what
// comes and matches it would be taken for the attack before anything is known of it, and a crowd may.
func (s *site) arms(d *decision) bool {
	return s.d.o.ArmedFor > 0 && d.signature != nil && d.matched-d.since >= armedAfter && !d.hurt && !d.strays()
}

// arm keeps the signature of a decision that ends, and returns until when.
func (s *site) arm(d *decision, second int64) time.Time {
	until := second + int64(s.d.o.ArmedFor/time.Second)
	a := &armed{
		Decision: d.ID, Incident: d.incident, Kind: d.kind, Action: d.Action, Value: d.Value, Matched: d.matched, Until: until, signature: d.signature,
	}
	s.armed = slices.DeleteFunc(s.armed, func(o *armed) bool { return o.Value == a.Value })
	s.armed = append(s.armed, a)
	if len(s.armed) > maxArmed {
		oldest := slices.MinFunc(s.armed, func(a, b *armed) int { return int(a.Matched - b.Matched) })
		s.armed = slices.DeleteFunc(s.armed, func(o *armed) bool { return o == oldest })
	}
	return time.Unix(until, 0).UTC()
}

// disarm drops the armed signatures of which gone is true, and says why.
func (s *site) disarm(now time.Time, reason string, gone func(*armed) bool, emit func(schemas.Event)) {
	s.armed = slices.DeleteFunc(s.armed, func(a *armed) bool {
		if !gone(a) {
			return false
		}
		d := &decision{incident: a.Incident, Decision: schemas.Decision{
			ID: a.Decision, Action: a.Action, Scope: schemas.ScopeSignature, Value: a.Value, Expires: now, Origin: schemas.OriginWeir, Reason: reason,
		}}
		s.tell(schemas.DecisionRemoved, d, now, emit)
		return true
	})
}

// recall looks whether an attack is back: where the site departs from its baseline, and
// armed signatures match a large part of what is beyond it, they are decided at once, and the
// incident, if none is open, opens with them.
func (s *site) recall(second int64, emit func(schemas.Event)) {
	if len(s.armed) == 0 || s.d.o.LearnOnly || s.name == Other || s.incident != nil && s.incident.lapsed {
		return
	}
	excess := float64(s.windows.Short()[window.Requests]) - s.normalRate(second)*stepSeconds
	if excess < recallExcess {
		s.recalls = 0
		return
	}
	if s.recalls > 0 && second < s.nextRecall {
		return
	}
	s.recalls++
	s.nextRecall = second + int64(min(1+s.recalls/4, recallPause))
	s.armed = slices.DeleteFunc(s.armed, func(a *armed) bool { return a.Until <= second })
	signatures := s.armedNow()
	if len(signatures) == 0 {
		return
	}
	suspect := s.suspects(second, second-stepSeconds)
	budget := s.budget(second, second-before)
	budget.Alike = s.alikeNow()
	r := attribute.Recall(s.normalSample(), suspect, signatures, budget)
	if len(r.Measures) == 0 {
		return
	}
	if !s.state.Open || !s.state.Kind.Attack() {
		if r.Share < recallShare || r.Clients < recallClients {
			return
		}
		s.reopenFor(r.Measures[0].Value, second, emit)
	}
	s.impose(r.Measures, second, emit)
	s.incident.next = second + firstLook // the whole attribution follows
}

// armedNow are the armed signatures that are not in force, those first that matched last.
func (s *site) armedNow() (signatures []schemas.Signature) {
	slices.SortStableFunc(s.armed, func(a, b *armed) int { return int(b.Matched - a.Matched) })
	for _, a := range s.armed {
		if !slices.ContainsFunc(s.know.decisions, func(d *decision) bool { return d.Value == a.Value && d.Action.Severity() >= a.Action.Severity() }) {
			signatures = append(signatures, a.signature)
		}
	}
	return signatures
}

// reopenFor opens an incident, or makes an attack of the open one, because an armed
// signature matches again.
func (s *site) reopenFor(value string, second int64, emit func(schemas.Event)) {
	kind, was := schemas.Flood, ""
	for _, a := range s.armed {
		if a.Value == value {
			kind, was = a.Kind, a.Incident
		}
	}
	s.measure(second)
	change := detect.Opened
	if s.state.Open {
		change = detect.Updated
	}
	s.state.Open, s.state.Kind, s.state.Quiet = true, kind, 0
	s.returns = was
	s.change(change, second, emit)
}

// armedVersion is the form of what is saved of armed signatures; what has another is left
// out, and weir finds them anew.
const armedVersion = 1

type savedArmed struct {
	Version    int      `json:"version"`
	Signatures []*armed `json:"signatures"`
}

func (s *site) saveArmed() *savedArmed {
	if len(s.armed) == 0 {
		return nil
	}
	return &savedArmed{Version: armedVersion, Signatures: s.armed}
}

// rearm takes up what was saved.
func (s *site) rearm(saved *savedArmed) error {
	if saved == nil || saved.Version != armedVersion {
		return nil
	}
	if len(saved.Signatures) > maxArmed {
		return fmt.Errorf("%d armed signatures of site %q, at most %d", len(saved.Signatures), s.name, maxArmed)
	}
	for _, a := range saved.Signatures {
		if a == nil {
			return fmt.Errorf("an armed signature of site %q is none", s.name)
		}
		signature, err := schemas.ParseSignature(a.Value)
		if err != nil {
			return err
		}
		a.signature = signature
		s.armed = append(s.armed, a)
	}
	return nil
}
