package schemas

// Promised is what all of weir's own decisions among some events were to touch together at most:
// the share of a site's people, 0 to 1, and people an hour. Each that has evidence says so of
// all that were in force when it was taken (Evidence.Together), and what was taken earlier and had
// ended by then no longer counts; those without it add up.
func Promised(events []Event) (share, perHour float64) {
	together, sum, rate := 0.0, 0.0, 0.0
	for i := range events {
		e := &events[i]
		if e.Decision == nil || e.Origin != OriginWeir {
			continue
		}
		if e.Collateral > 0 {
			rate = max(rate, e.CollateralPerHour/e.Collateral)
		}
		if e.Evidence != nil && e.Evidence.Together > 0 {
			together = max(together, e.Evidence.Together)
		} else {
			sum += e.Collateral
		}
	}
	share = min(together+sum, 1)
	return share, share * rate
}
