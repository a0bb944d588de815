package processor

import (
	"fmt"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Bounds of one message of panes, before compression: what cannot be compressed must fit
// schemas.MaxMessage all the same.
const (
	packFull  = schemas.MaxMessage - 128<<10 // one that is larger than this takes no more panes
	packNames = 64 << 10                     // bytes of names
	packPane  = 420 << 10                    // a pane that is larger goes without its sample
)

// PanePack packs panes into messages. The zero value is ready. Not for concurrent use.
type PanePack struct {
	sets  []*schemas.Panes
	size  int // of the last, at most
	named map[namedTrait]bool
	names int // bytes of the last's
	bare  int // panes that went without their sample
}

type namedTrait struct {
	trait schemas.Trait
	hash  uint32
}

// Add packs a pane; it keeps nothing of it.
func (k *PanePack) Add(p *Pane) error {
	sketches, err := p.Pane.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("pack the pane of %q: %w", p.Site, err)
	}
	var sample state.Writer
	p.Sample.Write(&sample)
	var finds state.Writer
	if len(p.Found.list) > 0 {
		p.Found.write(&finds)
	}
	packed := &schemas.Pane{Found: finds.Bytes, Second: p.Second, Site: []byte(p.Site), Sketches: sketches, Sample: sample.Bytes, Served: append([]uint64(nil), p.Served...)}
	if !p.People.empty() {
		var people state.Writer
		p.People.write(&people)
		packed.People = people.Bytes
	}
	size := paneSize(packed)
	if size > packPane {
		k.bare++
		packed.Sample, packed.Served, packed.Found = nil, nil, nil
		size = paneSize(packed)
	}
	if len(k.sets) == 0 || k.size+size > packFull || len(k.last().Panes) >= schemas.MaxPanes {
		k.begin()
	}
	k.size += size
	last := k.last()
	last.Panes = append(last.Panes, packed)
	if packed.Sample != nil {
		p.Sample.Names(k.name)
	}
	return nil
}

func paneSize(p *schemas.Pane) int {
	return len(p.Site) + len(p.Sketches) + len(p.Sample) + len(p.Found) + len(p.People) + 8*len(p.Served) + 40
}

func (k *PanePack) begin() {
	k.sets = append(k.sets, new(schemas.Panes))
	k.size, k.names, k.named = 256, 0, make(map[namedTrait]bool)
}

func (k *PanePack) last() *schemas.Panes { return k.sets[len(k.sets)-1] }

// name adds the text of a trait's value to the message, once.
func (k *PanePack) name(t schemas.Trait, hash uint32, text func() (string, bool)) {
	key := namedTrait{t, hash}
	if k.named[key] {
		return
	}
	k.named[key] = true
	name, ok := text()
	if !ok || k.names+len(name) > packNames || len(k.last().Names) >= schemas.MaxTraitNames {
		return
	}
	k.names += len(name) + 12
	k.last().Names = append(k.last().Names, &schemas.TraitName{Trait: uint32(t), Hash: hash, Text: []byte(name)})
}

// Finish returns the messages, one at least, and empties the pack. head gives them what
// they have in common.
func (k *PanePack) Finish(head *schemas.Panes) []*schemas.Panes {
	if len(k.sets) == 0 {
		k.begin()
	}
	sets := k.sets
	for i, s := range sets {
		s.Partition, s.Revision, s.Sequence, s.Level, s.Closed = head.Partition, head.Revision, head.Sequence, head.Level, head.Closed
		s.Part, s.Parts = uint32(i+1), uint32(len(sets))
	}
	k.sets = nil
	return sets
}

// Bare is how many panes were too large to keep their sample.
func (k *PanePack) Bare() int { return k.bare }

// Unpack reads the panes of a message. They are the detector's until it has closed their
// seconds. What does not hold together is refused with one clear line.
func (d *Detector) Unpack(m *schemas.Panes) ([]*Pane, error) {
	for _, n := range m.Names {
		d.extract.Learn(schemas.Trait(n.Trait), n.Hash, n.Text)
	}
	out := make([]*Pane, 0, len(m.Panes))
	for _, packed := range m.Panes {
		p := d.pane(string(packed.Site), packed.Second)
		out = append(out, p)
		if err := p.unpack(packed); err != nil {
			d.Release(out)
			return nil, fmt.Errorf("pane of %q, second %d: %w", packed.Site, packed.Second, err)
		}
	}
	return out, nil
}

func (p *Pane) unpack(packed *schemas.Pane) error {
	if err := p.Pane.UnmarshalBinary(packed.Sketches); err != nil {
		return err
	}
	if len(packed.Sample) > 0 {
		r := state.NewReader(packed.Sample)
		p.Sample.Read(r)
		r.End()
		if r.Err() != nil {
			return r.Err()
		}
		p.Sample.Touch()
	}
	if len(packed.Found) > 0 {
		r := state.NewReader(packed.Found)
		p.Found.read(r)
		r.End()
		if r.Err() != nil {
			return r.Err()
		}
	}
	if len(packed.People) > 0 {
		r := state.NewReader(packed.People)
		p.People.read(r)
		r.End()
		if r.Err() != nil {
			return r.Err()
		}
	}
	p.Served = append(p.Served, packed.Served[:min(len(packed.Served), paneServed)]...)
	return nil
}

// pane is an empty one.
func (d *Detector) pane(site string, second int64) *Pane {
	var p *Pane
	if n := len(d.free); n > 0 {
		p, d.free = d.free[n-1], d.free[:n-1]
	} else {
		p = &Pane{Pane: new(window.Pane), Sample: attribute.NewSample(d.extract, paneClients)}
	}
	p.reset(site, second, 0)
	return p
}

// freePanes bounds the panes kept for later.
const freePanes = 4096

// Release takes back panes that Unpack gave.
func (d *Detector) Release(panes []*Pane) {
	d.free = append(d.free, panes[:min(len(panes), freePanes-len(d.free))]...)
}
