package window

import "github.com/weir-project/weir/processor/sketch"

const (
	// namesMax is how many names a site keeps of each kind of key.
	namesMax = 32
	// namesStep is how many of a step's heaviest keys are remembered.
	namesStep = 16
	// fade is what is left of a key's weight after a step: half in six minutes.
	fade = 0.98
)

// names are what a site's heavy keys are called. Steps are kept without their names: a
// path would be kept sixty times.
type names struct{ known [NumKeys][]named }

type named struct {
	key    uint32
	weight float32
	text   []byte
}

// learn takes the names of a step's heaviest keys, as far as it is known what they are called.
func (n *names) learn(p *Pane, called *[NumKeys]sketch.Names) {
	var scratch [namesStep]sketch.Heavy
	for k := range n.known {
		for i := range n.known[k] {
			n.known[k][i].weight *= fade
		}
		for _, h := range p.Tallies[k].Top(scratch[:0], 0, namesStep) {
			h.Name = called[k].Of(h.Key)
			n.add(k, &h)
		}
	}
}

func (n *names) add(k int, h *sketch.Heavy) {
	list := n.known[k]
	least := 0
	for i := range list {
		if list[i].key == h.Key {
			list[i].weight += float32(h.Least)
			return
		}
		if list[i].weight < list[least].weight {
			least = i
		}
	}
	switch {
	case h.Name == nil:
		return
	case len(list) < namesMax:
		n.known[k] = append(list, named{})
		least = len(list)
	case list[least].weight >= float32(h.Least):
		return
	}
	to := &n.known[k][least]
	to.key, to.weight, to.text = h.Key, float32(h.Least), append(to.text[:0], h.Name...)
}

// of is what a key is called, or nil. It is valid until the next step.
func (n *names) of(k int, key uint32) []byte {
	for i := range n.known[k] {
		if n.known[k][i].key == key {
			return n.known[k][i].text
		}
	}
	return nil
}
