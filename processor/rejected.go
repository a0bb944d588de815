package processor

import (
	"slices"

	"github.com/weir-project/weir/schemas"
)

// maxRejected bounds the decisions that are kept as lifted by persons; as many as may be in force on a site.
const maxRejected = maxDecisions + maxScored

// reject keeps what a person has lifted: also what is not taken yet, as after a restart the seconds since the last
// saving are judged again, and the same decisions come of them.
func (d *Detector) reject(c *Correction) {
	if d.rejected == nil {
		d.rejected = make(map[string]string)
	}
	for _, id := range c.Decisions {
		if _, known := d.rejected[id]; !known {
			d.rejections = append(d.rejections, id)
		}
		d.rejected[id] = c.By
	}
	for len(d.rejections) > maxRejected {
		delete(d.rejected, d.rejections[0])
		d.rejections = d.rejections[1:]
	}
}

// letGo drops what a person has lifted.
func (s *site) letGo(second int64, emit func(schemas.Event)) {
	s.keepDecisions(func(d *decision) bool {
		by, lifted := s.d.rejected[d.ID]
		if !lifted {
			return true
		}
		s.refuse(d)
		s.remember(d, second, by)
		s.know.news.decided = true
		s.disarm(s.d.knownAt(second), schemas.RemovedBy+by, func(a *armed) bool { return a.Value == d.Value }, emit)
		return false
	})
}

// refuse has a decision not taken again in the open incident.
func (s *site) refuse(d *decision) {
	i := s.incident
	switch {
	case i == nil:
	case d.score != nil: // another would have other points, and be the same
		i.noScore = true
	case d.signature != nil:
		i.refused = append(i.refused, d.signature)
	case d.prefix.IsValid():
		i.refusedPrefixes = append(i.refusedPrefixes, d.prefix)
	}
}

// rejects reports whether a person has let a client go since the incident began.
func (s *site) rejects(client string) bool {
	return slices.ContainsFunc(s.remembered.harms, func(h harm) bool {
		return h.Scope == schemas.ScopeClient && h.By != "" && h.Value == client && s.incident != nil && h.Second >= s.incident.second
	})
}
