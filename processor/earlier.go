package processor

import (
	"fmt"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/state"
)

const (
	// earlierClients bounds the sample of those who came while an incident was no attack.
	earlierClients = 2048
	// maxEarlier bounds those of all sites: 32 sites have as many as they may, as with normal traffic.
	maxEarlier = 32 * earlierClients
	// earlierLag is how many steps they wait before they are taken for people: an attack is there
	// for some seconds before it is noticed, and its clients are not to be among them.
	earlierLag = 5
)

// noteEarlier keeps who comes while an incident is no attack yet: a front page's visitors, an inbox's
// servers, machines that update. Normal times say little of them, and when an attack begins among
// them they are what it is to be told from.
func (s *site) noteEarlier() {
	i := s.incident
	if i == nil || s.state.Kind.Attack() {
		return
	}
	b := &s.buckets[(s.bucket-earlierLag+len(s.buckets))%len(s.buckets)]
	if !b.filled {
		return
	}
	if i.earlier == nil {
		i.earlier = attribute.NewSample(s.d.extract, earlierClients)
	}
	i.earlier.Merge(b.sample, true)
	s.d.thinEarlier()
}

// thinEarlier halves the largest samples of those who came earlier until all fit: what is lost is precision, and fewer
// known people allow fewer decisions.
func (d *Detector) thinEarlier() {
	for {
		var largest *attribute.Sample
		all := 0
		for _, s := range d.sites {
			if i := s.incident; i != nil && i.earlier != nil {
				if all += i.earlier.Len(); largest == nil || i.earlier.Len() > largest.Len() {
					largest = i.earlier
				}
			}
		}
		if all <= maxEarlier {
			return
		}
		before := largest.Len()
		if largest.Thin(); largest.Len() == before {
			return
		}
	}
}

// turned notes that the incident is an attack from a second on: what came before is none of the attack's.
func (s *site) turned(second int64) {
	if i := s.incident; i.attack == 0 && s.state.Kind.Attack() {
		i.attack = second
	}
}

// suspectsFrom is from which second on the suspects of the incident come.
func (i *incident) suspectsFrom() int64 { return max(i.second, i.attack) - before }

// saveEarlier is the sample as it stands in saved state; nil for none.
func (i *incident) saveEarlier() []byte {
	if i.earlier == nil {
		return nil
	}
	var w state.Writer
	i.earlier.Write(&w)
	return w.Bytes
}

// loadEarlier reads what saveEarlier wrote.
func (s *site) loadEarlier(data []byte) error {
	sample, err := s.loadSample(data, earlierClients)
	if err != nil {
		return fmt.Errorf("those who came before the attack: %w", err)
	}
	s.incident.earlier = sample
	return nil
}
