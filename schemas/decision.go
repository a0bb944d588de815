package schemas

import (
	"math"
	"strconv"
	"time"
)

// Action is what an edge does with a request.
type Action string

// The actions, the mildest first. Of several decisions that match one request
// at the same scope the last of these wins.
const (
	Allow     Action = "allow" // of a decision: nothing touches the client or the prefix, on any site
	Throttle  Action = "throttle"
	Challenge Action = "challenge"
	Block     Action = "block"
)

// Severity orders the actions: 0 for allow (and anything unknown) to 3 for block.
func (a Action) Severity() int {
	switch a {
	case Throttle:
		return 1
	case Challenge:
		return 2
	case Block:
		return 3
	}
	return 0
}

// Scope is what a decision is about.
type Scope string

// The scopes, in the order of precedence at every edge.
const (
	ScopeClient    Scope = "client"    // value: an IPv4 address or an IPv6 /64
	ScopePrefix    Scope = "prefix"    // value: a CIDR prefix
	ScopeSignature Scope = "signature" // value: Signature.String
	ScopeScore     Scope = "score"     // value: Score.String; of one rank with signatures
	ScopeSite      Scope = "site"      // value: the site's name
)

// Precedence orders the scopes, 0 first.
func (s Scope) Precedence() int {
	switch s {
	case ScopeClient:
		return 0
	case ScopePrefix:
		return 1
	case ScopeSignature, ScopeScore:
		return 2
	}
	return 3
}

// Kind is what an incident is.
type Kind string

// The kinds. Only Flood, Scrape and Scan lead to decisions.
const (
	Flood    Kind = "flood"
	Scrape   Kind = "scrape"
	Scan     Kind = "scan"
	Silent   Kind = "silent"
	Crowd    Kind = "crowd"
	Breakage Kind = "breakage"
	Release  Kind = "release"
	Crawler  Kind = "crawler"
)

// Attack reports whether the kind is one that decisions may follow from.
func (k Kind) Attack() bool { return k == Flood || k == Scrape || k == Scan }

// EventType names what an Event tells.
type EventType string

// The types of events.
const (
	IncidentOpened  EventType = "incident.opened"
	IncidentUpdated EventType = "incident.updated"
	IncidentClosed  EventType = "incident.closed"
	DecisionAdded   EventType = "decision.added"
	DecisionRenewed EventType = "decision.renewed"
	DecisionRemoved EventType = "decision.removed"
)

// Event is one change of an incident or a decision. The same object is a line of
// `weir replay --events`, a message on NATS, and what the API answers; an event
// carries the whole state of what it is about, so that the latest one suffices.
type Event struct {
	Type  EventType `json:"type"`
	Time  time.Time `json:"time"`  // event time, not the clock's
	Sites []string  `json:"sites"` // a decision's empty list is every site

	// Incident is the incident's id in both groups of types: "i261122-050812",
	// the UTC second in which it was opened, with "-2" and so on where taken.
	Incident string    `json:"incident,omitempty"`
	Kind     Kind      `json:"kind,omitempty"`
	Opened   time.Time `json:"opened,omitzero"`
	Closed   time.Time `json:"closed,omitzero"`
	Signals  []Signal  `json:"signals,omitempty"`
	Cause    string    `json:"cause,omitempty"` // one sentence for a person
	// Undecided says of an open incident of an attack kind on which sites nothing is in force that stops it, or what is in force
	// leaves much of it though more is known, and why, once that has been so for half a minute; of a closed one, where it was
	// so at its end.
	Undecided []Undecided `json:"undecided,omitempty"`

	*Decision
}

// Undecided is why weir decides nothing on a site that is attacked, or nothing more.
type Undecided struct {
	Site string `json:"site"`
	// Cap is what keeps it from that: "collateral" (whatever would stop the attack might touch too many people), "clients" or
	// "baseline" (too little is known of the site), "alike" (nothing sets the attack apart), "share" or "chance" (it is too
	// small to tell from visitors), "hurt", "earlier" (it would touch people who are known), "probation" (what was decided lapsed),
	// "decisions" (as many as may be are in force).
	Cap     string `json:"cap"`
	Setting string `json:"setting,omitempty"` // its key in the configuration; none where it is fixed
	Why     string `json:"why"`               // one sentence for a person
	// Left is the share of the attack's requests that what is in force leaves, 0 to 1; 0 where nothing is. With it, Stops is of
	// what is left, still as a share of all.
	Left float64 `json:"left,omitempty"`
	// Clients is how many decisions on single clients are in force all the same: few of these come again.
	Clients int `json:"clients,omitempty"`
	// Value is the signature that would stop most for the people whom it touches, Stops which share of the attack's
	// requests, Touches the upper 95 % bound of the share of the site's people, both 0 to 1. None is known where Value is empty.
	Value   string  `json:"value,omitempty"`
	Stops   float64 `json:"stops,omitempty"`
	Touches float64 `json:"touches,omitempty"`
}

// String is the whole sentence.
func (u *Undecided) String() string {
	return u.On(u.Site) + ": " + u.Why
}

