package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/s2"
)

// EventsVersion is the layout of event messages that this code writes and reads.
const EventsVersion = 1

// Bounds on one event and on one set of events, held when encoding and when
// decoding.
const (
	MaxEventSites   = 1024
	MaxEventSignals = 64
	MaxUndecided    = 16   // sites of which it is said why nothing is decided
	MaxEvidence     = 64   // traits, samples or nearest requests of one decision
	MaxID           = 64   // bytes of an incident's or a decision's id
	MaxSentence     = 4096 // bytes of a cause, a reason, a value, a sample, an SQL text
	MaxEventParts   = 1024 // messages of one set
)

// leastLine is less than any event takes, in bytes.
const leastLine = 60

// headerRoom is what the header line may take of a message.
const headerRoom = 160

// ErrEvents is wrapped by every error about events that do not hold together.
var ErrEvents = errors.New("malformed events")

// EventsHeader is the first line of a message of events.
type EventsHeader struct {
	Version int `json:"version"`
	// Revision is that of the detector's lease; an edge refuses an older one than
	// it has seen.
	Revision uint64 `json:"revision"`
	// Part counts the messages of one set from 1 to Parts.
	Part  int `json:"part"`
	Parts int `json:"parts"`
	// Snapshot says that the set is everything in force: what is not in it has
	// ended. Otherwise the events are changes.
	Snapshot bool `json:"snapshot"`
	// Newer counts the events of the message that were passed over, as they are of a kind that only a newer weir knows.
	Newer int `json:"-"`
}

// EncodeEvents writes a set of events as one or more messages of at most
// MaxMessage bytes: NDJSON, a header line and then an event a line; of a large
// snapshot each is packed by s2 behind a byte 1. No events
// are one message, because an empty snapshot says something. Errors wrap
// ErrEvents and name the event that is out of bounds.
func EncodeEvents(revision uint64, snapshot bool, events []Event) ([][]byte, error) {
	var bodies [][]byte
	var body []byte
	for i := range events {
		line, err := AppendEvent(nil, onWire(&events[i]))
		if err != nil {
			return nil, fmt.Errorf("event %d of %d: %w", i+1, len(events), err)
		}
		if len(body) > 0 && len(body)+len(line) > MaxMessage-headerRoom {
			bodies, body = append(bodies, body), nil
		}
		body = append(body, line...)
	}
	bodies = append(bodies, body)
	if len(bodies) > MaxEventParts {
		return nil, fmt.Errorf("encode events: %w: %d messages, at most %d", ErrEvents, len(bodies), MaxEventParts)
	}
	messages := make([][]byte, len(bodies))
	for i, body := range bodies {
		header, err := json.Marshal(EventsHeader{
			Version: EventsVersion, Revision: revision, Part: i + 1, Parts: len(bodies), Snapshot: snapshot,
		})
		if err != nil {
			return nil, fmt.Errorf("encode events: %w: %v", ErrEvents, err)
		}
		message := make([]byte, 0, len(header)+1+len(body))
		message = append(append(message, header...), '\n')
		messages[i] = append(message, body...)
		if snapshot && len(messages[i]) > packedAbove {
			messages[i] = append([]byte{packedEvents}, s2.Encode(nil, messages[i])...)
		}
	}
	return messages, nil
}

// A snapshot of half a million decisions has 200 MB, which repeats itself: packed, the stream
// has room for many, so that the one before is whole while the next comes in. What is
// smaller is text for everybody to read.
const (
	packedAbove  = 64 << 10 // bytes
	packedEvents = 1        // the first byte of a packed message: no text begins with it
)

