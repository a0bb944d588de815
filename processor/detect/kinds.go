package detect

// What a window shows: an attack and its kind, a crowd, a breakage.

import (
	"fmt"
	"math"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

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

// classify says whether the window shows an attack, and of what kind: more
// requests than normal, from more clients than normal, and the clients in excess ask
// for what is not there or use programs that the site does not know. Where its own visitors ask for what was
// never served before, as the site moved, that says nothing.
func classify(r *Reading, sc *Scores, people, moved bool) (schemas.Kind, bool) {
	vol, bare := volumeScore(sc), max(bareScore(r, sc), bareClients(r, sc, people))
	missing := markScore(MissingShare, r, sc)
	mark := missing
	if r.Raw[DeclaredShare] < declaredShare && !people { // machines may well be new here, and fetch what is new
		if !moved {
			missing = max(missing, markScore(UnknownShare, r, sc))
		}
		mark = max(missing, markScore(UnfamiliarShare, r, sc))
	}
	switch machines := r.Raw[DeclaredShare] >= declaredShare; {
	case !machines && (varied(r, sc) || idlers(r, sc) >= minClients): // no browsers, though they say so
		mark = max(mark, bare)
	case machines && !forTools(sc) && varied(r, sc) && strange(r, sc): // that read everything, and never came before
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

// drowned reports whether a site fails under strangers who all ask for one page, and who are
// not the visitors that a link brings: nearly all of the clients above normal use programs
// that the site does not know, or half more of them than of those who usually come, where visitors
// use the world's few browsers, and none says where it comes from. A page that fails brings no assets,
// whoever asks for it, so that those say nothing.
func drowned(r *Reading, sc *Scores) bool { return drowns(enter, r, sc) }

// drowning is what adds up to it: nothing else can be seen of those under whom a site fails at once, and one
// that serves few may stay at the edge of what is enough at once. They claim to be browsers: of machines that say
// so, a link's previews, nobody expects a program that is known.
func drowning(r *Reading, sc *Scores) bool {
	return drowns(slowMarked, r, sc) && newcomers(r, sc) >= strangersShare*excessClients(r, sc)
}

// drowns is drowned where it is enough that requests without a referer are so many spreads out of range.
func drowns(direct float64, r *Reading, sc *Scores) bool {
	share := min(strangersShare, strangersMore+sc.Level[UnfamiliarShare])
	return harmScore(sc) >= enter && sc.Score[NoRefererShare] >= direct && markedAbove(UnfamiliarShare, r, sc) >= share*excessClients(r, sc)
}

// scanning reports whether few clients ask for much, most of which is not there. What failed might not have been
// there either: of an application that a scan brings down nobody hears any more what it has not.
func scanning(r *Reading, sc *Scores) bool {
	above := excess(r, sc)
	answered := above
	if missed(r, sc) >= scannerEach*max(markedAbove(MissingShare, r, sc), 1) {
		answered *= 1 - r.unserved()
	}
	return above >= scanEach*excessClients(r, sc) && max(missed(r, sc), r.Holes) >= max(scanFrom(r, sc), scanShare*answered) && varied(r, sc) &&
		volumeScore(sc) >= scanVolume && (sc.Score[NotFoundShare] >= scanScore || answered < above && missedScore(r, sc) >= scanScore)
}

// missedScore is how far the requests for what is not there are out of range among those that were answered.
func missedScore(r *Reading, sc *Scores) float64 {
	level := even(NotFoundShare, sc.Level[NotFoundShare])
	answered := max(1-r.unserved()*(r.Requests-r.Stopped)/max(r.Requests, 1), r.Raw[NotFoundShare])
	from, to := even(NotFoundShare, r.Raw[NotFoundShare])-level, even(NotFoundShare, r.Raw[NotFoundShare]/max(answered, 1e-9))-level
	if from <= 0 || to <= from {
		return sc.Score[NotFoundShare]
	}
	return sc.Score[NotFoundShare] * to / from
}

// probing reports whether as much is tried of what scanners try, whether or not it stands out
// from what visitors ask for besides.
func probing(r *Reading, sc *Scores) bool {
	return missed(r, sc) >= scanFrom(r, sc) && r.Holes >= probeShare*missed(r, sc) && sc.Score[NotFoundShare] >= probeScore
}

// missed is how many requests above normal were for what is not there.
func missed(r *Reading, sc *Scores) float64 {
	return r.Raw[NotFoundShare]*r.Requests - usuallyMissed(sc)
}

// usuallyMissed is how many requests of a window are for what is not there.
func usuallyMissed(sc *Scores) float64 {
	return sc.Level[NotFoundShare] * sc.Level[RequestRate] * window.Short
}

// scanFrom is how many requests above normal few clients must make for what is not there: more
// than the scanners that the site always has make where several of them meet, unless each asks for more
// than those do.
func scanFrom(r *Reading, sc *Scores) float64 {
	if r.Raw[NotFoundShare]*r.Requests >= scannerFast*r.Raw[MissingShare]*r.Raw[UniqueClients] {
		return scanLeast
	}
	return max(scanSwarm, scanNoise*math.Sqrt(usuallyMissed(sc)))
}

func crowd(r *Reading, sc *Scores) bool {
	return max(sc.Score[RequestRate], sc.Score[UniqueClients]) >= sc.Limits.surge && excess(r, sc) >= minExcess
}

// breakage reports whether a fair part of what visitors ask for is lost, while no more of them come than usual: that
// they ask again, and that what waits piles up, is not more of them.
func breakage(r *Reading, sc *Scores) bool {
	broken := lostShare(r) >= breakageShare && harmScore(sc) >= breakageScore ||
		min(r.Raw[NotFoundShare], r.Raw[MissingShare]) >= breakageShare && sc.Score[NotFoundShare] >= breakageScore // not one scanner's
	return broken && r.Requests >= 20 && r.Raw[UniqueClients] >= 5 && max(clientScore(sc), sc.Score[RequestRate]) < enter
}

// lostShare is the share of the requests let through that failed, that whoever waited gave up, or that took long.
func lostShare(r *Reading) float64 {
	return max(r.unserved(), r.Raw[SlowShare]*r.Requests/max(r.Requests-r.Stopped, 1))
}

// usuallyLost is the same of what is normal.
func usuallyLost(sc *Scores) float64 {
	return max(sc.Level[ErrorShare]+sc.Level[AbandonedShare], sc.Level[SlowShare])
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
		return fmt.Sprintf("%s of the requests fail with 5xx, %s with 404, %s are given up by who waits and %s take long, while no more visitors than normal come",
			percent(ErrorShare), percent(NotFoundShare), percent(AbandonedShare), percent(SlowShare))
	}
	return rate + "; they ask for what visitors of this site ask for"
}
