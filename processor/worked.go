package processor

import (
	"slices"

	"github.com/weir-project/weir/processor/attribute"
)

const (
	// workedBytes is what may be kept, from one look at an incident to the next, of what was worked out of the
	// samples of all sites: 10 to 20 MiB of a large site, 0.3 MiB of each where a thousand are attacked. How many
	// these are an attacker chooses. Beyond it, it is worked out anew at each look, and comes to the same: that costs
	// most where samples are large, which they are where sites are few (see newSite), so that beyond workedSites with an
	// incident it shrinks.
	workedBytes = 96 << 20
	workedSites = 32
	// workedFor is for how many seconds without a look it stays where others want the room: two looks' time.
	workedFor = 2 * nextLook
)

// worked is what is kept of the sites' samples between looks.
type worked struct {
	most  int     // workedBytes
	bytes int     // of all sites
	sites []*site // that have any, in the order of their first look
}

// working bounds what the last look at a site has left behind. Those that have room keep it as long as they are
// looked at: sites are looked at in turn, so that the one that waits longest is the next to need it. Were that the one
// to go, none would ever find anything.
func (d *Detector) working(s *site, second int64) {
	w := &d.worked
	if s.worked == 0 {
		w.sites = append(w.sites, s)
	}
	w.bytes -= s.worked
	s.worked = max(1, s.workedOut())
	most := w.most * workedSites / max(workedSites, d.incidents())
	if w.bytes += s.worked; w.bytes <= most {
		return
	}
	for _, o := range slices.Clone(w.sites) {
		if o.asked < second-workedFor && w.bytes > most {
			d.drop(o)
		}
	}
	if w.bytes > most {
		d.drop(s)
	}
}

// incidents is at how many sites one is open.
func (d *Detector) incidents() (n int) {
	for _, s := range d.sites {
		if s.incident != nil {
			n++
		}
	}
	return n
}

// drop lets go of what was worked out of a site's samples.
func (d *Detector) drop(s *site) {
	if s.worked == 0 {
		return
	}
	d.worked.bytes -= s.worked
	d.worked.sites = slices.DeleteFunc(d.worked.sites, func(o *site) bool { return o == s })
	s.worked, s.joined = 0, nil
	for _, sample := range s.samples() {
		sample.LetGo()
	}
}

// workedOut is about how many bytes were worked out of the site's samples, both generations of the normal one joined among it.
func (s *site) workedOut() (n int) {
	for _, sample := range s.samples() {
		n += sample.Worked()
	}
	if s.joined != nil {
		n += s.joined.Worked() + s.joined.Bytes()
	}
	return n
}

// samples are those that stay while an incident is looked at.
func (s *site) samples() []*attribute.Sample {
	all := []*attribute.Sample{s.normal[0], s.normal[1], s.remembered.people}
	if i := s.incident; i != nil {
		all = append(all, i.earlier, i.hurt.People)
	}
	return slices.DeleteFunc(all, func(sample *attribute.Sample) bool { return sample == nil })
}
