package detect

import (
	"fmt"
	"math"
	"time"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

const (
	// enter: an attack opens when a volume signal and one that tells strangers from
	// visitors are each this many spreads out of range, and together enterSum.
	enter    = 3.0
	enterSum = 9.0
	// persist is for how many steps of a second in a row.
	persist = 3
	// crowdScore and crowdPersist: volume alone must be further out, and longer.
	crowdScore   = 5.0
	crowdPersist = 20
	// leave: an incident is quiet where volume is below this and little is stopped.
	leave = 2.5
	// minExcess is how many requests above normal a window must have: less than two
	// a second is nobody's flood.
	minExcess = 20.0
	// minClients is how many clients above normal a distributed attack must have.
	minClients = 8.0
	// excessShare: the attack's mark must be on this share of what is above normal.
	excessShare = 0.3
	// bareShare: of the requests above normal, the share that are pages and not what pages
	// bring with them, from which on whoever sends them is no browser.
	bareShare = 0.9
	// variedShare: distinct paths among the requests above normal, from which on they do not
	// all go to a few pages.
	variedShare = 0.25
	// strangersShare: clients with programs that the site does not know among those above
	// normal, from which on they are no visitors.
	strangersShare = 0.8
	// loadingShare: of the clients above normal that claim to be browsers, those that ask for
	// assets, against how many of the site's visitors do; below it they are no browsers.
	loadingShare = 0.3
	// usualLoading: of the visitors, those that ask for assets, below which it says nothing.
	usualLoading = 0.2
	// broughtLeast is for how many steps a crowd must have brought assets for that to be believed
	// when the site fails under it.
	broughtLeast = 5
	// failing: of the requests let through, those that met an error, waited in vain or long, from
	// which on missing assets say nothing.
	failing = 0.1
	// manyScore: clients must be so far out of range before what they have in common counts. A
	// few that ask for much are no botnet.
	manyScore = 2.0
	// scatteredShare: of the pages asked for above normal, those that are different ones, from
	// which on nobody was led here: a link brings people to one page, and most of what they read
	// then is what everybody reads. scatteredScore is what volume must be, scatteredPersist for
	// how many steps in a row.
	scatteredScore, scatteredShare, scatteredPersist = 4.0, 0.6, 4
	// scanShare: of the requests above normal, those for what is not there, or for what scanners
	// try, from which on it is a scan. scanLeast is how many there must be in a window where few
	// clients make them, at least scanEach each, for scanPersist steps in a row: what scanners
	// try everywhere, day and night, is less.
	scanShare, scanLeast, scanEach, scanPersist = 0.6, 60.0, 5.0, 4
	// scanVolume and scanScore are how far volume and what is not there must be out of range: one
	// client's hundred requests are little to a site whose visitors come in bursts.
	scanVolume, scanScore = 1.5, 2.5
	// declaredShare: machines that say so are most of the clients.
	declaredShare = 0.6
	// declaredRest is the same once they have come: people follow.
	declaredRest = 0.3
	// machines is for how many seconds machines that say so may ask for one page all at
	// once: link previews and inboxes are over by then, or are known. Those that stay longer are
	// a flood where the site fails under them.
	machines = 900
	// scrapeShare: distinct paths among the requests above normal, from which on a flood of
	// pages that are there reads the site.
	scrapeShare = 0.7
	// swellHalf is in how many seconds what is left of a release is expected to have halved,
	// where nothing tells that there is more.
	swellHalf = 120
	// slowStep is what a step's volume and mark, each at least slowLeast and counted up to slowMost, must be above to
	// add up; slowDoubt is the sum from which on nothing is learned, slowEnough the one that
	// is an attack.
	slowStep, slowLeast, slowMost, slowDoubt, slowEnough = 3.0, 1.5, 4.0, 4.0, 7.0
	// breakage: harm without volume must last.
	breakageScore   = 5.0
	breakagePersist = 20
	breakageShare   = 0.2
)

// QuietFor is how long an incident must be quiet before it closes.
const QuietFor = 2 * time.Minute

// Change is what a step did to the incident.
type Change int

// The changes.
const (
	None Change = iota
	Opened
	Updated // its kind is another
	Closed
)

// State is the incident state of one site. The zero value has no incident. Only
// Kind, Open and the counters matter; all are exported so that they can be saved.
type State struct {
	Open  bool
	Kind  schemas.Kind
	Quiet int64 // unix second since which it is quiet; 0 is not

	Attack, Crowd, Breakage int // steps in a row that show one
	Machines                int // steps in a row with many machines that ask for one page
	Scattered               int // steps in a row with strangers who ask for pages all over the site
	Brought                 int // steps since it was calm in which those above normal brought assets
	Scanning                int // steps in a row with few clients who try what is not there

	// Swell is how many of the clients that an open release brought may still be there.
	Swell float64

	// Slow is what departs a little and long, summed over steps of ten seconds (CUSUM,
	// Page 1954).
	Slow    float64
	Drifted int64 // second of the last of these steps
}

// Suspicious reports whether the last step showed the beginning of something: then
// nothing is to be learned, and the next second is looked at in full.
func (s *State) Suspicious() bool {
	return s.Open || s.Doubtful() || s.Attack > 0 || s.Scattered > 0 || s.Scanning > 0 || s.Crowd > 0 || s.Breakage > 0 || s.Machines > 0
}

// people reports whether those above normal are people: they bring assets or, where the site
// fails by now and nobody can, did before it failed.
func (s *State) people(r *Reading, sc *Scores) bool {
	return bringAssets(r, sc) || s.Brought >= broughtLeast && (failsVisitors(r) || harmScore(sc) >= enter)
}

// released reports whether machines that say so have come for one page, and are still many of
// those above normal: people follow a link's previews, and a site may fail under both.
func (s *State) released(r *Reading, sc *Scores) bool {
	return s.Open && s.Kind == schemas.Release && r.Raw[DeclaredShare] >= declaredRest && !varied(r, sc) && markScore(MissingShare, r, sc) < enter
}

// Drift takes the window of a whole step of ten seconds, which ends with a second, and reports
// whether what departs for long has just become doubtful: what was seen of late is then not to
// be learned.
func (s *State) Drift(second int64, r *Reading, sc *Scores) bool {
	before := s.Slow
	s.Slow = min(max(0, s.Slow+s.departs(r, sc)), 2*sc.Limits.slow)
	s.Drifted = second
	return before < slowDoubt && s.Slow >= slowDoubt
}

// departs is what a step adds to what departs a little and long.
func (s *State) departs(r *Reading, sc *Scores) float64 {
	mark := markScore(MissingShare, r, sc)
	if r.Raw[DeclaredShare] < declaredShare && !s.people(r, sc) {
		mark = max(mark, markScore(UnknownShare, r, sc), bareClients(r, sc))
	}
	if max(excess(r, sc), excessPages(r, sc)) < minExcess/2 || newcomers(r, sc) < minClients || mark < 2 || slowVolume(sc) < slowLeast || oneDeclared(r, sc) {
		return -slowStep
	}
	return slowVolume(sc) + min(mark, slowMost) - slowStep
}

// slowNow is what departs a little and long up to a second within a step: the part of it that
// is over counts, so that what is an attack is one before the step ends.
func (s *State) slowNow(second int64, r *Reading, sc *Scores) float64 {
	part := second - s.Drifted
	if s.Slow < slowDoubt || part <= 0 || part >= window.Short {
		return s.Slow
	}
	return s.Slow + max(0, s.departs(r, sc))*float64(part)/window.Short
}

// Doubtful reports whether the traffic departs too long to be learned.
func (s *State) Doubtful() bool { return s.Slow >= slowDoubt }

// Step takes the window that ended with a second. The caller steps every second
// while Suspicious or where a cheap look at the counts gives reason to.
func (s *State) Step(second int64, r *Reading, sc *Scores) Change {
	switch {
	case volumeScore(sc) < leave:
		s.Brought = 0
	case clientScore(sc) >= enter && !failsVisitors(r) && bringAssets(r, sc):
		s.Brought = inRow(s.Brought, true)
	}
	kind, attack := classify(r, sc, s.people(r, sc))
	onePage := oneDeclared(r, sc) || s.released(r, sc)
	declared := attack && kind == schemas.Flood && onePage
	s.Machines = inRow(s.Machines, onePage && clientScore(sc) >= enter && enough(r, sc))
	switch stay := s.Machines >= machines; {
	case declared && !stay:
		attack = false
	case stay && (failsVisitors(r) || harmScore(sc) >= enter):
		kind, attack = schemas.Flood, true
	}
	s.swell(excessClients(r, sc), attack)
	if s.ebbs(r, sc) {
		attack, declared = false, true
	}
	if !attack && !declared && s.slowNow(second, r, sc) >= sc.Limits.slow {
		kind, attack = schemas.Flood, true
		s.Attack = max(s.Attack, persist)
	}
	s.Scattered = inRow(s.Scattered, scattered(r, sc))
	if s.Scattered >= scatteredPersist && !attack {
		kind, attack = schemas.Flood, true
		s.Attack = max(s.Attack, persist)
	}
	s.Scanning = inRow(s.Scanning, scanning(r, sc))
	if s.Scanning >= scanPersist && !attack {
		kind, attack = schemas.Scan, true
		s.Attack = max(s.Attack, persist)
	}
	s.Attack = inRow(s.Attack, attack)
	s.Crowd = inRow(s.Crowd, !attack && crowd(r, sc))
	s.Breakage = inRow(s.Breakage, !attack && breakage(r, sc))
	if s.Open {
		return s.hold(second, kind, r, sc)
	}
	switch {
	case s.Attack >= persist:
		s.Kind = kind
	case s.Crowd >= crowdPersist:
		s.Kind = surge(r, sc)
	case s.Breakage >= breakagePersist:
		s.Kind = schemas.Breakage
	default:
		return None
	}
	s.Open, s.Quiet = true, 0
	return Opened
}

// swell follows how many clients a release brings: up at once where nothing speaks for an
// attack, and down as releases do where something does.
func (s *State) swell(above float64, attack bool) {
	if !s.Open || s.Kind != schemas.Release {
		return
	}
	s.Swell *= math.Exp2(-1.0 / swellHalf)
	if !attack {
		s.Swell = max(s.Swell, above)
	}
}

// ebbs reports whether there are no more clients above normal than what an open release has
// left behind, hardly one of which claims to be a browser: towards its end a single scanner
// or reader is enough for its few requests to look as if machines went all over the site. An
// attack that begins then brings browsers, what is not there, or more clients.
func (s *State) ebbs(r *Reading, sc *Scores) bool {
	return s.Open && s.Kind == schemas.Release && newcomers(r, sc) < minClients &&
		excessClients(r, sc) <= s.Swell+minClients && markScore(MissingShare, r, sc) < enter
}

func inRow(n int, yes bool) int {
	if !yes {
		return 0
	}
	return min(n+1, 1<<20)
}

// hold keeps, turns or closes an open incident.
func (s *State) hold(second int64, kind schemas.Kind, r *Reading, sc *Scores) Change {
	quiet := volumeScore(sc) < leave && r.Stopped < max(5, 0.1*r.Requests)
	if s.Kind == schemas.Breakage {
		quiet = harmScore(sc) < leave && sc.Score[NotFoundShare] < leave
	}
	switch {
	case !quiet:
		s.Quiet = 0
	case s.Quiet == 0:
		s.Quiet = second
	case second-s.Quiet >= int64(QuietFor/time.Second):
		*s = State{}
		return Closed // and Slow begins anew
	}
	if s.Attack >= persist && !s.Kind.Attack() {
		s.Kind = kind
		return Updated
	}
	return None
}

func volumeScore(sc *Scores) float64 {
	return max(sc.Score[RequestRate], sc.Score[InFlight], clientScore(sc))
}

func clientScore(sc *Scores) float64 { return max(sc.Score[UniqueClients], sc.Score[NewClients]) }

// slowVolume is the volume that counts where it adds up: of clients, and no more than a little
// of what they cost.
func slowVolume(sc *Scores) float64 {
	many := clientScore(sc)
	return min(max(many, min(sc.Score[InFlight], many+1)), slowMost)
}

// failsVisitors reports whether the site fails so many that what they do next says nothing.
func failsVisitors(r *Reading) bool {
	return r.unserved() >= failing || r.Raw[SlowShare]*r.Requests >= failing*(r.Requests-r.Stopped)
}

// enough reports whether there is more above normal than anybody would miss: requests, or the
// application's time, which few requests may take.
func enough(r *Reading, sc *Scores) bool {
	above := max(excess(r, sc), excessPages(r, sc))
	return above >= minExcess || above >= minExcess/2 && sc.Score[InFlight] >= enter
}

func harmScore(sc *Scores) float64 {
	return max(sc.Score[ErrorShare], sc.Score[AbandonedShare], sc.Score[SlowShare])
}

// excess is how many requests of the window are above the normal level.
func excess(r *Reading, sc *Scores) float64 {
	return r.Requests - sc.Level[RequestRate]*window.Short
}

// excessPages is the same of the requests that are for no asset.
func excessPages(r *Reading, sc *Scores) float64 {
	return r.Raw[PageShare]*r.Requests - sc.Level[PageShare]*sc.Level[RequestRate]*window.Short
}

// excessClients is the same of the clients.
func excessClients(r *Reading, sc *Scores) float64 {
	return r.Raw[UniqueClients] - sc.Level[UniqueClients]
}

// markScore is the score of a client share, or 0 where the mark is on too few of the
// clients above normal to be what they have in common.
func markScore(i int, r *Reading, sc *Scores) float64 {
	share := excessShare
	if newcomers(r, sc) < minClients { // machines that say so read what there is, dead links too
		share = declaredShare
	}
	marked := r.Raw[i]*r.Raw[UniqueClients] - sc.Level[i]*sc.Level[UniqueClients]
	if marked < share*excessClients(r, sc) {
		return 0
	}
	return sc.Score[i]
}

// surge is the kind of many requests that are no attack.
func surge(r *Reading, sc *Scores) schemas.Kind {
	switch {
	case excessClients(r, sc) < minClients:
		return schemas.Crawler // few clients ask for much
	case r.Raw[DeclaredShare] >= declaredShare:
		return schemas.Release // machines, all at once
	}
	return schemas.Crowd
}

// varied reports whether the requests above normal go to many pages.
func varied(r *Reading, sc *Scores) bool {
	return pathsAbove(r, sc) >= variedShare*max(excess(r, sc), 1) || r.Raw[PathEntropy] >= sc.Level[PathEntropy]+2
}

// oneDeclared reports whether most of the clients say that they are machines, and all ask
// for one page that is there: a link's previews, or deliveries to an inbox.
func oneDeclared(r *Reading, sc *Scores) bool {
	return r.Raw[DeclaredShare] >= declaredShare && !varied(r, sc) && markScore(MissingShare, r, sc) < enter
}

// bareScore is the score of pages without their assets, 0 where too few of the requests
// above normal are such pages. A page that failed brings nothing, whoever asked: failures
// are left out, as if all had been pages.
func bareScore(r *Reading, sc *Scores) float64 {
	failed := r.unserved() * (r.Requests - r.Stopped)
	pages, others := max(0, r.Raw[PageShare]*r.Requests-failed), sc.Level[RequestRate]*window.Short
	above := r.Requests - failed - others
	if 1-sc.Level[PageShare] < usualLoading {
		return 0 // few bring assets here
	}
	if above < minExcess/2 || pages-sc.Level[PageShare]*others < bareShare*above {
		return 0
	}
	level := even(PageShare, sc.Level[PageShare])
	from, to := even(PageShare, r.Raw[PageShare])-level, even(PageShare, pages/(r.Requests-failed))-level
	if from <= 0 || to <= 0 {
		return 0
	}
	return sc.Score[PageShare] * min(1, to/from)
}

// newcomers is how many clients above normal claim to be browsers.
func newcomers(r *Reading, sc *Scores) float64 {
	return r.Raw[UniqueClients]*(1-r.Raw[DeclaredShare]) - sc.Level[UniqueClients]*(1-sc.Level[DeclaredShare])
}

// idlers is how many of the newcomers are not accounted for by those that ask for assets, as
// many of the site's visitors do: where a few ask for much, and some visitors more than usual
// are there by chance, those have nothing to do with it.
func idlers(r *Reading, sc *Scores) float64 {
	n := newcomers(r, sc)
	loading, usual := loadingAbove(r, sc)
	if usual < usualLoading {
		return n
	}
	return n - max(loading, 0)/usual
}

// loadingAbove is how many clients above normal ask for assets, and which share of the site's
// visitors do.
func loadingAbove(r *Reading, sc *Scores) (above, usual float64) {
	people := sc.Level[UniqueClients] * (1 - sc.Level[DeclaredShare])
	loaded := sc.Level[UniqueClients] * (1 - sc.Level[BareShare])
	if people > 0 {
		usual = min(1, loaded/people)
	}
	return r.Raw[UniqueClients]*(1-r.Raw[BareShare]) - loaded, usual
}

// bareClients is by how many spreads fewer of the clients above normal, of those that claim
// to be browsers, ask for assets than as many visitors of this site would; 0 where a fair part
// does. A crowd of people brings assets, whatever they come for.
func bareClients(r *Reading, sc *Scores) float64 {
	n := newcomers(r, sc)
	loading, usual := loadingAbove(r, sc)
	if n < minClients || failsVisitors(r) || usual < usualLoading || loading > loadingShare*usual*n {
		return 0
	}
	loaded := sc.Level[UniqueClients] * (1 - sc.Level[BareShare])
	return (usual*n - max(loading, 0)) / math.Sqrt(usual*n+2*loaded)
}

// bringAssets reports whether half of the clients above normal that claim to be browsers ask
// for assets: they are people, and that a site has not seen before what they read, or read it
// with, says nothing.
func bringAssets(r *Reading, sc *Scores) bool {
	loading, _ := loadingAbove(r, sc)
	n := newcomers(r, sc)
	return n >= minClients && 2*loading >= n
}

// scattered reports whether strangers with browsers, many more than normal, ask for pages all
// over the site.
func scattered(r *Reading, sc *Scores) bool {
	if volumeScore(sc) < sc.Limits.scattered || sc.Score[NewClients] < enter {
		return false
	}
	above, fresh := excessClients(r, sc), r.Raw[NewClients]-sc.Level[NewClients]
	return above >= minClients && fresh >= strangersShare*above && newcomers(r, sc) >= strangersShare*above && allOver(r, sc)
}

// strange reports whether half of the clients above normal have never been here: machines
// that the site knows read much of it, all at once, when there is something new.
func strange(r *Reading, sc *Scores) bool {
	return 2*(r.Raw[NewClients]-sc.Level[NewClients]) >= excessClients(r, sc)
}

// machinesAllOver is by how many spreads more machines that say so, strangers nearly all, ask
// for pages all over a site that is made for people; 0 where they ask for few, or few come.
func machinesAllOver(r *Reading, sc *Scores) float64 {
	if 1-sc.Level[PageShare] < usualLoading || sc.Score[NewClients] < enter {
		return 0 // tools are what comes here
	}
	above, usual := excessClients(r, sc), sc.Level[DeclaredShare]*sc.Level[UniqueClients]
	declared := r.Raw[DeclaredShare]*r.Raw[UniqueClients] - usual
	fresh := r.Raw[NewClients] - sc.Level[NewClients]
	if declared < minClients || declared < strangersShare*above || fresh < strangersShare*above || !allOver(r, sc) {
		return 0
	}
	return declared / math.Sqrt(declared+2*usual)
}

// allOver reports whether most of the pages asked for above normal are different ones.
func allOver(r *Reading, sc *Scores) bool {
	usual := sc.Level[PageShare] * sc.Level[RequestRate] * window.Short
	pages := excessPages(r, sc)
	distinct := r.Raw[DistinctPages]*r.Raw[PageShare]*r.Requests - sc.Level[DistinctPages]*usual
	return pages >= minExcess && distinct >= scatteredShare*pages
}

// classify says whether the window shows an attack, and of what kind: more
// requests than normal, from more clients than normal, and the clients in excess ask
// for what is not there or use programs that the site does not know.
func classify(r *Reading, sc *Scores, people bool) (schemas.Kind, bool) {
	vol, bare := volumeScore(sc), max(bareScore(r, sc), bareClients(r, sc))
	missing := markScore(MissingShare, r, sc)
	mark := missing
	if r.Raw[DeclaredShare] < declaredShare && !people { // machines may well be new here, and fetch what is new
		missing = max(missing, markScore(UnknownShare, r, sc))
		mark = max(missing, markScore(UnfamiliarShare, r, sc))
	}
	switch machines := r.Raw[DeclaredShare] >= declaredShare; {
	case !machines && (varied(r, sc) || idlers(r, sc) >= minClients): // no browsers, though they say so
		mark = max(mark, bare)
	case machines && varied(r, sc) && strange(r, sc): // that read everything, and never came before
		mark = max(mark, bare)
	}
	mark = max(mark, machinesAllOver(r, sc))
	if vol < enter || clientScore(sc) < manyScore || mark < enter || vol+mark < sc.Limits.sum || !enough(r, sc) || excessClients(r, sc) < minClients {
		return "", false
	}
	if missing < enter && !varied(r, sc) && bare < enter && r.Raw[DeclaredShare] < declaredShare {
		if !drowned(r, sc) {
			return "", false // strangers who all ask for one page, as visitors do
		}
		return schemas.Flood, true
	}
	if r.Holes >= scanShare*max(excess(r, sc), excessPages(r, sc), minExcess) {
		return schemas.Scan, true
	}
	if reads(r, sc) {
		return schemas.Scrape, true
	}
	return schemas.Flood, true
}

// reads reports whether what is above normal goes to ever other pages that are there, and the
// site holds. It is of what is above normal alone, so that the first look says the same as
// later ones, in which there is more of it.
func reads(r *Reading, sc *Scores) bool {
	missing := r.Raw[MissingShare]*r.Raw[UniqueClients] - sc.Level[MissingShare]*sc.Level[UniqueClients]
	return missing < excessShare*excessClients(r, sc) && harmScore(sc) < enter && pathsAbove(r, sc) >= scrapeShare*excess(r, sc)
}

// pathsAbove is how many distinct paths more than normal there are.
func pathsAbove(r *Reading, sc *Scores) float64 {
	return r.Raw[DistinctPaths]*r.Requests - sc.Level[DistinctPaths]*sc.Level[RequestRate]*window.Short
}

// drowned reports whether a site fails under strangers who all ask for one page, and who are
// not the visitors that a link brings: nearly all of the clients above normal use programs
// that the site does not know, where visitors use the world's few browsers, and none says
// where it comes from. A page that fails brings no assets, whoever asks for it, so that those
// say nothing.
func drowned(r *Reading, sc *Scores) bool {
	strangers := r.Raw[UnfamiliarShare]*r.Raw[UniqueClients] - sc.Level[UnfamiliarShare]*sc.Level[UniqueClients]
	return harmScore(sc) >= enter && sc.Score[NoRefererShare] >= enter && strangers >= strangersShare*excessClients(r, sc)
}

// scanning reports whether few clients ask for much, most of which is not there.
func scanning(r *Reading, sc *Scores) bool {
	above := excess(r, sc)
	missing := r.Raw[NotFoundShare]*r.Requests - sc.Level[NotFoundShare]*sc.Level[RequestRate]*window.Short
	return above >= scanEach*excessClients(r, sc) && max(missing, r.Holes) >= max(scanLeast, scanShare*above) && varied(r, sc) &&
		volumeScore(sc) >= scanVolume && sc.Score[NotFoundShare] >= scanScore
}

func crowd(r *Reading, sc *Scores) bool {
	return max(sc.Score[RequestRate], sc.Score[UniqueClients]) >= sc.Limits.surge && excess(r, sc) >= minExcess
}

func breakage(r *Reading, sc *Scores) bool {
	broken := r.Raw[ErrorShare] >= breakageShare && sc.Score[ErrorShare] >= breakageScore ||
		min(r.Raw[NotFoundShare], r.Raw[MissingShare]) >= breakageShare && sc.Score[NotFoundShare] >= breakageScore // not one scanner's
	return broken && r.Requests >= 20 && r.Raw[UniqueClients] >= 5 && volumeScore(sc) < enter
}

// Cause is one sentence for a person.
func Cause(kind schemas.Kind, r *Reading, sc *Scores) string {
	rate := fmt.Sprintf("%.1f requests/s (normal %.1f) from %.0f clients (normal %.0f) in 10 s",
		r.Raw[RequestRate], sc.Level[RequestRate], r.Raw[UniqueClients], sc.Level[UniqueClients])
	percent := func(i int) string { return fmt.Sprintf("%.0f %%", math.Round(100*r.Raw[i])) }
	switch kind {
	case schemas.Flood, schemas.Scrape, schemas.Scan:
		return fmt.Sprintf("%s; of these clients %s ask for pages that are missing, %s for paths never served before, %s use programs this site does not know",
			rate, percent(MissingShare), percent(UnknownShare), percent(UnfamiliarShare))
	case schemas.Breakage:
		return fmt.Sprintf("%s of the requests fail with 5xx, %s with 404, while no more visitors than normal come",
			percent(ErrorShare), percent(NotFoundShare))
	}
	return rate + "; they ask for what visitors of this site ask for"
}
