package simulate

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Trial compares what was done in one run of a scenario with the truth, while it runs. It
// holds about 32 bytes for every request since the scenario began.
type Trial struct {
	// Verified says of an address that a crawler there is what it says; nil: of none.
	Verified func(netip.Addr) bool

	begins time.Time
	rows   []trialRow
	actors map[actorKey]uint32
	kinds  []Kind
	names  map[string]uint32
	sites  []string
	result Result
	oracle *oracle // nil where nothing is attacked

	seen     map[uint32]*siteTrial // attacked sites
	lastEnd  map[string]time.Time  // of decisions, by id
	inForce  int64                 // unix ms in which the last decision ends
	attackAt int64
	kind     map[string]schemas.Kind // of incidents
	attacks  map[string]bool         // incidents that were of an attack kind
	lifted   []int64                 // unix ms in which decisions were
}

type siteTrial struct{ first, last int64 } // unix ms

type trialRow struct {
	sent                int64 // unix ms
	vector              uint64
	site, client, actor uint32
	severity            uint8
	attack, succeeds    bool
	verified            bool // its client is
	joined              bool // of those who came to speak as the attack does
}

// Result is what a Trial found. Times are when requests were sent.
type Result struct {
	Scenario string   `json:"scenario"`
	Attacks  bool     `json:"attacks"`
	Hard     bool     `json:"hard,omitempty"`
	Estate   string   `json:"estate"`
	Format   Format   `json:"format"`
	Seed     uint64   `json:"seed"`
	Base     Duration `json:"base"`
	Lines    int64    `json:"lines"`

	// Silent says that no log shows the attack.
	Silent bool `json:"silent,omitempty"`

	// Noticed is the seconds from the attack's first request at a site to an incident of an
	// attack kind there, of all attacked sites the longest; nil where one was not noticed. Of a
	// silent attack, to an incident of that kind.
	Noticed *float64 `json:"noticed_seconds"`
	// Factor is how many times the normal rate the attacked sites had when it was noticed.
	Factor float64 `json:"noticed_factor,omitempty"`

	Attack Stopped `json:"attack"`
	Late   Stopped `json:"late"` // of the attack's requests those later than Grace
	// Ceiling is the share of Late that somebody who knew the truth could have stopped
	// without touching a visitor: requests whose traits together no visitor's has, and
	// those of a client that no visitor shares and that had attacked before.
	Ceiling float64 `json:"ceiling"`
	// ReachableBlock and Reachable are the shares of Late that an oracle blocks, and stops: who knows how
	// the attack's and everybody else's requests are in general, sees of each what an edge sees, and
	// has the scorecard's budget of people. See oracle.
	ReachableBlock float64 `json:"reachable_block"`
	Reachable      float64 `json:"reachable"`
	// ReachableSums is the share of Late that somebody stops who knows the same, but adds up what a score does, judges each request by
	// itself, and sets the threshold by those who came before, as weir must.
	ReachableSums float64 `json:"reachable_sums"`

	// Visitors are everybody but bots and scanners at the attacked sites from the attack's
	// first request to the last decision's end; where nothing is attacked, everywhere.
	Visitors Touched          `json:"visitors"`
	Shared   Touched          `json:"shared"` // those behind a bot's client, not in Visitors
	ByKind   map[Kind]Touched `json:"by_kind"`
	Scanners Touched          `json:"scanners"`
	// Requests are the visitors' that would have succeeded, by what was done to them.
	Requests Stopped `json:"requests"`
	// Verified are the requests of crawlers at addresses that nothing may touch, those that their
	// operators publish, by what was done to them; Unverified those of all others that call themselves
	// crawlers, and are, without anything that shows it.
	Verified   Stopped `json:"verified_crawlers"`
	Unverified Stopped `json:"unverified_crawlers"`

	Kinds     map[schemas.Kind]int64 `json:"kinds"`     // incidents opened or turned to
	Incidents int64                  `json:"incidents"` // of an attack kind, each once
	False     []string               `json:"false,omitempty"`
	Decisions int64                  `json:"decisions"`

	// Joined is what became of those who came to speak as the attack does in its midst; nil where nobody did.
	Joined *Joined `json:"joined,omitempty"`
}

