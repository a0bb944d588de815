package schemas

// ServedLeast is the requests a second that must come through before a window of ten
// seconds says what share of visitors is served: five requests.
const ServedLeast = 0.5

// Served is what share of a site's visitors is being served, 0 to 1: of the requests
// of a window that no edge stopped, those that were answered without a server's error
// (5xx) and before the client gave up (499).
//
// It is a share of requests, and of all that come through. Bots that no decision stops
// yet are among them: they wait in the same queue as everybody, so their luck is the
// visitors'. Visitors whom a decision refuses are not: what they can be at most is the
// decisions' collateral, to be said beside it.
//
// known is false where a signal is missing, or where less than ServedLeast came through.
func Served(signals []Signal) (share float64, known bool) {
	var rate, stopped, unserved float64
	found := 0
	for _, s := range signals {
		switch s.Name {
		case RequestRate:
			rate = s.Value
		case StoppedShare:
			stopped = s.Value
		case UnservedShare:
			unserved = s.Value
		default:
			continue
		}
		found++
	}
	if found != 3 || rate*(1-stopped) < ServedLeast {
		return 0, false
	}
	return min(max(1-unserved, 0), 1), true
}
