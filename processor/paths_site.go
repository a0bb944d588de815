package processor

import (
	"slices"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// find notes a path that the site served and that no two clients are known to have been
// served, and likewise the agent and the query's keys. In an incident only those count whom the site had
// served before it.
func (s *countedSite) find(p *Pane, r *schemas.Request, row int, hash uint64, sure bool, client uint64, k knownClient) {
	by := uint8(byAnybody)
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
	if !sure {
		var ok bool
		if s.c.key, ok = schemas.KnownPath(s.c.key[:0], r.Path); ok {
			p.Found.add(foundPath{hash: pathHash(hash), client: clientOf(client), by: by}, r.Path, paneFound, paneFoundBytes)
		}
	}
	s.findOthers(p, r, row, clientOf(client), by)
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
	l := &s.lists[p.of]
	before, text := len(l.entries), len(l.text)
	if l.learn(p, path) {
		s.d.know.learnSure(s.know, p.hash)
	}
	s.forgetSure()
	s.d.held.paths += len(l.entries) - before
	s.d.held.pathBytes += len(l.text) - text
	s.d.thinPaths()
}

// forgetSure tells the counters what is known for sure no more, so that they note it when it comes again.
func (s *site) forgetSure() {
	for of := range s.lists {
		for _, hash := range s.lists[of].forgotten() {
			s.d.know.forgetSure(s.know, hash)
		}
	}
}

// sureOfLists forgets what counters take for known for sure and no list has, as a state of before does where a list was
// given up: none would note it again, so that it were known to who decides, and to no edge.
func (s *site) sureOfLists() {
	for _, hash := range slices.Clone(s.know.sure.slots) {
		if hash != 0 && !slices.ContainsFunc(s.lists[:], func(l pathList) bool {
			e := l.find(hash)
			return e != nil && e.flags&pathSure != 0
		}) {
			s.know.sure.remove(hash)
		}
	}
}

// thinPaths forgets of the longest lists until all fit. Agents and keys go first where they have more than
// their share: any page answers to any of them, a path that is not there to none, so that whoever makes them
// up at one site would else cost another its paths.
func (d *Detector) thinPaths() {
	for d.held.paths > maxPaths || d.held.pathBytes > maxPathBytes {
		of, longest := d.longestList(d.othersAboveShare())
		if longest == nil {
			return
		}
		before, text := len(longest.entries), len(longest.text)
		longest.thin()
		of.forgetSure()
		d.held.paths += len(longest.entries) - before
		d.held.pathBytes += len(longest.text) - text
	}
}

// longestList is the list that may lose most, of agents and keys alone where others is set, and whose it is; nil where
// there is nothing to lose.
func (d *Detector) longestList(others bool) (of *site, longest *pathList) {
	most := 0
	for _, s := range d.sites {
		for what := range s.lists {
			l := &s.lists[what]
			if len(l.entries) == 0 || others && l.of == schemas.ListedPaths {
				continue
			}
			if longest == nil || s.weight(l) > most {
				of, longest, most = s, l, s.weight(l)
			}
		}
	}
	return of, longest
}

// othersAboveShare reports whether agents and keys of all sites hold more than a quarter of what may be known.
func (d *Detector) othersAboveShare() bool {
	entries, text := 0, 0
	for _, s := range d.sites {
		for of := range s.lists {
			if l := &s.lists[of]; schemas.Listed(of) != schemas.ListedPaths {
				entries, text = entries+len(l.entries), text+len(l.text)
			}
		}
	}
	return entries > maxPaths/4 || text > maxPathBytes/4
}

// weight orders the lists by what they may lose: one that is in use, nothing while others have any.
func (s *site) weight(l *pathList) int {
	n := len(l.text) + 64*len(l.entries)
	if s.incident != nil || len(s.know.decisions) > 0 {
		n -= maxPathBytes + 64*maxPaths
	}
	return n
}

// resolver says of what is in samples whether it is known; nil where that says nothing: nobody is told of
// what is known, or there is more than fits. A site that nobody asks anything of knows no keys, and every one is
// unknown to it.
func (s *site) resolver() *attribute.Resolver {
	if s.d.o.Known == nil || s.lists[schemas.ListedPaths].sure == 0 {
		return nil
	}
	r, version, any := &attribute.Resolver{}, uint64(0), false
	for of := range schemas.NumListed {
		l := &s.lists[of]
		version += l.version << schemas.NumListed
		if l.full || l.sure == 0 && of != schemas.ListedQueries {
			continue
		}
		any = true
		version |= 1 << of
		r.Known[of] = func(hash uint32, client uint64) bool {
			if client != 0 {
				client = uint64(clientOf(client))
			}
			return l.knows(hash, uint32(client)) || of == schemas.ListedQueries && s.d.links.has(hash)
		}
	}
	if r.Version = version; !any {
		return nil
	}
	return r
}

// tellLists tells the edges what is known of the site that a decision asks for, where that is not what
// they were told last.
func (s *site) tellLists(d *decision, second int64) {
	if s.d.o.Known == nil {
		return
	}
	for of := range schemas.NumListed {
		if l := &s.lists[of]; d.asks(of) && s.told[of] != l.version+1 {
			s.told[of] = l.version + 1
			s.d.o.Known(s.d.knownAt(second), l.tell(s.name))
		}
	}
}

// keepTold tells them again where a decision in force needs it. Where there is more than fits by now, such
// decisions end.
func (s *site) keepTold(second int64, emit func(schemas.Event)) {
	gone := false
	for _, d := range s.know.decisions {
		if _, full := s.tooMuch(d); full {
			gone = true
			continue
		}
		s.tellLists(d, second)
	}
	if !gone {
		return
	}
	s.keepDecisions(func(d *decision) bool {
		of, full := s.tooMuch(d)
		if full {
			s.lift(d, "lifted: this site has more "+of.String()+" than weir can know", second, emit)
		}
		return !full
	})
}

// tooMuch reports whether a decision asks for what there is more of than fits.
func (s *site) tooMuch(d *decision) (of schemas.Listed, full bool) {
	for of := range schemas.NumListed {
		if s.lists[of].full && d.asks(of) {
			return of, true
		}
	}
	return 0, false
}
