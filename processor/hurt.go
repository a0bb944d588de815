package processor

import (
	"fmt"
	"slices"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// maxHurt bounds the people who are kept of those whom decisions were lifted for, and the
// signatures of these.
const maxHurt = 256

// sparePeople keeps the people for whom a signature is lifted, so that no other that stops them is taken
// in its place. What is in force and matches them, too, is lifted with it: of a client that several
// match, an edge names one. So are decisions on clients that came of a signature's match: people are
// among them as among all whom it stopped.
func (s *site) sparePeople(lifted *decision, second int64, emit func(schemas.Event)) {
	i := s.incident
	if _, ok := lifted.rule(); i == nil || !ok {
		return
	}
	if lifted.signature != nil {
		i.hurt.Signatures = append(i.hurt.Signatures, lifted.signature)
	}
	if len(i.hurt.Signatures) > maxHurt {
		i.hurt.Signatures = i.hurt.Signatures[1:]
	}
	if !i.ofBrowsers() { // else those who behave so are the attack's as likely as not
		s.keepPeople(second)
	}
	s.keepDecisions(func(d *decision) bool {
		why := ""
		rule, ofRequests := d.rule()
		switch {
		case d.incident != i.id:
		case ofRequests && i.hurt.Touched(rule, s.resolver()) >= hurtPeople:
			why = "lifted: it matches people for whom " + lifted.ID + " was lifted"
		case !ofRequests && d.forMatch:
			why = "lifted: it was taken for a signature's match, and " + lifted.ID + " has stopped people"
		}
		if why != "" {
			s.lift(d, why, second, emit)
		}
		return why == ""
	})
}

// keepPeople keeps the probes that behave like people.
func (s *site) keepPeople(second int64) {
	i, people := s.incident, make(map[uint64]bool)
	for _, v := range s.visits {
		if v.Person {
			people[v.Client] = true
		}
	}
	if i.hurt.People == nil {
		i.hurt.People = attribute.NewSample(s.d.extract, maxHurt)
	}
	suspects := s.suspects(second, i.suspectsFrom())
	i.hurt.People.Take(suspects, people)
	s.rememberPeople(second, suspects, people)
}

// ofMatched reports whether a client was decided on because a signature had matched it.
func ofMatched(d *decision) bool {
	return d.Evidence != nil && slices.ContainsFunc(d.Evidence.Traits, func(t schemas.TraitEvidence) bool { return t.Trait == attribute.Matched })
}

// saveHurt writes what of it is not among the refused.
func (i *incident) saveHurt() (signatures []string, people []byte) {
	for _, signature := range i.hurt.Signatures {
		signatures = append(signatures, signature.String())
	}
	if i.hurt.People != nil {
		var w state.Writer
		i.hurt.People.Write(&w)
		people = w.Bytes
	}
	return signatures, people
}

func (s *site) loadHurt(signatures []string, people []byte) (err error) {
	hurt := &s.incident.hurt
	for _, text := range signatures {
		signature, err := schemas.ParseSignature(text)
		if err != nil {
			return err
		}
		hurt.Signatures = append(hurt.Signatures, signature)
	}
	if hurt.People, err = s.loadSample(people, maxHurt); err != nil {
		return fmt.Errorf("people who were hurt: %w", err)
	}
	return nil
}

// loadSample reads a sample that was saved by itself; nil for nothing.
func (s *site) loadSample(data []byte, clients int) (*attribute.Sample, error) {
	if len(data) == 0 {
		return nil, nil
	}
	r := state.NewReader(data)
	sample := attribute.NewSample(s.d.extract, clients)
	sample.Read(r)
	r.End()
	return sample, r.Err()
}