// UnpackEvents is the text of a message of events, whether or not it is packed. Errors wrap
// ErrEvents.
func UnpackEvents(message []byte) ([]byte, error) {
	if len(message) == 0 || message[0] != packedEvents {
		return message, nil
	}
	n, err := s2.DecodedLen(message[1:])
	if err != nil || n > MaxMessage {
		return nil, fmt.Errorf("decode events: %w: packed, of %d bytes, at most %d: %v", ErrEvents, n, MaxMessage, err)
	}
	text, err := s2.Decode(nil, message[1:])
	if err != nil {
		return nil, fmt.Errorf("decode events: %w: packed: %v", ErrEvents, err)
	}
	return text, nil
}

// AppendEvent appends one event as a line of JSON with its newline: the line of
// `weir replay --events`. Times are in UTC. Errors wrap ErrEvents.
func AppendEvent(dst []byte, e *Event) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return dst, fmt.Errorf("encode event: %w: %v", ErrEvents, err)
	}
	utc := *e
	utc.Time, utc.Opened, utc.Closed = utc.Time.UTC(), utc.Opened.UTC(), utc.Closed.UTC()
	if e.Decision != nil {
		decision := *e.Decision
		decision.Expires = decision.Expires.UTC()
		utc.Decision = &decision
	}
	if utc.Sites == nil {
		utc.Sites = []string{} // readers may count on a list
	}
	buffer := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(&utc); err != nil {
		return dst, fmt.Errorf("encode event: %w: %v", ErrEvents, err)
	}
	if line := buffer.Len() - len(dst); line > MaxMessage-headerRoom {
		return dst, fmt.Errorf("encode event: %w: %d bytes, at most %d", ErrEvents, line, MaxMessage-headerRoom)
	}
	return buffer.Bytes(), nil
}

// DecodeEvents reads one message that EncodeEvents wrote. Unknown keys are
// ignored, and so are events of a type, an action or a scope that is not known: where some machines have a newer weir,
// the others go on with all that they know, and enforce nothing that they do not. Errors wrap ErrEvents.
func DecodeEvents(message []byte) (EventsHeader, []Event, error) {
	var header EventsHeader
	if len(message) > MaxMessage {
		return header, nil, fmt.Errorf("decode events: %w: %d bytes, at most %d", ErrEvents, len(message), MaxMessage)
	}
	message, err := UnpackEvents(message)
	if err != nil {
		return header, nil, err
	}
	first, rest, _ := bytes.Cut(message, []byte{'\n'})
	if err := json.Unmarshal(first, &header); err != nil {
		return header, nil, fmt.Errorf("decode events: %w: header: %v", ErrEvents, err)
	}
	if err := header.check(); err != nil {
		return header, nil, fmt.Errorf("decode events: %w: header: %v", ErrEvents, err)
	}
	var plain plainLines
	events := make([]Event, 0, min(bytes.Count(rest, []byte{'\n'}), len(rest)/leastLine))
	for number := 2; len(rest) > 0; number++ {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		events = append(events, Event{})
		e := &events[len(events)-1]
		if !plain.read(line, e) {
			*e = Event{}
			if err := json.Unmarshal(line, e); err != nil {
				return header, nil, fmt.Errorf("decode events: %w: line %d: %v", ErrEvents, number, err)
			}
		}
		offWire(e)
		if e.newer() {
			header.Newer, events = header.Newer+1, events[:len(events)-1]
			continue
		}
		if err := e.Validate(); err != nil {
			return header, nil, fmt.Errorf("decode events: %w: line %d: %v", ErrEvents, number, err)
		}
	}
	return header, events, nil
}

// newer reports whether an event says what it is, and that is nothing which this weir knows.
func (e *Event) newer() bool {
	switch e.Type {
	case IncidentOpened, IncidentUpdated, IncidentClosed:
		return false
	case DecisionAdded, DecisionRenewed, DecisionRemoved:
	default:
		return e.Type != ""
	}
	d := e.Decision
	return d != nil && (d.Scope != "" && !d.Scope.known() || d.Action != "" && !d.Action.known())
}

func (s Scope) known() bool {
	switch s {
	case ScopeClient, ScopePrefix, ScopeSignature, ScopeScore, ScopeSite:
		return true
	}
	return false
}

