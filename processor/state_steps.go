package processor

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

const (
	// StepSeconds is how many seconds what SaveSteps writes is of: each site ends one step in them.
	StepSeconds = stepSeconds
	// KeptSteps is how many of these the longest window reaches back.
	KeptSteps = 600 / StepSeconds

	stepsVersion = 1
	maxStep      = 4 << 20 // bytes of one site's step: all sketches as large as they can be
)

// SaveSteps writes what ended in the number-th ten seconds since 1970 in the windows of all
// sites, and reports whether that is anything. What has ended changes no more: ten minutes of
// a thousand busy sites, a hundred megabytes, are not to be saved anew every ten seconds.
func (d *Detector) SaveSteps(w io.Writer, number int64) (any bool, err error) {
	from := number * StepSeconds
	err = saving(w, func(s *state.Writer) error {
		s.Uint(stepsVersion)
		s.Uint(fingerprint(seedOf(d.o.Secret)))
		s.Int(number)
		s.Uint(uint64(len(d.sites)))
		for _, site := range d.sites {
			s.Text(site.name)
			n := 0
			site.windows.EachStep(from, from+StepSeconds-1, func(*window.Step) { n++ })
			s.Uint(uint64(n))
			site.windows.EachStep(from, from+StepSeconds-1, func(step *window.Step) {
				any = true
				s.Int(step.End)
				for _, count := range step.Counts {
					s.Uint(count)
				}
				s.Bool(step.Less)
				s.Text(string(step.Data))
			})
		}
		return nil
	})
	return any, err
}

// steps is what SaveSteps wrote, read and not restored yet.
type steps struct {
	number int64
	sites  []savedSteps
}

type savedSteps struct {
	site  string
	steps []window.Step
}

// LoadSteps restores the long windows, after Load and before Fill: load gives what SaveSteps wrote
// of a number, nil where there is nothing. A piece is restored before the next is loaded: all of
// them are as much as the windows themselves, and packed once more. One that was cut, changed or saved
// with another secret is refused before anything of it is restored, and given to failed, with one
// clear line that wraps ErrState unless load failed: its seconds fill again within ten minutes. One of another number is of seconds that
// the windows have left, or that are to be judged again. It returns the number of the last piece
// that was restored, 0 for none.
func (d *Detector) LoadSteps(load func(number int64) ([]byte, error), failed func(error)) (last int64) {
	until := d.closed / StepSeconds
	for number := until - KeptSteps; number <= until; number++ {
		data, err := load(number)
		if err == nil && data == nil {
			continue
		}
		var s *steps
		if err == nil {
			s, err = d.readSteps(bytes.NewReader(data))
		}
		if err == nil && s.number != number {
			continue
		}
		if err == nil {
			err = d.restoreSteps(s)
		}
		if err != nil {
			failed(err)
			continue
		}
		last = number
	}
	return last
}

// readSteps reads what SaveSteps wrote with the same secret. What cannot be used is refused with
// one clear line that wraps ErrState.
func (d *Detector) readSteps(in io.Reader) (*steps, error) {
	r, err := unseal(in)
	if err != nil {
		return nil, err
	}
	if version := r.Uint(math.MaxUint32); version != stepsVersion {
		r.Fail("steps of version %d, this program knows %d", version, stepsVersion)
	}
	if r.Uint(math.MaxUint64) != fingerprint(seedOf(d.o.Secret)) {
		r.Fail("it was saved with another secret")
	}
	out := &steps{number: r.Int()}
	for range r.Count(d.o.MaxSites + len(d.named)) {
		saved := savedSteps{site: r.Text(schemas.MaxSite)}
		for range r.Count(StepSeconds) {
			step := window.Step{End: r.Int()}
			for i := range step.Counts {
				step.Counts[i] = r.Uint(math.MaxUint32)
			}
			step.Less = r.Bool()
			step.Data = r.Raw(r.Count(maxStep))
			if r.Err() == nil && step.End/StepSeconds != out.number {
				r.Fail("a step that ends in second %d among those of %d", step.End, out.number*StepSeconds)
			}
			saved.steps = append(saved.steps, step)
		}
		out.sites = append(out.sites, saved)
	}
	r.End()
	if r.Err() != nil {
		return nil, fmt.Errorf("load the windows: %w: %w", ErrState, r.Err())
	}
	return out, nil
}

// restoreSteps takes steps that were read, in the order of their numbers: those of its sites
// that ended within ten minutes of when the state was saved.
func (d *Detector) restoreSteps(s *steps) error {
	for i := range s.sites {
		site, ok := d.index[s.sites[i].site]
		for j := range s.sites[i].steps {
			step := &s.sites[i].steps[j]
			if !ok || step.End > d.closed || step.End <= d.closed-KeptSteps*StepSeconds {
				continue
			}
			if err := site.windows.Restore(step); err != nil {
				return fmt.Errorf("load the windows of site %q: %w: %w", site.name, ErrState, err)
			}
		}
	}
	return nil
}