// Joined are people whom measures began to hurt that had been harmless. They are not among the Visitors.
type Joined struct {
	People Touched `json:"people"`
	// Lifted are the decisions that were lifted because they hurt, from the first of the people on.
	Lifted int64 `json:"lifted"`
	// First is the seconds from the first request of these people that was stopped and would have succeeded to
	// the first lifting; nil where nothing was stopped, or nothing lifted. Last is the seconds to the last
	// request of theirs that was stopped; nil where none was.
	First *float64 `json:"first_lifted_seconds"`
	Last  *float64 `json:"last_stopped_seconds"`
	// After is how many of the people who came later than a minute after the first lifting were stopped.
	After Touched `json:"after"`
}

// Duration is a time.Duration that stands as text in JSON.
type Duration time.Duration

// MarshalText is the duration as Go writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText is its inverse.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// NewTrial judges a run of a configuration that a Scenario made.
func NewTrial(s *Scenario, c *Config) *Trial {
	t := &Trial{
		begins: c.Begins(), actors: map[actorKey]uint32{}, names: map[string]uint32{},
		seen: map[uint32]*siteTrial{}, lastEnd: map[string]time.Time{}, kind: map[string]schemas.Kind{}, attacks: map[string]bool{},
		result: Result{Scenario: s.Name, Attacks: s.Attack, Hard: s.Hard, Silent: s.Silent, Seed: c.Seed, Base: Duration(c.Ordinary),
			ByKind: map[Kind]Touched{}, Kinds: map[schemas.Kind]int64{}},
	}
	if s.Attack && !s.Silent {
		t.oracle = newOracle(t.begins)
	}
	return t
}

// Add takes a line of the log, what the edge did with its request, and hashes of the traits that
// an edge can see of it, 0 where its format does not carry one. Lines are not kept.
func (t *Trial) Add(r *Record, action schemas.Action, traits *[schemas.NumTraits]uint64) {
	t.result.Lines++
	verified := t.Verified != nil && t.Verified(r.Client)
	if r.Sent.Before(t.begins) && action.Severity() == 0 || r.warm {
		t.foresee(r, traits, 0, verified)
		return
	}
	key := actorKey{r.Actor.Kind, r.Actor.ID}
	actor, ok := t.actors[key]
	if !ok {
		actor = uint32(len(t.kinds))
		t.actors[key] = actor
		t.kinds = append(t.kinds, r.Actor.Kind)
	}
	row := trialRow{
		sent: r.Sent.UnixMilli(), vector: mix(traits[:]...), site: t.name(r.Site), client: t.name(schemas.ClientOf(r.Client).String()), actor: actor,
		severity: uint8(action.Severity()), attack: r.Attack(), succeeds: r.WouldSucceed(),
		verified: verified, joined: r.joined,
	}
	t.rows = append(t.rows, row)
	t.foresee(r, traits, actor, verified)
	if !row.attack {
		return
	}
	s := t.seen[row.site]
	if s == nil {
		s = &siteTrial{row.sent, row.sent}
		t.seen[row.site] = s
	}
	s.first, s.last = min(s.first, row.sent), max(s.last, row.sent)
}

// foresee lets the oracle see a line.
func (t *Trial) foresee(r *Record, traits *[schemas.NumTraits]uint64, actor uint32, verified bool) {
	if t.oracle != nil && !r.joined {
		t.oracle.add(r, traits, actor, verified)
	}
}

func (t *Trial) name(text string) uint32 {
	n, ok := t.names[text]
	if !ok {
		n = uint32(len(t.sites))
		t.names[text] = n
		t.sites = append(t.sites, text)
	}
	return n
}

