package detect

// From where on a window departs from normal, and for how long it must.

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
	// movedNoise is by how many roots of their number visitors differ from one step to the next, movedStep what a step
	// must bring of that, movedOnce what it may bring at the most, movedSure what must have come together before a site is taken to have moved, and movedMost
	// what is kept of it: a quarter of an hour and more, in which it learns its new paths.
	movedNoise, movedStep, movedSure, movedMost, movedOnce = 1.5, 0.5, 4.0, 50.0, 1.0
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
	// strangersMore is the same above what is usual: a site that knows its visitors' programs knows
	// most of a crowd's too, some 85 % after six hours; one that is half an hour old knows hardly more
	// of a crowd's than of those who usually come. Bots with agents from a list show some that it knows.
	strangersMore = 0.5
	// loadingShare: of the clients above normal that claim to be browsers, those that ask for
	// assets, against how many of the site's visitors do; below it they are no browsers.
	loadingShare = 0.3
	// usualLoading: of the visitors, those that ask for assets, below which it says nothing.
	usualLoading = 0.2
	// usualDoubt is how far that share may be off.
	usualDoubt = 0.1
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
	// strewnShare: of the clients above normal, those that are strangers, from which on pages all
	// over the site add up. linkedShare: of the pages asked for above normal, those that are different
	// ones where a link led here.
	strewnShare, linkedShare = 0.45, 0.4
	// scanShare: of the requests above normal, those for what is not there, or for what scanners
	// try, from which on it is a scan. scanLeast is how many there must be in a window where few
	// clients make them, at least scanEach each, for scanPersist steps in a row: what scanners
	// try everywhere, day and night, is less.
	scanShare, scanLeast, scanEach, scanPersist = 0.6, 60.0, 5.0, 4
	// scanSwarm is the same of scanners that are no faster than those which come by themselves, and scanNoise on a
	// site that they often come to, in roots of what is usually missed there: each tries some ten names in a
	// window, so that the variance is about fifteen times what is usual, and this is seven spreads of it.
	scanSwarm, scanNoise = 90.0, 27.0
	// scannerFast is how many requests for what is not there each client that asks for any makes in a window where
	// scanners are at work: of those that come by themselves, by the mean, five to nine.
	scannerFast = 10.0
	// scannerEach is from how many requests for what is not there on, in a window, a client is a scanner by
	// itself: visitors meet a dead link, and bots share the work, at one to three each.
	scannerEach = 4.0
	// scanVolume and scanScore are how far volume and what is not there must be out of range: one
	// client's hundred requests are little to a site whose visitors come in bursts.
	scanVolume, scanScore = 1.5, 2.5
	// probeScore is how far what is not there must be where nothing else tells, and probeShare which
	// share of it scanners try, for probePersist steps in a row: several of the scanners that there
	// always are may meet, and do not stay.
	probeScore, probeShare, probePersist = 2.0, 0.5, 12
	// declaredShare: machines that say so are most of the clients.
	declaredShare = 0.6
	// toolsShare: the same of the clients that a site usually has, from which on it is made for them.
	toolsShare = 0.7
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
	// slowStep is what a step's volume and mark must be above to add up, volume being at least slowLeast and
	// counted up to slowMost, the mark up to slowMark, and both together up to twice slowMost: one
	// step alone is no attack. slowDoubt is the sum from which on nothing is learned, slowEnough the
	// one that is an attack. slowMarked is how far a mark must be out for its step to add anything.
	slowMarked                                                     = 2.0
	slowStep, slowLeast, slowMost, slowMark, slowDoubt, slowEnough = 3.0, 1.25, 4.0, 6.0, 4.0, 7.0
	// breakage: harm without volume must last.
	breakageScore   = 5.0
	breakagePersist = 20
	breakageShare   = 0.2
	// lostFrom and lostScore: of the requests of a step those that were lost, and how far that is out of range, from
	// which on it adds up. lostStep is how many of one step count at most, and lostEnough the sum that is a breakage
	// whatever a moment shows, after half a minute at the least; lostMost is the most there is. lostFew requests, or
	// lostClients, say nothing, and lostFades is what is left after such a step, until it is less than lostForgotten.
	lostFrom, lostScore             = 0.3, 2.0
	lostStep, lostEnough, lostMost  = 7.0, 20.0, 28.0
	lostFew, lostClients, lostFades = 3.0, 3.0, 0.9
	lostForgotten                   = 1.0
)
