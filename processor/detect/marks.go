package detect

// What those above normal have in common, and visitors have not.

import (
	"math"

	"github.com/weir-project/weir/processor/window"
)

// markScore is the score of a client share, or 0 where the mark is on too few of the
// clients above normal to be what they have in common.
func markScore(i int, r *Reading, sc *Scores) float64 {
	share := excessShare
	if newcomers(r, sc) < minClients { // machines that say so read what there is, dead links too
		share = declaredShare
	}
	if markedAbove(i, r, sc) < share*excessClients(r, sc) || scannersMeet(r, sc) {
		return 0
	}
	return sc.Score[i]
}

// markedAbove is how many clients above normal have the mark of a client share.
func markedAbove(i int, r *Reading, sc *Scores) float64 {
	return r.Raw[i]*r.Raw[UniqueClients] - sc.Level[i]*sc.Level[UniqueClients]
}

// scannersMeet reports whether those above normal who ask for what is not there are several of the scanners
// that any site has: each asks for much, all together for no more than a scan of few clients would have to.
// They come in swarms, with programs and paths of their own, and what they miss costs the application much, so
// that all of it would count as if it were as many facts.
func scannersMeet(r *Reading, sc *Scores) bool {
	missing := markedAbove(MissingShare, r, sc)
	return missed(r, sc) >= scannerEach*max(missing, 1) && missed(r, sc) < scanFrom(r, sc) && missing >= excessShare*excessClients(r, sc)
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
// are left out, as if all had been pages. So is what scanners who meet have missed: that is known of them already,
// and beside the few pages of a small site it is most of what is there.
func bareScore(r *Reading, sc *Scores) float64 {
	failed := r.unserved() * (r.Requests - r.Stopped)
	if scannersMeet(r, sc) {
		failed += missed(r, sc)
	}
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

// bareClients is by how many spreads fewer of the clients above normal, of those that claim
// to be browsers, ask for assets than as many visitors of this site would; 0 where a fair part
// does. A crowd of people brings assets, whatever they come for; where they are known to be people,
// and the site fails some, others than those bring none.
func bareClients(r *Reading, sc *Scores, people bool) float64 {
	n := newcomers(r, sc)
	loading, usual := loadingAbove(r, sc)
	if n < minClients || failsVisitors(r) || usual < usualLoading {
		return 0
	}
	score := 0.0
	if loading <= loadingShare*usual*n {
		loaded := sc.Level[UniqueClients] * (1 - sc.Level[BareShare])
		score = (usual*n - max(loading, 0)) / math.Sqrt(usual*n+2*loaded)
	}
	if !people && idlers(r, sc)-unanswered(r) >= max(minClients, n/2) {
		score = max(score, idle(r, usual))
	}
	return score
}

// idle is by how many spreads fewer of all clients there that claim to be browsers ask for
// assets than of the site's visitors do: how many come differs from one moment to the next,
// how many of them load what they see hardly does. Visitors are not independent of each other,
// so that it is twice the binomial variance, and usualDoubt of what is known of their share.
func idle(r *Reading, usual float64) float64 {
	browsers := r.Raw[UniqueClients] * (1 - r.Raw[DeclaredShare])
	missed := usual*browsers - r.Raw[UniqueClients]*(1-r.Raw[BareShare]) - unanswered(r)
	doubt := usualDoubt * browsers
	return missed / math.Sqrt(2*browsers*usual*(1-usual)+doubt*doubt+1)
}

// idleAbove is the same of what is added up over steps, where half of those above normal load nothing: by how
// much visitors differ in this is what the site itself has shown, and chance in one step is not chance in the
// next. Of those above normal some are visitors who happen to be there, and where fewer than usual do, those who
// load nothing come in their place.
func idleAbove(r *Reading, sc *Scores) float64 {
	n := comers(r, sc)
	_, usual := loadingAbove(r, sc)
	if n < minClients || failsVisitors(r) || usual < usualLoading || scannersMeet(r, sc) {
		return 0
	}
	if max(idlers(r, sc)-unanswered(r), idlersHere(r, sc)) < max(minClients, n/2-math.Sqrt(sc.Level[UniqueClients])) {
		return 0
	}
	browsers := r.Raw[UniqueClients] * (1 - r.Raw[DeclaredShare])
	missed := usual*browsers - r.Raw[UniqueClients]*(1-r.Raw[BareShare]) - unanswered(r)
	return max(0, missed/math.Sqrt(sc.Uneven*browsers*usual*(1-usual)+1))
}

// unanswered is for how many clients at the most the site has not answered, or late: a page that has not
// come brings nothing, and there are far fewer pages than requests.
func unanswered(r *Reading) float64 {
	return (r.unserved() + r.Raw[SlowShare]) * max(0, r.Requests-r.Stopped)
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
	return volumeScore(sc) >= sc.Limits.scattered && sc.Score[NewClients] >= enter && strangers(strangersShare, r, sc) && allOver(minExcess, r, sc)
}

// strangers reports whether of the clients above normal such a share were never here, and claim
// to be browsers.
func strangers(share float64, r *Reading, sc *Scores) bool {
	above, fresh := excessClients(r, sc), r.Raw[NewClients]-sc.Level[NewClients]
	return above >= minClients && fresh >= share*above && newcomers(r, sc) >= share*above
}

// strewn is how far volume is above normal, and with it the pages all over the site that
// strangers with browsers ask for, where both are enough to add up; else 0.
func strewn(r *Reading, sc *Scores) float64 {
	volume := min(volumeScore(sc), slowMost)
	pages := excessPages(r, sc)
	if volume < manyScore || sc.Score[NewClients] < slowLeast || !strangers(strewnShare, r, sc) || !allOver(minExcess/2, r, sc) {
		return 0
	}
	return volume + min((distinctPages(r, sc)-linkedShare*pages)/math.Sqrt(pages), slowMost)
}

// strange reports whether half of the clients above normal have never been here: machines
// that the site knows read much of it, all at once, when there is something new.
func strange(r *Reading, sc *Scores) bool {
	return 2*(r.Raw[NewClients]-sc.Level[NewClients]) >= excessClients(r, sc)
}

// forTools reports whether tools are what comes to the site: few pages bring assets, or most
// clients say that they are machines, and most requests are for no asset. More of them all at once, strangers
// too and all over the site, are a release. Where hardly anybody comes, feed readers and monitors are most of
// the clients of any site; but what people load is most of the requests.
func forTools(sc *Scores) bool {
	return 1-sc.Level[PageShare] < usualLoading || sc.Level[DeclaredShare] >= toolsShare && 2*sc.Level[PageShare] >= 1
}

// machinesAllOver is by how many spreads more machines that say so, strangers nearly all, ask
// for pages all over a site that is made for people; 0 where they ask for few, or few come.
func machinesAllOver(r *Reading, sc *Scores) float64 {
	if forTools(sc) || sc.Score[NewClients] < enter {
		return 0
	}
	above, usual := excessClients(r, sc), sc.Level[DeclaredShare]*sc.Level[UniqueClients]
	declared := r.Raw[DeclaredShare]*r.Raw[UniqueClients] - usual
	fresh := r.Raw[NewClients] - sc.Level[NewClients]
	if declared < minClients || declared < strangersShare*above || fresh < strangersShare*above || !allOver(minExcess, r, sc) {
		return 0
	}
	return declared / math.Sqrt(declared+2*usual)
}

// allOver reports whether most of the pages asked for above normal are different ones, and so many are.
func allOver(least float64, r *Reading, sc *Scores) bool {
	pages := excessPages(r, sc)
	return pages >= least && distinctPages(r, sc) >= scatteredShare*pages
}

// distinctPages is how many distinct pages more than normal there are.
func distinctPages(r *Reading, sc *Scores) float64 {
	usual := sc.Level[PageShare] * sc.Level[RequestRate] * window.Short
	return r.Raw[DistinctPages]*r.Raw[PageShare]*r.Requests - sc.Level[DistinctPages]*usual
}

// joined reports whether others have come to a crowd under which the site fails: a link brings people to one page,
// with programs that the site mostly knows, and those who ask for pages all over it with ones that it does not are not they.
func joined(r *Reading, sc *Scores) bool {
	return varied(r, sc) && markScore(UnfamiliarShare, r, sc) >= slowMarked
}
