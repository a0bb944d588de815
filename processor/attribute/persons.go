package attribute

import "time"

// personSpan is how long somebody who comes again and again is one person. A program that polls all day is six
// clients of an hour's normal sample, a visitor one or two; an attack, with the last of its decisions, takes about
// as long, and whoever is touched within it is touched once.
const personSpan = time.Hour

// persons are, by the sample's clients, how much each counts as people: whoever is in it in more periods than
// there are hours counts as often as there are hours. They are worked out once while the sample stands still.
//
// Of a thinned sample, one in 2^level is kept of whoever came more often than once: who is kept once came,
// by what is known, once.
func (s *Sample) persons() []float64 {
	if s.people != nil {
		return s.people
	}
	times := make(map[uint64]int, len(s.clients))
	for i := range s.clients {
		times[s.clients[i].id]++
	}
	spans := max(1, s.Span.Hours()/personSpan.Hours())
	s.people = make([]float64, len(s.clients))
	for i := range s.clients {
		came := 1 + float64(times[s.clients[i].id]-1)*s.scale()
		s.people[i] = min(1, spans/came)
	}
	return s.people
}

// add counts a client who is so much of a person.
func (t *touched) add(person float64, fresh bool) {
	t.all++
	t.people += person
	if fresh {
		t.fresh++
	}
}

// inPeople is by how much a share of clients falls short of the share of people that they are: never less than one, so
// that neither is above what is said.
func inPeople(t, of touched) float64 {
	if t.all == 0 || of.people <= 0 {
		return 1
	}
	return max(1, t.people/float64(t.all)*float64(of.all)/of.people)
}
