package window

import "fmt"

// Steps are what outlives whoever holds a Site: each has ended and changes no more, so that
// saving one once is enough.

// stepVersion is the form of Step.Data: that of tight, and of the sketches in it.
const stepVersion = 1

// Step is a closed step in a form that can be saved.
type Step struct {
	End    int64 // the last second
	Counts Counts
	Data   []byte // valid until the Site is used again; empty where its sketches are not there
	Less   bool   // they were dropped, as the estate's budget was used up
}

// EachStep calls do with the steps that ended in the seconds from one to another, in their
// order.
func (s *Site) EachStep(from, to int64, do func(*Step)) {
	s.init()
	for n := s.past.first; n < s.past.next; n++ {
		kept := s.past.step(n)
		if kept.end < from || kept.end > to {
			continue
		}
		out := Step{End: kept.end, Less: kept.less}
		out.Counts.add(&kept.counts)
		if kept.data.size > 0 {
			s.estate.bytes = s.estate.shelf.load(append(s.estate.bytes[:0], stepVersion), kept.data)
			out.Data = s.estate.bytes
		}
		do(&out)
	}
}

// Restore takes a step that was saved, of a Site that closed nothing yet; each is later than
// the one before. When those seconds are closed anew, the steps that end in them stay as they
// were saved. What is malformed is refused with an error that wraps ErrMalformed.
func (s *Site) Restore(step *Step) error {
	s.init()
	if last := s.past.end(); step.End <= last || s.closed != 0 {
		return fmt.Errorf("a step that ends in second %d after one in %d: %w", step.End, last, ErrMalformed)
	}
	saved := stepOf(step)
	if len(step.Data) > 0 {
		if step.Data[0] != stepVersion {
			return fmt.Errorf("a step of version %d, this program knows %d: %w", step.Data[0], stepVersion, ErrMalformed)
		}
		form := step.Data[1:]
		s.estate.read.Reset()
		if err := s.estate.read.mergeTight(form); err != nil {
			return err
		}
		if stepCountsOf(&s.estate.read.Counts) != saved.counts {
			return fmt.Errorf("a step whose sketches are of other requests: %w", ErrMalformed)
		}
		saved.data = s.estate.shelf.put(form)
	}
	s.past.add(s.estate, saved)
	return nil
}

func stepOf(s *Step) step { return step{end: s.End, counts: stepCountsOf(&s.Counts), less: s.Less} }

// end is the second in which the last step ended, 0 before the first.
func (p *past) end() int64 {
	if p.first == p.next {
		return 0
	}
	return p.step(p.next - 1).end
}
