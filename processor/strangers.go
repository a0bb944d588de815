package processor

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

const (
	// strangeLeast is how many requests for hosts that are no site's a window must have, strangeShare which part
	// of all requests, and strangePersist for how many windows in a row, before somebody is told: scanners ask for
	// an address by its number day and night.
	strangeLeast, strangeShare, strangePersist = 100.0, 0.2, 3
	// strangeNames is how many hosts are named.
	strangeNames = 3
	// strangeMany is how many names that nobody asked for minutes ago are asked for within ten seconds where they are
	// made up, and strangeSure for how many windows in a row many requests must come for hosts that nobody has before it
	// is an incident.
	strangeMany, strangeSure = 16, 2
	// strangeKnown is for how many seconds this detector must have seen the estate before: what it sees first is
	// all new to it. strangeUsual is how many times the usual is no more than usual.
	strangeKnown, strangeUsual = 600, 2.0
	// strangeAgain is for how many seconds many new names at once say that what there is no room for is made up.
	strangeAgain = 3600
)

// Strange is what came in ten seconds for hosts that are no site's: nothing is known of what is normal there, so that
// nothing is noticed of an attack and nothing decided, and what answers it may be what the sites need.
type Strange struct {
	Rate  float64  // requests a second
	All   float64  // of so many in all
	Hosts []string // those asked for most, at most three; all that have no place among the sites are Other
}

// strange tells of requests for hosts that are no site's, where they are many and do not end. Where nothing is known of any
// site yet, everything is new.
func (d *Detector) strange(second int64, emit func(schemas.Event)) {
	found, asked := d.strangers()
	nobodys := d.nobodys(asked)
	d.count.strange.Set(found.Rate)
	if found.Rate*window.Short < strangeLeast || found.Rate < strangeShare*found.All {
		if d.strangeFor = 0; second-d.began < strangeKnown {
			d.manyNames = 0
		}
		d.strangeEnds(second, emit)
		return
	}
	d.strangeFor++
	if d.strangeFor >= strangeSure && nobodys*window.Short >= strangeLeast && nobodys >= strangeShare*found.All {
		d.strangeFlood(second, nobodys, emit)
	}
	if d.strangeFor < strangePersist || d.o.Strange == nil {
		return
	}
	slices.SortStableFunc(asked, func(a, b *site) int {
		return int(b.windows.Short()[window.Requests]) - int(a.windows.Short()[window.Requests])
	})
	for _, s := range asked[:min(len(asked), strangeNames)] {
		found.Hosts = append(found.Hosts, s.name)
	}
	d.o.Strange(found)
}

// strangers adds up what comes for hosts that are no site's, and says which these are.
func (d *Detector) strangers() (found Strange, asked []*site) {
	known := false
	for _, s := range d.sites {
		n := float64(s.windows.Short()[window.Requests]) / window.Short
		found.All += n
		switch {
		case s.name != Other && s.established():
			known = true
		case !d.named[s.name] && n > 0:
			found.Rate += n
			asked = append(asked, s)
		}
	}
	if !known {
		found.Rate = 0
	}
	return found, asked
}

// nobodys is how many requests a second, more than usual, are for hosts that can be no new site: addresses, and names beyond
// all places where there were many new ones at once, within the hour. These have places as long as there are some, which a fast
// flood fills in its first second, and leaves none for the next one.
func (d *Detector) nobodys(asked []*site) (rate float64) {
	names, beyond := 0, 0.0
	for _, s := range asked {
		more := max(0, float64(s.windows.Short()[window.Requests])/window.Short-strangeUsual*s.usualRate(d.closed))
		if s.name == Other {
			beyond = more
		} else if _, err := netip.ParseAddr(strings.Trim(s.name, "[]")); err == nil {
			rate += more
		} else if s.base.Windows() < minWindows {
			names++
		}
	}
	if names >= strangeMany {
		d.manyNames = d.closed
	}
	if d.manyNames != 0 && d.closed-d.manyNames < strangeAgain {
		rate += beyond
	}
	if d.closed-d.began < strangeKnown {
		return 0
	}
	return rate
}

// strangeFlood opens the incident of hosts that nobody has, at Other, for which so many requests a second come. Nothing is
// decided there: what is normal for names without end nobody knows, and no edge can tell them from those of sites that it serves.
func (d *Detector) strangeFlood(second int64, rate float64, emit func(schemas.Event)) {
	s := d.site(Other)
	var now detect.Peak // what asks for addresses is not counted at Other
	now.Even[detect.RequestRate] = math.Log1p(rate * window.Short)
	switch {
	case s.incident != nil:
		s.state.Quiet = 0
		s.incident.peak.Raise(&now)
		return
	case d.o.LearnOnly || s.accepted != nil && second < s.accepted.Until && s.accepted.Peak.CoversRate(&now):
		return
	}
	s.state = detect.State{Open: true, Kind: schemas.Flood}
	s.change(detect.Opened, second, emit)
	s.incident.peak.Raise(&now)
}

// strangeEnds closes it once it has been quiet.
func (d *Detector) strangeEnds(second int64, emit func(schemas.Event)) {
	s, ok := d.index[Other]
	switch {
	case !ok || s.incident == nil:
	case s.state.Quiet == 0:
		s.state.Quiet = second
	case second-s.state.Quiet >= int64(detect.QuietFor/time.Second):
		s.state = detect.State{}
		s.change(detect.Closed, second, emit)
	}
}

// strangeCause is what the incident says of itself.
func (d *Detector) strangeCause() string {
	found, _ := d.strangers()
	return fmt.Sprintf("%.1f of %.1f requests/s in 10 s are for hosts that are no site's, made up or addresses; nothing is decided there: have nginx refuse names that it does not know",
		found.Rate, found.All)
}
