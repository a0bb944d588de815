package attribute

// Alike are the held-out normal clients who score as somebody did who was measured by its
// address, by their hashes; true where as somebody who was blocked. Thresholds move from one
// look to the next and decisions stay, so that what all of them touch together are the clients
// above any of these thresholds: each counts once, however many looks it was above one in.
// No more can be in it than are held out.
type Alike map[uint64]bool

// note takes those above a threshold.
func (l Alike) note(held []scored, threshold float64, blocked bool) {
	for i := range held {
		if held[i].score <= threshold { // they descend
			return
		}
		l[held[i].client.id] = l[held[i].client.id] || blocked
	}
}

// beside adds those of l that are not touched already: all, or those alone who score as blocked ones.
func (a *analysis) beside(already map[uint64]bool, t touched, blocked bool) touched {
	if len(a.budget.Alike) == 0 {
		return t
	}
	people := a.normalSample.persons()
	for i := range a.normalSample.clients {
		c := &a.normalSample.clients[i]
		block, is := a.budget.Alike[c.id]
		if !is || blocked && !block || already[c.id] {
			continue
		}
		already[c.id] = true
		t.add(people[i], c.fresh)
	}
	return t
}

// together is the upper 95 % bound of the share of people whom all that is in force and all that
// was just chosen touch together, signatures and clients: the bound of the union, and not less than
// what is to be expected of it.
func (a *analysis) together() float64 {
	t := a.beside(a.normal.clientsOf(a.charged), a.normal.touched(a.charged, true), false)
	return min(1, max(a.bound(t), a.expected(a.charged, a.doubt)))
}

// tellTogether writes it into what was chosen.
func (a *analysis) tellTogether(measures []Measure) {
	if len(measures) == 0 {
		return
	}
	together := a.together()
	for i := range measures {
		measures[i].Evidence.Together = together
	}
}
