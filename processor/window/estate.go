package window

import "github.com/weir-project/weir/processor/sketch"

// Estate is what the windows of all sites have in common: emptied panes, room to merge
// in, and the bound on what closed steps take. Not for concurrent use.
type Estate struct {
	free   []*Pane
	names  [NumKeys][]sketch.Names // memory for what keys are called, of closed seconds
	steps  []*Pane                 // emptied, for steps
	merged Pane
	sum    Pane
	read   Pane // see unpack
	bytes  []byte
	shelf  shelf // closed steps and quiet seconds, in their tight form

	budget int // bytes
	used   int
	added  int64 // bytes of all steps that ever closed
	sites  int
}

// DefaultBudget is how many bytes the closed steps of all sites may take.
const DefaultBudget = 128 << 20

// maxFree bounds the emptied panes that are kept.
const maxFree = 4096

// NewEstate makes one whose sites together keep about budget bytes of closed steps.
// Beyond that a site that has more than its share loses the sketches of its oldest steps,
// and its ten minutes become shorter (Reading.Seconds tells); its counts stay.
func NewEstate(budget int) *Estate { return &Estate{budget: budget} }

// Pane is an empty one.
func (e *Estate) Pane() *Pane {
	var p *Pane
	if n := len(e.free); n > 0 {
		p, e.free = e.free[n-1], e.free[:n-1]
	} else {
		p = new(Pane)
	}
	for k, names := range e.names {
		if n := len(names); n > 0 {
			p.Tallies[k].GiveMemory(names[n-1])
			e.names[k] = names[:n-1]
		}
	}
	return p
}

// strip takes the memory for what a pane's keys are called: names are needed once, when the
// second closes, and by no pane of the short window.
func (e *Estate) strip(p *Pane) {
	for k := range p.Tallies {
		if names := p.Tallies[k].TakeMemory(); !names.Empty() && len(e.names[k]) < maxFree {
			e.names[k] = append(e.names[k], names)
		}
	}
}

// stepPane is an empty pane to merge a step into: of those there are few at a time, as most
// sites merge a step when it ends.
func (e *Estate) stepPane() *Pane {
	if n := len(e.steps); n > 0 {
		p := e.steps[n-1]
		e.steps = e.steps[:n-1]
		return p
	}
	return new(Pane)
}

// maxSteps bounds the emptied panes of steps that are kept.
const maxSteps = 64

// releaseStep takes such a pane back.
func (e *Estate) releaseStep(p *Pane) {
	if len(e.steps) < maxSteps {
		p.Recycle()
		e.steps = append(e.steps, p)
	}
}

// nothing is an empty pane that is not to be changed.
func (e *Estate) nothing() *Pane {
	e.merged.Reset()
	return &e.merged
}

// Release takes a pane back.
func (e *Estate) Release(p *Pane) {
	if len(e.free) < maxFree {
		p.Recycle()
		e.free = append(e.free, p)
	}
}

// Bound sets how many bytes the closed steps of all sites may take from now on.
func (e *Estate) Bound(budget int) { e.budget = budget }

// Used is how many bytes the closed steps of all sites take.
func (e *Estate) Used() int { return e.used }

// Added is how many bytes all steps took that ever closed: what comes in ten minutes is what
// windows that are whole take.
func (e *Estate) Added() int64 { return e.added }

// share is what a site may keep where there is too much in all.
func (e *Estate) share() int { return e.budget / max(e.sites, 1) }

// crowdedSites is from how many sites on memory is worth more than time.
const crowdedSites = 128

func (e *Estate) crowded() bool { return e.sites >= crowdedSites }

// unpack is the pane that was packed, until the next call of this or load.
func (e *Estate) unpack(k kept) *Pane {
	e.read.Reset()
	if err := e.read.mergeTight(e.load(k)); err != nil {
		panic("window: its own pane is refused: " + err.Error())
	}
	return &e.read
}

// load is what a packed pane's bytes are, until the next call of this, pack or unpack.
func (e *Estate) load(k kept) []byte {
	e.bytes = e.shelf.load(e.bytes[:0], k)
	return e.bytes
}

// countsOf are a packed pane's.
func (e *Estate) countsOf(k kept) Counts {
	_, _, form, err := loosen(e.load(k))
	if err == nil {
		var counts Counts
		if counts, _, err = readCounts(form); err == nil {
			return counts
		}
	}
	panic("window: its own pane is refused: " + err.Error())
}

// pack keeps a pane in its tight form.
func (e *Estate) pack(p *Pane) kept {
	var err error
	if e.bytes, err = p.appendTight(e.bytes[:0]); err != nil {
		panic("window: a pane has no form: " + err.Error())
	}
	return e.shelf.put(e.bytes)
}
