package processor

import "github.com/weir-project/weir/schemas"

// drawn remembers with each client whether it is a probe: the same all through an epoch, and the hash that says
// so takes as long as a dozen of a request's sketches. A note is the epoch's number in its upper bits, the answer,
// and a bit that says that it is one. As many epochs as there is room for last half a year: a client that comes
// again after that is long forgotten.
type drawn struct {
	key string // that notes are of: the first one met, there are hardly others
}

const (
	noteDrawn = 1 << iota
	noteProbe
	noteBits = iota
)

// probe is schemas.Probe of a request; note is its client's, nil for none.
func (d *drawn) probe(key string, r *schemas.Request, note *uint16) bool {
	if key == "" {
		return false
	}
	if d.key == "" {
		d.key = key
	}
	if note == nil || key != d.key {
		return schemas.Probe(key, r.Client, r.Time)
	}
	of := uint16(schemas.EpochOfProbes(r.Time))<<noteBits | noteDrawn
	if *note&^noteProbe != of {
		if *note = of; schemas.Probe(key, r.Client, r.Time) {
			*note |= noteProbe
		}
	}
	return *note&noteProbe != 0
}