func (a Action) known() bool {
	switch a {
	case Throttle, Challenge, Block, Allow:
		return true
	}
	return false
}

// onWire is an event as messages carry it: a score goes as a signature. An edge that knows no scores refuses a message
// with another scope, and everything in it; a signature that it cannot read it refuses alone.
func onWire(e *Event) *Event {
	if e.Decision == nil || e.Scope != ScopeScore {
		return e
	}
	sent, decision := *e, *e.Decision
	decision.Scope = ScopeSignature
	sent.Decision = &decision
	return &sent
}

// offWire takes that back. No signature begins with a digit, and every score does.
func offWire(e *Event) {
	if e.Decision != nil && e.Scope == ScopeSignature && IsScore(e.Value) {
		e.Scope = ScopeScore
	}
}

func (h EventsHeader) check() error {
	switch {
	case h.Version != EventsVersion:
		return fmt.Errorf("version %d, this reads %d", h.Version, EventsVersion)
	case h.Parts < 1 || h.Parts > MaxEventParts:
		return fmt.Errorf("%d parts, want 1 to %d", h.Parts, MaxEventParts)
	case h.Part < 1 || h.Part > h.Parts:
		return fmt.Errorf("part %d of %d", h.Part, h.Parts)
	}
	return nil
}

// Validate says what is wrong with an event, or nil.
func (e *Event) Validate() error {
	switch e.Type {
	case IncidentOpened, IncidentUpdated, IncidentClosed:
		if e.Incident == "" {
			return fmt.Errorf("%s without an incident", e.Type)
		}
	case DecisionAdded, DecisionRenewed, DecisionRemoved:
		if e.Decision == nil {
			return fmt.Errorf("%s without a decision", e.Type)
		}
	default:
		return fmt.Errorf("no type of event is called %q", cut(string(e.Type)))
	}
	if e.Time.IsZero() {
		return fmt.Errorf("%s without a time", e.Type)
	}
	if len(e.Sites) > MaxEventSites {
		return fmt.Errorf("%d sites, at most %d", len(e.Sites), MaxEventSites)
	}
	for _, site := range e.Sites {
		if len(site) > 6*MaxSite { // a byte that is not UTF-8 grows to three
			return fmt.Errorf("a site's name of %d bytes", len(site))
		}
	}
	if len(e.Signals) > MaxEventSignals {
		return fmt.Errorf("%d signals, at most %d", len(e.Signals), MaxEventSignals)
	}
	for _, s := range e.Signals {
		if err := first(bounded("signal", s.Name, MaxID), bounded("group", s.Group, MaxID)); err != nil {
			return err
		}
		if !finite(s.Value, s.Normal, s.Score) {
			return fmt.Errorf("signal %s is not a finite number", cut(s.Name))
		}
	}
	if err := first(
		bounded("incident", e.Incident, MaxID), bounded("kind", string(e.Kind), MaxID),
		bounded("cause", e.Cause, MaxSentence)); err != nil {
		return err
	}
	if err := checkUndecided(e.Undecided); err != nil {
		return err
	}
	if e.Decision != nil {
		if e.Action == Allow && len(e.Sites) > 0 {
			return fmt.Errorf("decision %s: it allows on some sites; a firewall knows no sites, so it is on all", cut(e.ID))
		}
		return e.Decision.Validate()
	}
	return nil
}

func checkUndecided(list []Undecided) error {
	if len(list) > MaxUndecided {
		return fmt.Errorf("%d sites on which nothing is decided, at most %d", len(list), MaxUndecided)
	}
	for i := range list {
		u := &list[i]
		if !finite(u.Stops, u.Touches, u.Left) || u.Clients < 0 {
			return fmt.Errorf("why nothing is decided on %s: no finite number", cut(u.Site))
		}
		if err := first(bounded("site", u.Site, 6*MaxSite), bounded("cap", u.Cap, MaxID), bounded("setting", u.Setting, MaxID),
			bounded("why nothing is decided", u.Why, MaxSentence), bounded("value", u.Value, MaxSignatureTraits*(4*MaxText+MaxID))); err != nil {
			return err
		}
	}
	return nil
}

