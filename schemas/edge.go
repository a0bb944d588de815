package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// EdgeReport is what an edge says of the decisions that it holds, every few seconds and
// when that changes: what is active and not in force is seen by whoever reads it.
type EdgeReport struct {
	Time time.Time `json:"time"` // by the edge's own clock, which may be wrong
	Edge string    `json:"edge"`
	// Sequence is that of the last message of decisions that it has read.
	Sequence uint64 `json:"sequence"`
	// Off says that nothing is enforced there: weir panic off.
	Off bool `json:"off"`
	// ClockBehind is by how many seconds the edge's clock is behind NATS's; expiries are
	// corrected by it.
	ClockBehind float64      `json:"clock_behind"`
	Parts       []EdgePart   `json:"parts"`
	Bouncers    []EdgeBounce `json:"bouncers,omitempty"`
}

// EdgePart is one thing on an edge that holds decisions.
type EdgePart struct {
	Name     string     `json:"name"`     // "nginx", "nftables", "haproxy", "bouncers"
	Intended int        `json:"intended"` // decisions that are to be in force, of those that it can hold
	Loaded   int        `json:"loaded"`   // of them, those that it holds
	Refused  int        `json:"refused"`  // decisions that it cannot carry, the first of which are
	Without  []EdgeLack `json:"without,omitempty"`
	Matching uint64     `json:"matching"` // requests or packets that it has stopped since it started, where it knows
	Lease    time.Time  `json:"lease,omitzero"`
	// Loads counts how often it was brought up to date since it started, by a reload or a
	// change in place; the last time, and how long that took.
	Loads       uint64    `json:"loads,omitempty"`
	LoadedAt    time.Time `json:"loaded_at,omitzero"`
	LoadSeconds float64   `json:"load_seconds,omitempty"`
	Error       string    `json:"error,omitempty"` // why Loaded is not Intended
}

// EdgeLack is a decision that an edge cannot carry, and why.
type EdgeLack struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Lacks reports whether what is decided is not in force there.
func (p *EdgePart) Lacks() bool { return p.Error != "" || p.Loaded+p.Refused < p.Intended }

// LetGo notes that nothing is held any more where the lease has ended by now, which is by the edge's
// own clock, and reports whether it has.
func (p *EdgePart) LetGo(now time.Time) bool {
	if p.Lease.IsZero() || p.Loaded == 0 || !now.After(p.Lease.Add(leaseSlack)) {
		return false
	}
	p.Loaded = 0
	if p.Error == "" && p.Refused < p.Intended {
		p.Error = "its lease has ended, and it has let go"
	}
	return true
}

// leaseSlack is how long a lease that has ended may still be taken to count: leases are in whole seconds.
const leaseSlack = 2 * time.Second

// EdgeBounce is a bouncer that asks this edge.
type EdgeBounce struct {
	Name     string    `json:"name"`
	LastPull time.Time `json:"last_pull,omitzero"`
	// Streams says that it follows the changes: it asks all the time, not just when somebody
	// comes.
	Streams bool    `json:"streams,omitempty"`
	Holds   float64 `json:"holds"`   // by its own report
	Stopped float64 `json:"stopped"` // likewise, of the last span
}

// Bounds of a report.
const (
	maxEdgeReport  = 64 << 10 // bytes, encoded
	maxEdgeParts   = 16
	MaxEdgeBounces = 200
	maxEdgeLacks   = 32
	maxLackReason  = 200 // bytes
)

// EncodeEdgeReport makes the message.
func EncodeEdgeReport(r *EdgeReport) ([]byte, error) {
	r.Bouncers = r.Bouncers[:min(len(r.Bouncers), MaxEdgeBounces)]
	for i := range r.Parts {
		r.Parts[i].Error = r.Parts[i].Error[:min(len(r.Parts[i].Error), 1000)]
		r.Parts[i].Without = r.Parts[i].Without[:min(len(r.Parts[i].Without), maxEdgeLacks)]
		for j := range r.Parts[i].Without {
			lack := &r.Parts[i].Without[j]
			lack.Reason = lack.Reason[:min(len(lack.Reason), maxLackReason)]
		}
	}
	return json.Marshal(r)
}

// DecodeEdgeReport reads one. The edge's name fits SubjectEdge.
func DecodeEdgeReport(message []byte) (*EdgeReport, error) {
	if len(message) > maxEdgeReport {
		return nil, fmt.Errorf("an edge's report of %d bytes, at most %d", len(message), maxEdgeReport)
	}
	var r EdgeReport
	if err := json.Unmarshal(message, &r); err != nil {
		return nil, fmt.Errorf("an edge's report: %w", err)
	}
	switch {
	case r.Edge == "" || len(r.Edge) > MaxSite:
		return nil, errors.New("an edge's report: no edge's name")
	case r.Time.Year() < 2000 || r.Time.Year() > 2200:
		return nil, errors.New("an edge's report: no time")
	case slices.ContainsFunc(r.Parts, func(p EdgePart) bool { return !(p.LoadSeconds >= 0) || math.IsInf(p.LoadSeconds, 0) }):
		return nil, errors.New("an edge's report: a load took no time that there is")
	case len(r.Parts) > maxEdgeParts || len(r.Bouncers) > MaxEdgeBounces:
		return nil, errors.New("an edge's report: too many parts")
	}
	return &r, nil
}

// Panic is whether anything is enforced anywhere: the newest message counts.
type Panic struct {
	Off  bool      `json:"off"`
	Time time.Time `json:"time"`
	By   string    `json:"by"`
}
