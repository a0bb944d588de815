package attribute

import (
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// Budget is what measures may cost, and what is known beside the samples.
type Budget struct {
	// Collateral is the share of the site's people that all measures together may
	// touch, 0 to 1; 0 is the default, 0.005.
	Collateral float64
	// MinClients is how many normal clients must be known before anything is
	// decided; 0 is the default, 100.
	MinClients int
	// MaxMeasures bounds the list; 0 is the default, 64.
	MaxMeasures int
	// MaxClients bounds the clients that are measured by their scores; 0 is none. Measured says
	// which measure a client is under already; nil is none.
	MaxClients int
	Measured   func(netip.Addr) schemas.Action
	// MaxMatched bounds those of them who are measured because a signature matched them; 0 is
	// MaxClients, negative is none.
	MaxMatched int
	// Probe says of a client that it is one of those whom edges let through now, to be watched: nobody of them is
	// measured for what a signature matched. nil: nobody is.
	Probe func(netip.Addr) bool
	// Whole are all suspects, where those that are analysed are but a draw of them: whom a measure of its own stops is looked for
	// among these. nil: the suspects are all.
	Whole *Sample
	// Alike are the held-out clients who are like those that are under a measure of their own;
	// Analyse adds to them. nil: none is.
	Alike Alike
	// Earlier are those who came while the incident was a crowd, a release or the like, and no attack yet;
	// nil is nobody. Nobody is measured for having been there, and measures touch no more of them
	// than of normal clients.
	Earlier *Sample
	// Elsewhere are the normal samples of the estate's other sites: what none of their clients
	// is either can hardly be somebody here. They must come from the same Extractor.
	Elsewhere []*Sample
	// NormalRate is the requests a second that the site would have now without the
	// attack; 0 takes the normal sample's mean.
	NormalRate float64
	// Soft is the same share where a measure asks visitors for something and refuses them
	// nothing for good (challenge); 0 is the default, three times Collateral.
	Soft float64
	// InForce are the signatures blocked before: what they match needs no further
	// measure, whom they touch counts against the budget. Softly are those challenged or
	// throttled: one that can be blocked by now is proposed anew.
	InForce, Softly []schemas.Signature
	// Scores are those in force, which only ask; MaxScores bounds those that may be added, 0 is none.
	Scores    []ScoreInForce
	MaxScores int
	// Browsers says that the attack's clients behaved as people do before anything stopped them. Signatures stop little of
	// such and scores what they can. Nothing is blocked by what a request is, so that scores have all of Soft.
	Browsers bool
	Keep     bool // no score is looked for that would take the place of what is in force: that takes as long as all else
	// Prefixes are those that measures are in force on, of which Asked many only ask; RefusedPrefixes those that hurt.
	Prefixes, RefusedPrefixes []netip.Prefix
	Asked                     int
	// Refused are signatures that hurt; they are not proposed again. Hurt are those of them that stopped people
	// who are known: nothing is proposed that would stop them again.
	Refused []schemas.Signature
	Hurt    Hurt
	// HurtBefore is the same of earlier incidents: what of it was lifted, or stops one of these people, is asked of
	// and not blocked.
	HurtBefore Hurt
	// Site is for the SQL of the evidence.
	Site string
	// Spare says of an address that no measure may be on it alone; nil spares none.
	Spare func(netip.Addr) bool
	// Paths says which paths, agents and query keys the site knows; nil says nothing of any.
	Paths *Resolver
	// Since is the unix time in ms from which the SQL looks.
	Since int64
}

func (b Budget) withDefaults() Budget {
	if b.Collateral <= 0 {
		b.Collateral = 0.005
	}
	if b.Soft <= 0 {
		b.Soft = SoftTimes * b.Collateral
	}
	if b.MinClients <= 0 {
		b.MinClients = 100
	}
	if b.MaxMeasures <= 0 {
		b.MaxMeasures = 64
	}
	if b.Alike == nil {
		b.Alike = make(Alike)
	}
	if b.MaxMatched == 0 {
		b.MaxMatched = b.MaxClients
	}
	return b
}

// Measure is a proposed decision.
type Measure struct {
	Action            schemas.Action
	Scope             schemas.Scope
	Value             string
	Signature         schemas.Signature // of ScopeSignature
	Score             *schemas.Score    // of ScopeScore
	Touches           []uint64          // of it: the normal clients that it would touch, see ScoreInForce
	Instead           bool              // of it: it is in the place of all in force that only asks, but for what is among the measures too
	Stops             float64           // share of the attack's requests that no other measure stops
	Collateral        float64           // upper 95 % bound of the share of people touched
	CollateralPerHour float64
	CollateralClients int
	Clients           int     // of ScopePrefix: suspects that come from there
	Together          float64 // of ScopeClient: the bound of all clients with this action that were measured with it
	Evidence          *schemas.Evidence
}

// Analyse proposes the measures that stop what suspect has beyond normal, the one
// that stops most first. It is empty where there is no excess, too little is
// known of normal clients, or nothing sets the excess apart within the budget.
// What cannot be blocked within the budget is challenged within a wider one, and
// clients that no signature stops are measured by what they did. The samples must come from the
// same Extractor; they are not changed.
func Analyse(normal, suspect *Sample, budget Budget) []Measure {
	budget = budget.withDefaults()
	refused := refusedClients(normal, suspect, budget)
	if normal.Distinct() < budget.MinClients || suspect.Len() < minSupport {
		return refused
	}
	a := newAnalysis(normal, suspect, budget)
	if a.attackShare < minAttackShare || len(a.suspect.rows) == 0 {
		return refused
	}
	a.cover(budget.InForce)
	prefixes := a.densePrefixes()
	var measures []Measure
	if a.mayBlock() {
		a.mine()
		measures = a.choose(nil)
	}
	hard := charge{rows: slices.Clone(a.charged), doubt: a.doubt, open: slices.Clone(a.open)}
	a.share, a.soft = budget.Soft, true
	a.doubt += a.later
	blocks := a.position(measures)
	a.cover(budget.Softly)
	a.coverScores(budget.Scores)
	measures, scores := a.pick(measures)
	measures, scores = a.instead(blocks, measures, scores)
	a.settle(measures)
	soft := charge{rows: a.charged, doubt: a.doubt, open: a.open}
	measures = slices.Concat(prefixes, scores, measures)
	block, all := a.rules(measures)
	measures = append(measures, eachOnce(refused, a.heavyClients(), a.matchedClients(hard, block, schemas.Block),
		a.clientMeasures(hard), a.matchedClients(soft, all, schemas.Challenge))...)
	a.tellTogether(measures)
	return measures
}

// eachOnce joins lists of measures of clients: of one that is in several the first stays.
func eachOnce(lists ...[]Measure) (all []Measure) {
	seen := make(map[string]bool)
	for _, m := range slices.Concat(lists...) {
		if !seen[m.Value] {
			seen[m.Value] = true
			all = append(all, m)
		}
	}
	return all
}

const (
	// minSupport is how many clients must share what is decided on: a signature of
	// one client is that client.
	minSupport = 3
	// minAttackShare is the least share of the observed requests that the attack
	// must have, for anything said about it to hold.
	minAttackShare = 0.15
)

// SoftTimes is how many times the share of people that may be blocked may be asked for something: three halves of a
// percent by default, so that with those of a busier hour than was known it stays below two.
const SoftTimes = 3

// softBound is how far the upper 95 % bound may be above Budget.Soft, which is then held by what is
// to be expected: a challenge refuses nobody for good, and a young site has too few clients for more.
const softBound = 2

// signatureBound is the same of challenged signatures. Of some 200 held-out clients two are enough to be above softBound, and what few of
// the people have was left for conjunctions that none of them shows, each of which stops a part and costs as much in doubt.
const signatureBound = 3

// softDoubt is how much of Budget.Soft may be touched with those who are only doubted beside those who were seen. Of a young
// site they are many, and a challenge harms none of them for good.
const softDoubt = 4.0 / 3

// analysis is one run of Analyse.
type analysis struct {
	budget          Budget
	x               *Extractor
	normalSample    *Sample
	suspectSample   *Sample
	normal, suspect *matrix
	choose0         touched // sizes of the halves
	calibrate0      touched
	young           bool    // the held-out clients are too few to certify the budget
	normalShare     float64 // (1-a): upper estimate of the normal part of the suspects' requests
	attackShare     float64 // a
	normalClients   float64 // clients expected in the suspect sample without the attack

	share float64 // the budget now: first of what blocks, then of what challenges
	soft  bool
	doubt float64 // normal clients that the signatures so far may touch, unseen; see doubtful
	later float64 // the same of prefixes that are challenged, which counts with what challenges

	earlier *earlier // nil for nobody

	open          []uint64 // suspect rows that no measure matches yet
	charged       []uint64 // normal rows that a measure matches already
	core          map[itemKey]bool
	candidates    []candidate
	chosen        []chosen
	frequentItems []item
	strong        []strongPair
	learning      *learning // nil where nothing was learned
	learned       bool      // whether learning was asked for
}

func newAnalysis(normal, suspect *Sample, budget Budget) *analysis {
	budget.Paths = budget.Paths.on(normal)
	a := &analysis{budget: budget, share: budget.Collateral, x: suspect.x, normalSample: normal, suspectSample: suspect}
	known := knownTraits(suspect, budget.Paths)
	a.normal, a.suspect = newMatrix(normal, known, budget.Paths, true), newMatrix(suspect, known, budget.Paths, false)
	a.choose0, a.calibrate0 = a.normal.halves()
	a.young = UpperShare(0, a.calibrate0.all) > budget.Collateral
	rate := budget.NormalRate
	if rate <= 0 && normal.Span > 0 {
		rate = normal.Requests / normal.Span.Seconds()
	}
	if suspect.Requests > 0 {
		a.normalShare = min(1, rate*suspect.Span.Seconds()/suspect.Requests)
	}
	if normal.Span > 0 {
		a.normalClients = normal.Visits() / normal.Span.Seconds() * suspect.Span.Seconds() / suspect.scale()
	}
	a.normalClients = min(a.normalClients, float64(suspect.Len()))
	if suspect.Requests > 0 {
		// A site that drowns logs no more than usual. Clients beyond the usual number still
		// made a request each.
		beyond := (float64(suspect.Len()) - a.normalClients) * suspect.scale()
		a.normalShare = min(a.normalShare, 1-min(1, beyond/suspect.Requests))
	}
	a.attackShare = 1 - a.normalShare
	a.open = make([]uint64, a.suspect.words)
	for i := range a.suspect.rows {
		a.open[i/64] |= 1 << (i % 64)
	}
	a.charged = make([]uint64, a.normal.words)
	a.earlier = newEarlier(budget.Earlier, known, budget.Paths)
	return a
}

// cover takes out what signatures in force match.
func (a *analysis) cover(inForce []schemas.Signature) {
	for _, s := range inForce {
		items := a.items(s)
		normal := a.normal.match(items)
		a.doubt += a.doubtful(items, a.touchedBy(normal))
		a.take(a.suspect.match(items), normal)
		a.earlier.take(items)
	}
}

func (a *analysis) take(suspect, normal []uint64) {
	for i := range a.open {
		a.open[i] &^= suspect[i]
	}
	for i := range a.charged {
		a.charged[i] |= normal[i]
	}
}

func (a *analysis) items(s schemas.Signature) []item { return a.x.items(s) }

func (x *Extractor) items(s schemas.Signature) []item {
	items := make([]item, len(s))
	for i, t := range s {
		items[i] = item{t.Trait, x.hash(t.Trait, []byte(t.Value))}
	}
	return items
}

// signature is the text form of items, if all their values are known by name.
func (a *analysis) signature(items []item) (schemas.Signature, bool) {
	s := make(schemas.Signature, len(items))
	for i, it := range items {
		value, ok := a.x.Name(it.trait, it.hash)
		if !ok {
			return nil, false
		}
		s[i] = schemas.TraitValue{Trait: it.trait, Value: value}
	}
	slices.SortFunc(s, func(a, b schemas.TraitValue) int { return int(a.Trait) - int(b.Trait) })
	return s, s.Validate() == nil
}

// attackOf subtracts the normal part: of a share of the observed requests and one
// of the normal ones, what share of the attack's requests it is.
func (a *analysis) attackOf(observed, normal float64) float64 {
	return min(1, max(0, (observed-a.normalShare*normal)/a.attackShare))
}
