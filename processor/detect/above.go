package detect

// How much of a window is above the normal of its site.

import "github.com/weir-project/weir/processor/window"

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

// idlersHere is how many of those who claim to be browsers would not be expected beside as many as load
// something: where fewer visitors than usual happen to be there, others may come in their place.
func idlersHere(r *Reading, sc *Scores) float64 {
	_, usual := loadingAbove(r, sc)
	if usual < usualLoading {
		return 0
	}
	return r.Raw[UniqueClients]*(1-r.Raw[DeclaredShare]) - r.Raw[UniqueClients]*(1-r.Raw[BareShare])/usual - unanswered(r)
}

// comers is how many clients that claim to be browsers are there who usually are not: more than normal, or
// in the place of visitors.
func comers(r *Reading, sc *Scores) float64 { return max(newcomers(r, sc), idlersHere(r, sc)) }

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

// pathsAbove is how many distinct paths more than normal there are.
func pathsAbove(r *Reading, sc *Scores) float64 {
	return r.Raw[DistinctPaths]*r.Requests - sc.Level[DistinctPaths]*sc.Level[RequestRate]*window.Short
}
