package processor

import "github.com/weir-project/weir/schemas"

// Seconds holds panes until their second is complete, each under its key: partition,
// second and site. One that comes again takes the place of the one before. The zero value
// is empty. Not for concurrent use.
type Seconds struct {
	panes map[int64]*[schemas.Partitions + 1]partitionSecond
	n     int
}

// late is the place, beside the partitions, of panes that came late.
const late = schemas.Partitions

type partitionSecond struct {
	list []*Pane
	at   map[string]int // by site
}

// Add takes panes of one partition. It returns those of them whose place others had: they
// were replaced.
func (s *Seconds) Add(partition int, panes []*Pane) (replaced []*Pane) {
	if s.panes == nil {
		s.panes = make(map[int64]*[schemas.Partitions + 1]partitionSecond)
	}
	for _, p := range panes {
		second := s.panes[p.Second]
		if second == nil {
			second = new([schemas.Partitions + 1]partitionSecond)
			s.panes[p.Second] = second
		}
		of := &second[partition]
		if at, ok := of.at[p.Site]; ok {
			replaced = append(replaced, of.list[at])
			of.list[at] = p
			continue
		}
		if of.at == nil {
			of.at = make(map[string]int)
		}
		of.at[p.Site] = len(of.list)
		of.list = append(of.list, p)
		s.n++
	}
	return replaced
}

// AddLate takes a pane that came when its second had been judged, for another second. It
// replaces nothing, and is replaced by nothing; it is the callee's, or merged and comes
// back.
func (s *Seconds) AddLate(p *Pane) (merged *Pane) {
	if second := s.panes[p.Second]; second != nil {
		of := &second[late]
		if at, ok := of.at[p.Site]; ok {
			into := of.list[at]
			into.Pane.Merge(p.Pane)
			into.Sample.Join(p.Sample)
			into.Found.join(&p.Found, paneFound, paneFoundBytes)
			into.People.merge(&p.People)
			into.Served = append(into.Served, p.Served[:min(len(p.Served), paneServed-len(into.Served))]...)
			return p
		}
	}
	s.Add(late, []*Pane{p})
	return nil
}

// First is the earliest second after one of which there are panes, or limit.
func (s *Seconds) First(after, limit int64) int64 {
	if s.panes[after+1] != nil {
		return min(after+1, limit)
	}
	for second := range s.panes {
		if second > after {
			limit = min(limit, second)
		}
	}
	return limit
}

// Take removes and returns the panes of a second, in the order of partitions and, within
// one, of their arrival.
func (s *Seconds) Take(second int64) (panes []*Pane) {
	if of := s.panes[second]; of != nil {
		for i := range of {
			panes = append(panes, of[i].list...)
		}
		s.n -= len(panes)
		delete(s.panes, second)
	}
	return panes
}

// Len is how many panes are held.
func (s *Seconds) Len() int { return s.n }
