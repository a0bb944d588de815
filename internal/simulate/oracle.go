package simulate

import (
	"cmp"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// The budget of people that the oracle has, as the scorecard's: so many of them blocked, and so many
// more challenged or throttled.
const (
	oracleBlocked = .002
	oracleSlowed  = .02
)

const (
	// oracleRows bounds the rows that the oracle learns from of ordinary traffic, and of the attack, each.
	oracleRows = 1 << 15
	// oracleVisit is the pause after which a client's next request is another visit of it.
	oracleVisit = 10 * time.Minute
)

// oracle is somebody who need not learn from the traffic: it knows how often the attack's requests and those of
// everybody else have each trait and each pair of them, and what clients of either have done before. Of a
// request it sees what an edge sees, and what the log has of its client by then; it is not told which of the two it
// is. It stops whatever is likelier to be the attack's than the budget of people allows (Neyman and
// Pearson 1933). What it knows comes from this very run, of the other half of the clients:
// who is judged was never learned from.
//
//	requests -> facts, sampled by client -> odds of each half -> scores of the other -> thresholds at the budget
type oracle struct {
	delay    time.Duration // until what a client did counts
	begins   time.Time
	clients  map[oracleClient]*acquaintance
	paths    map[uint64]uint32 // requests of ordinary traffic
	networks map[uint64]uint32 // likewise
	ordinary oracleSample      // from before the attack
	attack   oracleSample      // of bots
	visitors []oracleRow       // of everybody else since the scenario began
}

type oracleClient struct {
	site   string
	client netip.Addr
}

// oracleRow is a request as the oracle sees it, and the truth.
type oracleRow struct {
	facts    facts
	plain    plainFacts
	sent     int64  // unix ms
	client   uint64 // hash
	site     uint64 // hash
	actor    uint32
	attack   bool
	succeeds bool
	exempt   bool // nothing may touch it
	ordinary bool // from before the scenario
	score    float32
}

// oracleSample keeps the rows of some clients, as many as there is room for.
type oracleSample struct {
	rows  []oracleRow
	level int // leading zero bits of a client's hash to be in
}

func (s *oracleSample) add(row oracleRow) {
	if bits.LeadingZeros64(row.client) < s.level {
		return
	}
	s.rows = append(s.rows, row)
	for len(s.rows) > oracleRows {
		s.level++
		s.rows = slices.DeleteFunc(s.rows, func(r oracleRow) bool { return bits.LeadingZeros64(r.client) < s.level })
	}
}

// acquaintance is what a log tells of a client.
type acquaintance struct {
	before  deeds // on earlier visits
	now     deeds // on this one
	last    time.Time
	waiting []deed // what was logged too short a while ago to count
}

// deeds counts what a client did.
type deeds struct {
	pages, assets, refused, failed uint16
	cookie, follows, changed       bool
	agent                          uint64
}

// deed is one request of a client.
type deed struct {
	time                   time.Time
	status                 int
	asset, cookie, follows bool
	agent                  uint64
}

func (d *deeds) add(x deed) {
	switch {
	case x.asset:
		d.assets = min(d.assets, 1<<15) + 1
	case x.status < 400:
		d.pages = min(d.pages, 1<<15) + 1
	case x.status < 500 && x.status != 499:
		d.refused = min(d.refused, 1<<15) + 1
	default:
		d.failed = min(d.failed, 1<<15) + 1
	}
	d.cookie, d.follows = d.cookie || x.cookie, d.follows || x.follows
	d.changed = d.changed || d.agent != 0 && d.agent != x.agent
	d.agent = x.agent
}

func newOracle(begins time.Time) *oracle {
	return &oracle{
		delay: 2 * time.Second, begins: begins, clients: map[oracleClient]*acquaintance{},
		paths: map[uint64]uint32{}, networks: map[uint64]uint32{},
	}
}

// add takes a line of the log; traits are hashes of what an edge can see, 0 where the format does not carry it.
func (o *oracle) add(r *Record, traits *[schemas.NumTraits]uint64, actor uint32, exempt bool) {
	client := oracleClient{r.Site, schemas.ClientOf(r.Client)}
	knows := o.clients[client]
	if knows == nil {
		knows = &acquaintance{}
		o.clients[client] = knows
	}
	knows.advance(r.Sent, o.delay)
	path, _, _ := strings.Cut(r.URI, "?")
	x := deed{
		time: r.Time, status: r.Status, asset: schemas.AssetPath([]byte(path)), cookie: r.Cookie && traits[schemas.TraitCookie] != 0,
		follows: string(schemas.RefererKind([]byte(r.Referer), []byte(r.Site))) == "same" && traits[schemas.TraitReferer] != 0, agent: traits[schemas.TraitUserAgent],
	}
	at, ordinary := place{path: label(path)}, r.Sent.Before(o.begins)
	at.wide, at.narrow = networksOf(client.client)
	at.asked, at.came = o.paths[at.path], o.networks[at.wide]
	row := oracleRow{
		sent: r.Sent.UnixMilli(), client: mix(label(client.client.String())), site: label(r.Site), actor: actor,
		attack: r.Attack(), succeeds: r.WouldSucceed(), exempt: exempt, ordinary: ordinary,
	}
	row.facts.fill(traits, knows, x, at, r.Sent)
	row.plain.fill(traits, client.client, at.asked > 0)
	switch {
	case row.attack:
		o.attack.add(row)
	case r.Actor.Kind == Bot || r.Actor.Kind == Scanner:
	case ordinary:
		o.ordinary.add(row)
	default:
		o.visitors = append(o.visitors, row)
	}
	if ordinary {
		o.paths[at.path]++
		o.networks[at.wide]++
	}
	knows.last = r.Sent
	knows.waiting = append(knows.waiting, x)
}

// advance counts what was logged long enough before a moment, and lets a new visit begin after a pause.
func (a *acquaintance) advance(now time.Time, delay time.Duration) {
	done := 0
	for done < len(a.waiting) && !a.waiting[done].time.After(now.Add(-delay)) {
		a.now.add(a.waiting[done])
		done++
	}
	a.waiting = append(a.waiting[:0], a.waiting[done:]...)
	if now.Sub(a.last) > oracleVisit && len(a.waiting) == 0 {
		a.before.pages += a.now.pages
		a.before.assets += a.now.assets
		a.before.refused += a.now.refused
		a.before.cookie = a.before.cookie || a.now.cookie
		a.now = deeds{}
	}
}

// networksOf are hashes of the networks that a client is in, the wide one a provider's (/16 of IPv4, /32 of
// IPv6), the narrow one a place's (/24, /48).
func networksOf(client netip.Addr) (wide, narrow uint64) {
	far, near := 16, 24
	if !client.Is4() {
		far, near = 32, 48
	}
	w, _ := client.Prefix(far) // both are in range
	n, _ := client.Prefix(near)
	return label(w.String()), label(n.String())
}

// reach is what the oracle stops of the attack's requests later than Grace: the shares blocked, and blocked or
// challenged. counted reports whether a visitor's row is of those who count.
func (o *oracle) reach(attackAt int64, counted func(*oracleRow) bool) (blocked, stopped float64) {
	if len(o.attack.rows) == 0 {
		return 0, 0
	}
	all := slices.Concat(o.ordinary.rows, o.attack.rows, o.visitors)
	judge(all, func(r *oracleRow, do func(at uint32)) { r.facts.each(do) }, false)
	// A client is stopped from the request on that showed too much.
	slices.SortStableFunc(all, func(a, b oracleRow) int { return cmp.Or(cmp.Compare(a.sent, b.sent), cmp.Compare(a.client, b.client)) })
	highest := map[[2]uint64]float32{}
	people := map[uint32]float32{} // by actor, of what would cost it something
	var late []float32
	for i := range all {
		row := &all[i]
		if row.ordinary {
			continue
		}
		key := [2]uint64{row.client, row.site}
		most, known := highest[key]
		if !known || row.score > most {
			most = row.score
			highest[key] = most
		}
		switch {
		case row.attack && row.sent-attackAt > Grace.Milliseconds():
			late = append(late, most)
		case row.attack || !counted(row):
		default:
			if !row.succeeds || row.exempt {
				most = lowestScore
			}
			if worst, met := people[row.actor]; !met || most > worst {
				people[row.actor] = most
			}
		}
	}
	scores := slices.Collect(maps.Values(people))
	descending := func(a, b float32) int { return cmp.Compare(b, a) }
	slices.SortFunc(scores, descending)
	slices.SortFunc(late, descending)
	return above(late, scores, oracleBlocked), above(late, scores, oracleBlocked+oracleSlowed)
}

// reachBySums is the share of the attack's requests later than Grace that somebody stops who is told the truth of the other half of the
// clients, as the oracle is, but judges as an edge does that holds a score: by the sum of what a request itself says and which
// networks it comes from, each request by itself, with a threshold for those who came to the attacked sites before.
func (o *oracle) reachBySums(attackAt int64, attacked func(*oracleRow) bool) float64 {
	all := slices.DeleteFunc(slices.Concat(o.ordinary.rows, o.attack.rows, o.visitors), func(r oracleRow) bool { return !attacked(&r) })
	judge(all, func(r *oracleRow, do func(at uint32)) { r.plain.each(do) }, true)
	highest := map[[2]uint64]float32{} // of those who came before, anew every ten minutes, as weir counts its normal clients
	var late []float32
	for i := range all {
		switch row := &all[i]; {
		case row.attack && row.sent-attackAt > Grace.Milliseconds():
			late = append(late, row.score)
		case row.ordinary && row.succeeds && !row.exempt:
			key := [2]uint64{row.client, uint64(row.sent / oracleVisit.Milliseconds())}
			if most, known := highest[key]; !known || row.score > most {
				highest[key] = row.score
			}
		}
	}
	people := slices.Collect(maps.Values(highest))
	descending := func(a, b float32) int { return cmp.Compare(b, a) }
	slices.SortFunc(people, descending)
	slices.SortFunc(late, descending)
	return above(late, people, oracleBlocked+oracleSlowed)
}

// lowestScore is below every score.
const lowestScore = -1e9

// above is the share of the attack's scores that are above all but a share of the people's, both descending: of
// a part of a person as much as it is, as a test that tosses a coin at its threshold.
func above(attack, people []float32, share float64) float64 {
	if len(attack) == 0 {
		return 0
	}
	allowed := share * float64(len(people))
	whole := int(allowed)
	over := func(n int) float64 { // what n people cost
		if n >= len(people) {
			return 1
		}
		at, _ := slices.BinarySearchFunc(attack, people[n], func(score, limit float32) int {
			if score > limit {
				return -1
			}
			return 1
		})
		return float64(at) / float64(len(attack))
	}
	return over(whole) + (allowed-float64(whole))*(over(whole+1)-over(whole))
}
