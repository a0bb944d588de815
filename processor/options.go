// Package processor turns requests into incidents and decisions: it keeps windows
// and a baseline for every site, notices when a site departs from what is normal
// for it, works out what sets the attack's requests apart, and decides.
//
// Everything happens in event time and in one goroutine: what it emits depends
// on the options and on the requests so far, in their order, and on nothing else.
package processor

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
	application "github.com/weir-project/weir/schemas/profile"
)

// Options are a Processor's. The zero value of each is its default.
type Options struct {
	// Secret keys every hash. Where it is zero, as in replay, results are the same on
	// every machine, and an attacker who has the source can bend estimates.
	Secret [32]byte
	// Lateness is how long a second stays open after a later one has begun; 2 s by
	// default, at most 20 s.
	Lateness time.Duration
	// Allow are the addresses that nothing is decided against.
	Allow []netip.Prefix
	// Proxies are where peers are proxies that many clients come through: where one is
	// taken for a client, because nothing tells who is behind it, nothing is decided
	// against its address.
	Proxies []netip.Prefix
	// Profiles are the applications that sites are, by their names, as far as that is
	// known: what a page brings with it is then what the application says.
	Profiles map[string]*application.Profile
	// TTL is the life of a decision; 10 min. Fresh evidence renews it.
	TTL time.Duration
	// ArmedFor is how long signatures that stopped an attack are kept for its return; 21
	// days. Negative is never.
	ArmedFor time.Duration
	// Probation is after how long the first enforcement on a site lapses, unless its probes are
	// clean or a person confirms it; 10 min. Negative is none.
	Probation time.Duration
	// Enforced says of a site whether decisions are enforced there without a person; nil is
	// everywhere. Where they are not, none is on probation.
	Enforced func(site string) bool
	// Stops says of a site whether edges stop anything there: decisions are enforced, or a person has accepted some; nil is
	// everywhere. Where they do not, what a log without actions shows as refused was refused by the application itself. It is
	// called by every counter, for what is refused where decisions are in force.
	Stops func(site string) bool
	// Longest is for how long a decision may be renewed without a person; 24 h.
	Longest time.Duration
	// MaxDecisions bounds those in force over all sites; 500,000.
	MaxDecisions int
	// Collateral is the share of a site's people that an incident's decisions together
	// may touch; 0.005.
	Collateral float64
	// FalseIncidents is how many false incidents a month are accepted over all sites: the one
	// knob of detection, see detect.LimitsOf; 1.
	FalseIncidents float64
	// MinBaseline is how much normal traffic a site must have shown before anything is
	// decided on it; 20 min.
	MinBaseline time.Duration
	// MinClients is how many normal clients must be known before; 100.
	MinClients int
	// MaxSites bounds the sites; whatever host comes beyond is counted as the site
	// "(other)", on which nothing is decided; 1000.
	MaxSites int
	// Named are sites that have a place among these whatever comes, and keep it: the others share
	// what is left. Where they are as many, MaxSites is greater.
	Named []string
	// MaxClients bounds the clients remembered, over all sites; 1<<20, at no more than
	// clients.Bytes each, taken as they come.
	MaxClients int
	// SampleClients bounds the clients kept with their requests as a site's normal
	// traffic of a day, at about 300 bytes each; 16384. Beyond 32 sites it shrinks, so
	// that all sites together keep no more than 32 do.
	SampleClients int
	// LearnOnly learns and reports incidents, and decides nothing.
	LearnOnly bool
	// LeftOut, if not nil, is told of measures that were found on a site and not decided, because a cap was reached.
	LeftOut func(site string, cap Cap, measures int)
	// Strange, if not nil, is told every ten seconds of many requests for hosts that are no site's.
	Strange func(Strange)
	// Signals, if not nil, is given each site's signals every ten seconds of event time:
	// those of the 10 s window that ends at end. The slice is the callee's.
	Signals func(end time.Time, site string, signals []schemas.Signal)
	// Known, if not nil, is given the paths that a site is known to have, whenever they have
	// changed and a decision in force depends on them, before the decision. What edges are
	// told counts from the time given on. Where it is nil, nothing is decided on them. The
	// list is the callee's.
	Known func(at time.Time, list *schemas.SiteList)
	// Registerer takes the metrics; nil is none.
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() (Options, error) {
	if o.Lateness == 0 {
		o.Lateness = 2 * time.Second
	}
	if o.TTL == 0 {
		o.TTL = 10 * time.Minute
	}
	if o.ArmedFor == 0 {
		o.ArmedFor = 21 * 24 * time.Hour
	}
	if o.Probation == 0 {
		o.Probation = 10 * time.Minute
	}
	if o.Longest == 0 {
		o.Longest = 24 * time.Hour
	}
	if o.MaxDecisions == 0 {
		o.MaxDecisions = 500_000
	}
	if o.Collateral == 0 {
		o.Collateral = 0.005
	}
	if o.FalseIncidents == 0 {
		o.FalseIncidents = 1
	}
	if o.MinBaseline == 0 {
		o.MinBaseline = 20 * time.Minute
	}
	if o.MinClients == 0 {
		o.MinClients = 100
	}
	if o.MaxSites == 0 {
		o.MaxSites = 1000
	}
	if len(o.Named) > 0 {
		o.MaxSites = max(o.MaxSites, len(o.Named)+2) // one of them "(other)"
	}
	if o.MaxClients == 0 {
		o.MaxClients = 1 << 20
	}
	if o.SampleClients == 0 {
		o.SampleClients = 16384
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Lateness < 0 || o.Lateness > 20*time.Second:
		return fmt.Errorf("processor: lateness is %s, want 0s to 20s", o.Lateness)
	case o.TTL < 30*time.Second || o.TTL > 30*24*time.Hour:
		return fmt.Errorf("processor: the life of a decision is %s, want 30s to 720h", o.TTL)
	case o.ArmedFor > 366*24*time.Hour:
		return fmt.Errorf("processor: signatures stay armed for %s, want 8784h or less", o.ArmedFor)
	case o.Longest < o.TTL:
		return fmt.Errorf("processor: a decision lasts %s without a person, want its life of %s or more", o.Longest, o.TTL)
	case o.MaxDecisions < 1:
		return fmt.Errorf("processor: at most %d decisions, want 1 or more", o.MaxDecisions)
	case o.Collateral < 0 || o.Collateral > 0.5:
		return fmt.Errorf("processor: the collateral budget is %g, want a share from 0 to 0.5", o.Collateral)
	case !(o.FalseIncidents > 0 && o.FalseIncidents <= 1000):
		return fmt.Errorf("processor: %g false incidents a month are accepted, want more than 0, at most 1000", o.FalseIncidents)
	case o.MinBaseline < 0:
		return fmt.Errorf("processor: the least baseline is %s, want 0s or more", o.MinBaseline)
	case o.MinClients < 0:
		return fmt.Errorf("processor: the least number of normal clients is %d, want 0 or more", o.MinClients)
	case o.MaxSites < 1 || o.MaxSites > 100_000:
		return fmt.Errorf("processor: at most %d sites, want 1 to 100000", o.MaxSites)
	case o.MaxClients < 1024 || o.MaxClients > 1<<27:
		return fmt.Errorf("processor: at most %d clients, want 1024 to %d", o.MaxClients, 1<<27)
	case o.SampleClients < 256 || o.SampleClients > 1<<20:
		return fmt.Errorf("processor: a sample of %d clients, want 256 to %d", o.SampleClients, 1<<20)
	}
	return nil
}