// Validate says what is wrong with a decision, or nil. Whether Value is an
// address, a prefix or a signature is looked at by whoever enforces it.
func (d *Decision) Validate() error {
	if d.Action == Allow && d.Scope != ScopeClient && d.Scope != ScopePrefix {
		return fmt.Errorf("decision %s: it allows a %s; only a client or a prefix can be allowed", cut(d.ID), cut(string(d.Scope)))
	}
	if !d.Action.known() {
		return fmt.Errorf("decision %s: the action %q is none of throttle, challenge, block, allow", cut(d.ID), cut(string(d.Action)))
	}
	if !d.Scope.known() {
		return fmt.Errorf("decision %s: the scope %q is none of client, prefix, signature, score, site", cut(d.ID), cut(string(d.Scope)))
	}
	if d.ID == "" || d.Value == "" || d.Expires.IsZero() {
		return fmt.Errorf("decision %s: without an id, a value or an expiry", cut(d.ID))
	}
	if !(d.Collateral >= 0 && d.Collateral <= 1) {
		return fmt.Errorf("decision %s: a collateral of %v is no share of 0 to 1", cut(d.ID), d.Collateral)
	}
	if !finite(d.CollateralPerHour) || d.CollateralClients < 0 {
		return fmt.Errorf("decision %s: its collateral is no number", cut(d.ID))
	}
	// A signature's value is quoted: a byte may take four.
	if err := first(bounded("decision", d.ID, MaxID),
		bounded("value", d.Value, MaxSignatureTraits*(4*MaxText+MaxID)),
		bounded("reason", d.Reason, MaxSentence), bounded("origin", d.Origin, MaxID)); err != nil {
		return err
	}
	if err := CheckProbeKey(d.Probes); err != nil {
		return fmt.Errorf("decision %s: %w", cut(d.ID), err)
	}
	if l := d.Live; l != nil && (!finite(l.Upper, l.Touched) || l.Probes < 0 || l.People < 0) {
		return fmt.Errorf("decision %s: what its probes have shown is no number", cut(d.ID))
	}
	if d.Evidence != nil {
		return d.Evidence.validate()
	}
	return nil
}

func (v *Evidence) validate() error {
	if len(v.Traits) > MaxEvidence || len(v.Samples) > MaxEvidence || len(v.Nearest) > MaxEvidence {
		return fmt.Errorf("evidence: more than %d traits, samples or nearest", MaxEvidence)
	}
	if !finite(v.AttackShare, v.NormalShare, v.RiskRatio, v.Together) {
		return errors.New("evidence: a share is not a finite number")
	}
	for _, t := range v.Traits {
		if !finite(t.Attack, t.Normal, t.Bits) {
			return fmt.Errorf("evidence: %s is not a finite number", cut(t.Trait))
		}
		if err := first(bounded("trait", t.Trait, MaxID), bounded("trait value", t.Value, 4*MaxText)); err != nil {
			return err
		}
	}
	for _, list := range [][]string{v.Samples, v.Nearest} {
		for _, text := range list {
			if err := bounded("sample", text, MaxSentence); err != nil {
				return err
			}
		}
	}
	// The SQL names the traits' values: as long as a signature may be.
	return bounded("sql", v.SQL, MaxSentence+MaxSignatureTraits*4*MaxText)
}

func bounded(what, text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%s has %d bytes, at most %d", what, len(text), most)
	}
	return nil
}

// first is the first of the errors that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func finite(numbers ...float64) bool {
	for _, n := range numbers {
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return false
		}
	}
	return true
}

// cut keeps what a peer sent short enough for a message.
func cut(text string) string { return text[:min(len(text), MaxID)] }
