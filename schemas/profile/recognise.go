package profile

import "strings"

// Catalogue is every profile, and what they are recognised by. It is not changed once
// made: all sites share it.
type Catalogue struct {
	profiles []*Profile
	first    [256][]sign // those that begin with '/' and this byte
	others   []sign
}

// sign is a path by which an application is recognised.
type sign struct {
	profile, number int
	pattern         pattern
}

// NewCatalogue makes it.
func NewCatalogue() *Catalogue {
	c := &Catalogue{}
	for i, s := range sources() {
		c.profiles = append(c.profiles, s.compile())
		for n, text := range strings.Fields(s.signs) {
			one := sign{i, n, compile(text)}
			if b, ok := one.pattern.second(); ok {
				c.first[b] = append(c.first[b], one)
			} else {
				c.others = append(c.others, one)
			}
		}
	}
	return c
}

// Profile is the profile of an application; nil where there is none.
func (c *Catalogue) Profile(name string) *Profile {
	for _, p := range c.profiles {
		if p.name == name {
			return p
		}
	}
	return nil
}

// What it takes to recognise an application: so many served requests of its own, of at
// least so many kinds, and so much of all. A scanner that asks every site for
// /wp-login.php is answered with 404 nearly everywhere, and where it is not, it is no
// large part of what people ask for.
const (
	enoughHits  = 20
	enoughSigns = 2
	leastShare  = 0.05
	// addedShare is what an addition (a shop on WordPress) needs beside the other.
	addedShare = 0.005
	// look is after how many served requests the evidence is weighed again.
	look = 500
	// Of a site's requests the first ones are all looked at, and then one of many.
	early, oneOf = 4096, 16
	// most bounds the evidence: what was seen is halved there, so that a site that
	// changes its application is recognised anew.
	most = 1 << 16
	// maxSigns is how many signs a profile has at most.
	maxSigns = 16
)

// Recogniser finds out which application a site is, from its requests. It takes a few
// hundred bytes whatever they are. It serves one goroutine.
type Recogniser struct {
	catalogue *Catalogue
	seen      uint64 // served requests
	served    uint32 // of them, those that were looked at
	hits      [][maxSigns]uint32
	found     *Profile
}

// Recogniser makes a Recogniser for one site.
func (c *Catalogue) Recogniser() *Recogniser {
	return &Recogniser{catalogue: c, hits: make([][maxSigns]uint32, len(c.profiles))}
}

// Add takes one request: its path and query as sent, and the answer's status. It
// reports whether what Found gives has changed.
func (r *Recogniser) Add(path, query []byte, status uint16) (changed bool) {
	if status < 200 || status >= 400 || status >= 300 && status != 304 {
		return false
	}
	if r.seen++; r.seen > early && r.seen%oneOf != 0 {
		return false
	}
	r.served++
	told := 0 // the profiles that this request was a sign of: a request counts once for each
	if len(path) > 1 {
		told = r.count(r.catalogue.first[path[1]], path, query, told)
	}
	r.count(r.catalogue.others, path, query, told)
	if r.served%look != 0 {
		return false
	}
	before := r.found
	r.found = r.Weigh()
	if r.served >= most {
		r.halve()
	}
	return r.found != before
}

func (r *Recogniser) count(signs []sign, path, query []byte, told int) int {
	for i := range signs {
		s := &signs[i]
		if told&(1<<s.profile) == 0 && s.pattern.match(path, query) {
			r.hits[s.profile][s.number]++
			told |= 1 << s.profile
		}
	}
	return told
}

func (r *Recogniser) halve() {
	r.served /= 2
	for i := range r.hits {
		for n := range r.hits[i] {
			r.hits[i][n] /= 2
		}
	}
}

// Served is how many served requests it was given.
func (r *Recogniser) Served() uint64 { return r.seen }

// Reset makes it one of another site.
func (r *Recogniser) Reset() {
	r.seen, r.served, r.found = 0, 0, nil
	clear(r.hits)
}

// Weighed reports whether there were enough requests to say what the site is, or that it is
// nothing that is known.
func (r *Recogniser) Weighed() bool { return r.served >= look }

// Found is the application that was recognised so far, nil for none.
func (r *Recogniser) Found() *Profile { return r.found }

// Weigh is the application that the evidence so far is for, however little there is;
// nil for none.
func (r *Recogniser) Weigh() *Profile {
	var best *Profile
	var most uint32
	for i, p := range r.catalogue.profiles {
		if p.over == "" && r.holds(i, leastShare) && r.sum(i) > most {
			best, most = p, r.sum(i)
		}
	}
	for i, p := range r.catalogue.profiles {
		if best != nil && p.over == best.name && r.holds(i, addedShare) {
			return p
		}
	}
	return best
}

func (r *Recogniser) sum(i int) (n uint32) {
	for _, hits := range r.hits[i] {
		n += hits
	}
	return n
}

// holds reports whether there is enough evidence for a profile.
func (r *Recogniser) holds(i int, share float64) bool {
	kinds := 0
	for _, hits := range r.hits[i] {
		if hits > 0 {
			kinds++
		}
	}
	n := r.sum(i)
	return kinds >= enoughSigns && n >= enoughHits && float64(n) >= share*float64(r.served)
}