// Event takes what the processor said.
func (t *Trial) Event(e schemas.Event) {
	switch e.Type {
	case schemas.DecisionAdded, schemas.DecisionRenewed, schemas.DecisionRemoved:
		if e.Type == schemas.DecisionAdded {
			t.result.Decisions++
		}
		end := e.Expires
		if e.Type == schemas.DecisionRemoved {
			end = e.Time
			if strings.HasPrefix(e.Reason, "lifted: ") {
				t.lifted = append(t.lifted, end.UnixMilli())
			}
		}
		t.lastEnd[e.ID] = end
	case schemas.IncidentOpened, schemas.IncidentUpdated:
		if e.Kind != t.kind[e.Incident] {
			t.kind[e.Incident] = e.Kind
			t.result.Kinds[e.Kind]++
		}
		if e.Kind == schemas.Silent && t.result.Silent && t.result.Noticed == nil && e.Time.After(t.begins) {
			after := e.Time.Sub(t.begins).Seconds()
			t.result.Noticed = &after
		}
		if e.Kind.Attack() {
			if !t.attacks[e.Incident] {
				t.attacks[e.Incident] = true
				t.result.Incidents++
			}
			t.noticed(&e)
		}
	}
}

func (t *Trial) noticed(e *schemas.Event) {
	for _, name := range e.Sites {
		s := t.seen[t.names[name]]
		if _, known := t.names[name]; !known || s == nil {
			t.result.False = append(t.result.False, string(e.Kind)+" "+name+" "+e.Time.UTC().Format(time.RFC3339))
			continue
		}
		if t.noticedAt(name).IsZero() {
			t.lastEnd["site "+name] = e.Time
		}
	}
}

func (t *Trial) noticedAt(site string) time.Time { return t.lastEnd["site "+site] }

// Result judges what was added. The Trial is used up.
func (t *Trial) Result() Result {
	x := &t.result
	t.times()
	slices.SortStableFunc(t.rows, func(a, b trialRow) int { return cmp.Compare(a.sent, b.sent) })
	botnet := map[uint32]int64{} // by client, when it attacked first
	honest := map[uint64]bool{}  // vectors of visitors
	visitorsOf := map[uint32]bool{}
	for i := range t.rows {
		row := &t.rows[i]
		if row.attack {
			if _, ok := botnet[row.client]; !ok {
				botnet[row.client] = row.sent
			}
		} else if t.kinds[row.actor] != Scanner {
			honest[row.vector] = true
			visitorsOf[row.client] = true
		}
	}
	l := make(losses, len(t.kinds))
	x.Joined = t.joined()
	stoppable := int64(0)
	for i := range t.rows {
		row := &t.rows[i]
		if row.attack {
			x.Attack.add(bySeverity[row.severity])
			if row.sent-t.attackAt > Grace.Milliseconds() {
				x.Late.add(bySeverity[row.severity])
				if !honest[row.vector] || !visitorsOf[row.client] && row.sent-botnet[row.client] > 5000 {
					stoppable++
				}
			}
			continue
		}
		if t.kinds[row.actor] == Bot || row.joined || !t.counts(row) {
			continue
		}
		s := &l[row.actor]
		_, shared := botnet[row.client]
		s.seen, s.shared = true, s.shared || shared
		if t.kinds[row.actor] == Crawler && row.verified {
			x.Verified.add(bySeverity[row.severity])
		} else if t.kinds[row.actor] == Crawler {
			x.Unverified.add(bySeverity[row.severity])
		}
		if !row.succeeds {
			continue
		}
		s.blocked, s.slowed = s.blocked || row.severity == 3, s.slowed || row.severity > 0
		if t.kinds[row.actor] != Scanner {
			x.Requests.add(bySeverity[row.severity])
		}
	}
	x.Ceiling = share(stoppable, x.Late.Requests)
	if t.oracle != nil {
		x.ReachableBlock, x.Reachable = t.oracle.reach(t.attackAt, func(r *oracleRow) bool {
			return !l[r.actor].shared && t.within(r)
		})
		x.ReachableSums = t.oracle.reachBySums(t.attackAt, t.attacked)
	}
	by := scorer{kinds: t.kinds}
	l.count(&by, &x.Visitors, &x.Shared, &x.Scanners, x.ByKind)
	return *x
}

