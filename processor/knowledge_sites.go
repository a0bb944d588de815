package processor

import (
	"slices"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// What is known of a site is kept for as long as somebody has the site: a counter or the detector
// that share this Knowledge, or a detector elsewhere that told of it. Both bound their sites,
// so that hosts which come and go leave nothing behind.

// hold is what is known of a site that the caller has from now on, until it releases it.
func (k *Knowledge) hold(name string) *siteKnowledge {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.locked(name) // nobody lets it go in between
	s.holders++
	return s
}

// release is told by whoever held a site and has it no more.
func (k *Knowledge) release(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.sites[name]
	if !ok {
		return
	}
	s.holders--
	k.letGo(name, s)
}

// told notes that a detector elsewhere has a site.
func (k *Knowledge) told(name string) *siteKnowledge {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.locked(name) // nobody lets it go in between
	s.elsewhere = true
	return s
}

// gone notes that a detector elsewhere has a site no more.
func (k *Knowledge) gone(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok := k.sites[name]; ok {
		s.elsewhere = false
		k.letGo(name, s)
	}
}

// only notes that a detector elsewhere has these sites and no other.
func (k *Knowledge) only(names map[string]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range slices.Clone(k.names) {
		if s := k.sites[name]; !names[name] {
			s.elsewhere = false
			k.letGo(name, s)
		}
	}
}

// letGo forgets a site that nobody has.
func (k *Knowledge) letGo(name string, s *siteKnowledge) {
	if s.holders > 0 || s.elsewhere {
		return
	}
	delete(k.sites, name)
	at := slices.Index(k.names, name)
	k.names = slices.Delete(k.names, at, at+1)
	if k.noting || k.branched != nil {
		k.left = append(k.left, name)
	}
}

// writeLeft appends messages that say which sites are gone.
func writeLeft(messages [][]byte, left []string) [][]byte {
	w := &state.Writer{}
	for i, name := range left {
		if len(w.Bytes) == 0 {
			w.Uint(knowledgeLeft)
		}
		w.Text(name)
		if len(w.Bytes) > knowledgeFull || i == len(left)-1 {
			messages, w = append(messages, w.Bytes), &state.Writer{}
		}
	}
	return messages
}

// applyLeft reads such a message.
func (k *Knowledge) applyLeft(r *state.Reader) {
	for r.Err() == nil && r.More() {
		if name := r.Text(schemas.MaxSite); r.Err() == nil {
			k.gone(name)
		}
	}
}
