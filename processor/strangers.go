package processor

import (
	"slices"

	"github.com/weir-project/weir/processor/window"
)

const (
	// strangeLeast is how many requests for hosts that are no site's a window must have, strangeShare which part
	// of all requests, and strangePersist for how many windows in a row, before somebody is told: scanners ask for
	// an address by its number day and night.
	strangeLeast, strangeShare, strangePersist = 100.0, 0.2, 3
	// strangeNames is how many hosts are named.
	strangeNames = 3
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
func (d *Detector) strange() {
	var found Strange
	var asked []*site
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
	d.count.strange.Set(found.Rate)
	if found.Rate*window.Short < strangeLeast || found.Rate < strangeShare*found.All {
		d.strangers = 0
		return
	}
	if d.strangers++; d.strangers < strangePersist || d.o.Strange == nil {
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