// joined judges what became of those who came to speak as the attack does. Rows are in the order of time.
func (t *Trial) joined() *Joined {
	var j Joined
	all, later := make(losses, len(t.kinds)), make(losses, len(t.kinds))
	first, last, lifted, there := int64(0), int64(0), int64(0), false
	arrived := make(map[uint32]int64)
	for i := range t.rows {
		row := &t.rows[i]
		if !row.joined {
			continue
		}
		if !there {
			there = true
			t.lifted = slices.DeleteFunc(t.lifted, func(at int64) bool { return at < row.sent })
			if j.Lifted = int64(len(t.lifted)); j.Lifted > 0 {
				lifted = slices.Min(t.lifted)
			}
		}
		if _, known := arrived[row.actor]; !known {
			arrived[row.actor] = row.sent
		}
		all.note(row)
		if lifted > 0 && arrived[row.actor] > lifted+time.Minute.Milliseconds() {
			later.note(row)
		}
		if row.severity > 0 && row.succeeds {
			if last = row.sent; first == 0 {
				first = row.sent
			}
		}
	}
	if !there {
		return nil
	}
	seconds := func(until int64) *float64 { s := float64(until-first) / 1000; return &s }
	if first > 0 {
		if j.Last = seconds(last); lifted > 0 {
			j.First = seconds(lifted)
		}
	}
	by := scorer{kinds: t.kinds}
	all.count(&by, &j.People, nil, nil, nil)
	later.count(&by, &j.After, nil, nil, nil)
	return &j
}

// note takes what was done to one of an actor's requests.
func (l losses) note(row *trialRow) {
	x := &l[row.actor]
	x.seen = true
	if row.succeeds {
		x.blocked, x.slowed = x.blocked || row.severity == 3, x.slowed || row.severity > 0
	}
}

// counts reports whether a row is of where and when people count.
func (t *Trial) counts(row *trialRow) bool {
	if !t.result.Attacks {
		return true
	}
	if row.severity > 0 {
		return true // whoever is stopped elsewhere, or before, counts too
	}
	s := t.seen[row.site]
	return s != nil && row.sent >= s.first && row.sent <= max(t.inForce, s.last)
}

// within reports whether a row that the oracle saw is of where and when people count.
func (t *Trial) within(r *oracleRow) bool {
	for site, s := range t.seen {
		if label(t.sites[site]) == r.site {
			return r.sent >= s.first && r.sent <= max(t.inForce, s.last)
		}
	}
	return false
}

// attacked reports whether a row that the oracle saw is of a site that is attacked.
func (t *Trial) attacked(r *oracleRow) bool {
	for site := range t.seen {
		if label(t.sites[site]) == r.site {
			return true
		}
	}
	return false
}

// times finds when the attack was noticed, and when the last decision ends.
func (t *Trial) times() {
	for _, s := range t.seen {
		if t.attackAt == 0 || s.first < t.attackAt {
			t.attackAt = s.first
		}
	}
	for id, end := range t.lastEnd {
		if len(id) < 5 || id[:5] != "site " {
			t.inForce = max(t.inForce, end.UnixMilli())
		}
	}
	worst := 0.0
	for site, s := range t.seen {
		at := t.noticedAt(t.sites[site])
		if at.IsZero() {
			return
		}
		worst = max(worst, at.Sub(time.UnixMilli(s.first)).Seconds())
	}
	if len(t.seen) > 0 {
		t.result.Noticed = &worst
		t.result.Factor = t.factor(worst)
	}
}

// factor is how many times as many requests as without the attack came in the minute
// before it was noticed.
func (t *Trial) factor(after float64) float64 {
	until := t.attackAt + int64(after*1000)
	attack, others := 0, 0
	for i := range t.rows {
		row := &t.rows[i]
		if row.sent > until || row.sent < until-60_000 || t.seen[row.site] == nil {
			continue
		}
		if row.attack {
			attack++
		} else {
			others++
		}
	}
	return float64(attack+others) / float64(max(others, 1))
}

// Begins is when what the scenario is about begins.
func (t *Trial) Begins() time.Time { return t.begins }
