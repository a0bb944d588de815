package processor

import (
	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// find notes a path that the site served and that no two clients are known to have been
// served. In an incident only those count whom the site had served before it.
func (s *countedSite) find(p *Pane, r *schemas.Request, hash uint64, client uint64, k knownClient) {
	by := byAnybody
	if s.troubled != 0 {
		switch {
		case k.regular:
			by = byRegular
		case !k.fresh && k.first < s.troubled-quarantine*stepSeconds:
			by = byEstablished
		default:
			return
		}
	}
	if len(p.Found.list) >= paneFound {
		return
	}
	var ok bool
	if s.c.key, ok = schemas.KnownPath(s.c.key[:0], r.Path); ok {
		p.Found.add(foundPath{hash: pathHash(hash), client: clientOf(client), by: uint8(by)}, r.Path, paneFound, paneFoundBytes)
	}
}

// knownClient is what find needs of a client.
type knownClient struct {
	fresh, regular bool
	first          int64 // unix second of its first request anywhere
}

// clientOf is what a client is told apart by in lists of paths: never 0.
func clientOf(hash uint64) uint32 { return max(uint32(hash>>32), 1) }

// learnPaths learns what a step found while nothing was wrong.
func (s *site) learnPaths(f *found) {
	f.each(s.learnFound)
}

// learnTroubled learns what a step of an incident found.
func (s *site) learnTroubled(f *found) {
	f.each(func(p foundPath, path []byte) {
		if p.by != byAnybody {
			s.learnFound(p, path)
		}
	})
}

func (s *site) learnFound(p foundPath, path []byte) {
	before, text := len(s.paths.entries), len(s.paths.text)
	if s.paths.learn(p, path) {
		s.d.know.learnSure(s.know, p.hash)
	}
	s.d.held.paths += len(s.paths.entries) - before
	s.d.held.pathBytes += len(s.paths.text) - text
	s.d.thinPaths()
}

// thinPaths forgets of the longest lists until all fit.
func (d *Detector) thinPaths() {
	for d.held.paths > maxPaths || d.held.pathBytes > maxPathBytes {
		var longest *site
		for _, s := range d.sites {
			if longest == nil || s.pathWeight() > longest.pathWeight() {
				longest = s
			}
		}
		before, text := len(longest.paths.entries), len(longest.paths.text)
		if before == 0 {
			return
		}
		longest.paths.thin()
		d.held.paths += len(longest.paths.entries) - before
		d.held.pathBytes += len(longest.paths.text) - text
	}
}

// pathWeight orders the sites by what they may lose: one whose list is in use, nothing while
// others have any.
func (s *site) pathWeight() int {
	n := len(s.paths.text) + 64*len(s.paths.entries)
	if s.incident != nil || len(s.know.decisions) > 0 {
		n -= maxPathBytes + 64*maxPaths
	}
	return n
}

// resolver says of the paths in samples whether they are known; nil where that says nothing:
// nobody is told of known paths, or there are more than fit.
func (s *site) resolver() *attribute.Resolver {
	if s.d.o.Known == nil || s.paths.full || s.paths.sure == 0 {
		return nil
	}
	return &attribute.Resolver{Version: s.paths.version, Known: func(path uint32, client uint64) bool {
		if client != 0 {
			return s.paths.knows(path, clientOf(client))
		}
		return s.paths.knows(path, 0)
	}}
}

// wantsPaths reports whether a signature needs the list of known paths.
func wantsPaths(signature schemas.Signature) bool {
	for _, t := range signature {
		if t.Trait == schemas.TraitPathKnown {
			return true
		}
	}
	return false
}

// tellPaths tells the edges which paths the site is known to have, where that is not what
// they were told last.
func (s *site) tellPaths(second int64) {
	if s.d.o.Known == nil || s.told == s.paths.version+1 {
		return
	}
	s.told = s.paths.version + 1
	s.d.o.Known(s.d.knownAt(second), s.paths.tell(s.name))
}

// keepTold tells them again where a decision in force needs it. Where there are more paths
// than fit by now, such decisions end.
func (s *site) keepTold(second int64, emit func(schemas.Event)) {
	needed := false
	for _, d := range s.know.decisions {
		needed = needed || wantsPaths(d.signature)
	}
	switch {
	case needed && s.paths.full:
		s.keepDecisions(func(d *decision) bool {
			if wantsPaths(d.signature) {
				s.lift(d, "lifted: this site has more paths than weir can know", second, emit)
			}
			return !wantsPaths(d.signature)
		})
	case needed:
		s.tellPaths(second)
	}
}
