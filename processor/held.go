package processor

import "github.com/weir-project/weir/processor/attribute"

// Bounds on the clients that all sites' samples hold together, beside those of each.
const (
	maxQuarantined = 110_000 // in quarantine, mostly of one request: some 170 bytes each
	maxNormal      = 200_000 // as normal traffic: some 300 bytes each
	// fairQuarantined is what a step of a site may always hold.
	fairQuarantined = 8
)

// held is what the samples of all sites hold.
type held struct {
	quarantined int // clients, in the steps of all sites
	normal      int
	paths       int // in the lists of what is known ...
	pathBytes   int // ... and their text
	found       int // bytes of paths that steps in quarantine were served or found
}

// lists counts what is known of a site, once (times is 1) or no more (-1).
func (h *held) lists(s *site, times int) {
	for of := range s.lists {
		h.paths, h.pathBytes = h.paths+times*len(s.lists[of].entries), h.pathBytes+times*len(s.lists[of].text)
	}
}

// quarantine counts the sample of a step. Where there is too much in all, it is thinned
// to what is left for each site.
func (h *held) quarantine(s *attribute.Sample, sites int) {
	fair := max(fairQuarantined, maxQuarantined/((quarantine+1)*max(sites, 1)))
	for h.quarantined+s.Len() > maxQuarantined && s.Len() > fair {
		s.Thin()
	}
	h.quarantined += s.Len()
}

// thin halves the largest samples of normal traffic until all fit. What a busy site loses
// is precision; a site of which little is known loses nothing.
func (d *Detector) thin() {
	for d.held.normal > maxNormal {
		largest := d.sites[0]
		for _, s := range d.sites {
			if s.knows() > largest.knows() {
				largest = s
			}
		}
		before := largest.knows()
		for _, n := range largest.normal {
			n.Thin()
		}
		largest.joined = nil
		d.held.normal += largest.knows() - before
		if largest.knows() == before { // cannot be, short of a sample that nothing leaves
			return
		}
	}
}