// On is what is said of the site, under the name as it is to be shown.
func (u *Undecided) On(site string) string {
	if site == "" { // of a log that names none
		site = "this site"
	}
	if u.Left > 0 {
		return "what is decided on " + site + " leaves " + strconv.Itoa(int(math.Round(100*u.Left))) + " % of the attack's requests"
	}
	if u.Clients > 0 {
		return "nothing is decided on " + site + " but on " + strconv.Itoa(u.Clients) + " single addresses, few of which come again"
	}
	return "nothing is decided on " + site
}

// Told is an incident's cause, and why nothing is decided where that is so: for whoever has room for one text alone.
func (e *Event) Told() string {
	text := e.Cause
	for i := range e.Undecided {
		if text != "" {
			text += "; "
		}
		text += e.Undecided[i].String()
	}
	return text
}

// SignalRow is a signal of one site at one time, as the store keeps it.
type SignalRow struct {
	Time   time.Time `json:"time"` // the end of the window
	Site   string    `json:"site"`
	Window string    `json:"window"` // "10s", "1m", "10m"
	Signal
}

// RequestRate is the signal of requests a second.
const RequestRate = "request_rate"

// Signals of what visitors met, which nothing is judged by: of all requests of the
// window, the share that an edge stopped; of those that it let through, the share that
// ended with 5xx or 499.
const (
	StoppedShare  = "stopped_share"
	UnservedShare = "unserved_share"
)

// Signal is one number of a window beside what is normal for it.
type Signal struct {
	Name   string  `json:"name"`  // "request_rate", "unique_clients", "path_entropy", ...
	Group  string  `json:"group"` // "volume", "composition", "harm"
	Value  float64 `json:"value"`
	Normal float64 `json:"normal"` // the baseline's level
	Score  float64 `json:"score"`  // how many spreads above the level, on the signal's own scale
}

// Decision is one measure in force until it expires.
type Decision struct {
	// ID is "<incident>-<n>" for weir's own, "m261122-050812-<n>" for a person's.
	ID      string    `json:"decision"`
	Action  Action    `json:"action"`
	Scope   Scope     `json:"scope"`
	Value   string    `json:"value"`
	Expires time.Time `json:"expires"`
	// Collateral is the upper 95 % bound, on held-out normal clients, of the
	// share of the site's people that it would touch: 0 to 1.
	Collateral float64 `json:"collateral"`
	// CollateralPerHour is the same as people an hour.
	CollateralPerHour float64 `json:"collateral_per_hour"`
	// CollateralClients is how many held-out clients the bound rests on.
	CollateralClients int    `json:"collateral_clients"`
	Reason            string `json:"reason,omitempty"` // for a person
	Origin            string `json:"origin"`           // "weir", or who added it by hand
	// Armed is, of one that has ended, until when its signature is kept: where it matches
	// again it is decided at once.
	Armed time.Time `json:"armed,omitzero"`
	// Probes is the key by which edges draw the clients that it lets through, see Probe; of
	// a client's own decision, and of a person's, empty: those let nobody through.
	Probes   string    `json:"probes,omitempty"`
	Live     *Live     `json:"live,omitempty"`
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Live is what probes have shown of a decision since it came into force.
type Live struct {
	Probes int `json:"probes"` // clients that were let through, and have had time to show what they are
	People int `json:"people"` // of them, those that behave like people
	// Upper is the upper 95 % bound of the share of people among the clients that the
	// decision matches, 0 to 1; Touched the lower 95 % bound of how many it has stopped.
	Upper   float64 `json:"upper"`
	Touched float64 `json:"touched"`
}

// Evidence is why a decision was taken, with enough to see for oneself.
type Evidence struct {
	Traits []TraitEvidence `json:"traits,omitempty"`
	// AttackShare and NormalShare are the shares of the attack's requests and of
	// the normal clients that the measure matches, 0 to 1.
	AttackShare float64 `json:"attack_share"`
	NormalShare float64 `json:"normal_share"`
	// RiskRatio is the lower 95 % bound of AttackShare to NormalShare.
	RiskRatio float64 `json:"risk_ratio"`
	// Together is the upper 95 % bound of the share of the site's people whom all decisions of
	// weir's own that were in force there when this was taken touch together, this one among them.
	Together float64 `json:"together,omitempty"`
	// Samples are requests that it matches, Nearest the normal ones that come
	// closest to being matched; each as "METHOD path?query | agent", cut and printable.
	Samples []string `json:"samples,omitempty"`
	Nearest []string `json:"nearest,omitempty"`
	SQL     string   `json:"sql,omitempty"`
}

// TraitEvidence is what one trait says of a request, in bits: log2 of how much
// more often the value stands in the attack than in normal traffic.
type TraitEvidence struct {
	Trait  string  `json:"trait"`
	Value  string  `json:"value"`
	Attack float64 `json:"attack"`
	Normal float64 `json:"normal"`
	Bits   float64 `json:"bits"`
}

// What texts begin with that say what a person did; who it was follows.
const (
	RemovedBy      = "removed by "          // the reason of a decision that was lifted
	ClosedAsNormal = "closed as normal by " // the cause of a closed incident, and ": " and the cause before
)
