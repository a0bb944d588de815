package attribute

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/weir-project/weir/schemas"
)

const (
	// learnFolds is into how many parts clients are divided to learn by: each normal client is scored by what
	// was learned without its part.
	learnFolds = 4
	// learnPasses, learnRate and learnDecay are of the regression (AdaGrad: Duchi, Hazan and Singer 2011): how
	// often it goes over the rows, its step, and how much a weight shrinks at each, so that few samples say little.
	learnPasses, learnRate, learnDecay = 8, 0.1, 1e-3
	// learnStale is by how much more a sum of squares may have grown before the step is made anew of it: a root and a division each
	// time took most of what learning takes (BenchmarkLearn).
	learnStale = 1.02
	// networkDecay is by how much more a network's weight shrinks, over all rows that have it: there are hundreds of networks, and where they tell
	// nothing, what few happen to come from each would cost what the other traits tell.
	networkDecay = 3.0
	// learnWeight bounds what one row may weigh.
	learnWeight = 20
	// A value is listed that so many suspect or normal clients have; what fewer have is worth what such values are.
	listedSuspects, listedNormal = 5, 3
	// listedText bounds the text of listed values.
	listedText = schemas.MaxScore - 2<<10 - schemas.MaxScoreNetworks*listedNetwork
	// listedNetwork is how long a network's text is at most, with its points.
	listedNetwork = 24
	// perNat is how many points a nat of evidence is worth, mostNats what one value may speak for or against.
	perNat, mostNats = 4, 7
)

// lesson is one row of what is learned from: what it shows, and how much of the suspects and of the
// normal clients it stands for.
type lesson struct {
	traits            Traits
	from              networks
	key               uint32 // of both
	fold              int
	facts             []int32 // of each trait the value's number, or the trait's place where it is not listed
	suspect, ordinary float64
}

// weights are a logistic regression on a request's own traits: in nats, how much likelier the attack's.
type weights struct {
	bias float64
	of   []float64 // first by the trait's place, of what is not listed; then by number
}

// learning is what scores are made of, of one run of Analyse.
type learning struct {
	traits []schemas.Trait // those that the suspects' format carries
	values []item          // listed, by number less len(traits)
	text   []string        // theirs
	number itemNumbers
	all    weights             // what the edge will compute
	fold   [learnFolds]weights // without the clients of each

	// Points of the rows: of the normal by all or by what was learned without it, whichever is more.
	suspect, normal []int
}

// foldOf is the part that a client is in, by bits of its hash that nothing else uses.
func foldOf(clientHash uint64) int { return int(clientHash >> 9 & (learnFolds - 1)) }

// learns makes the learning, the first time that one is asked for, and reports whether there is one.
func (a *analysis) learns() bool {
	if !a.learned {
		a.learning, a.learned = a.learn(), true
	}
	return a.learning != nil
}

// learn makes a learning of the samples; nil where the suspects are too few.
func (a *analysis) learn() *learning {
	if len(a.suspect.clients) < leastToLearn {
		return nil
	}
	l := &learning{}
	for t, known := range a.suspect.known {
		if known {
			l.traits = append(l.traits, schemas.Trait(t))
		}
	}
	l.traits = append(l.traits, schemas.Networks[:]...)
	l.list(a)
	lessons := a.lessons(l)
	shrink := l.shrink(lessons)
	l.all = train(lessons, -1, shrink)
	for i := range l.fold {
		l.fold[i] = train(lessons, i, shrink)
	}
	l.certify(a)
	return l
}

// certify scores the rows: the suspects as the edge will, and the normal by that or by what was learned without them, whichever is
// more. What was learned of three parts comes to fewer points than what was learned of four, and would call nobody touched: so it is shifted by
// what the suspects of the part that was left out come to less by it.
func (l *learning) certify(a *analysis) {
	var facts []int32
	l.suspect, l.normal = make([]int, len(a.suspect.rows)), make([]int, len(a.normal.rows))
	var less, rows [learnFolds]int
	for i, owner := range a.suspect.owner {
		fold := foldOf(a.suspect.hashes[owner])
		facts = l.factsOf(facts[:0], &a.suspect.rows[i], &a.suspect.nets[owner])
		l.suspect[i] = l.all.points(facts)
		less[fold] += l.suspect[i] - l.fold[fold].points(facts)
		rows[fold]++
	}
	for i, owner := range a.normal.owner {
		fold := foldOf(a.normal.hashes[owner])
		facts = l.factsOf(facts[:0], &a.normal.rows[i], &a.normal.nets[owner])
		shift := int(math.Round(float64(less[fold]) / float64(max(rows[fold], 1))))
		l.normal[i] = max(l.all.points(facts), l.fold[fold].points(facts)+shift)
	}
}

// list numbers the values that many clients have, those of most clients first, as many as a score may hold.
func (l *learning) list(a *analysis) {
	type counted struct {
		item
		clients float64
	}
	seen := make(map[item]float64)
	var values []counted
	for _, side := range []struct {
		m     *matrix
		least int32
	}{{a.suspect, listedSuspects}, {a.normal, listedNormal}} {
		for it, n := range side.m.clientsByItem(l.traits) {
			if n < side.least {
				continue
			}
			much := float64(n)
			if it.trait.IsNetwork() { // else those of few visitors are left out for many bots'
				much /= float64(len(side.m.clients))
			}
			seen[it] = max(seen[it], much)
		}
	}
	for it, n := range seen {
		values = append(values, counted{it, n})
	}
	slices.SortFunc(values, func(x, y counted) int { return cmp.Or(cmp.Compare(y.clients, x.clients), compareItems(x.item, y.item)) })
	l.number = numbersFor(min(len(values), schemas.MaxScoreValues+schemas.MaxScoreNetworks))
	size, networks := 0, 0
	for _, v := range values {
		text, named := a.x.text(v.item)
		long := len(strconv.QuoteToASCII(text)) + 4
		if v.trait.IsNetwork() {
			if networks == schemas.MaxScoreNetworks {
				continue
			}
			networks++
		} else if size += long; !named || size > listedText || len(l.values)-networks == schemas.MaxScoreValues {
			size -= long
			continue
		}
		l.number.put(v.item, int32(len(l.traits)+len(l.values)))
		l.values, l.text = append(l.values, v.item), append(l.text, text)
	}
}

// clientsByItem counts the clients that have each value of some traits.
func (m *matrix) clientsByItem(traits []schemas.Trait) map[item]int32 {
	var table itemTable
	for i := range m.rows {
		for _, t := range traits {
			table.count(item{t, m.rows[i].value(&m.nets[m.owner[i]], t)}, m.owner[i], 0)
		}
	}
	counts := make(map[item]int32)
	for _, s := range table.slots {
		if s.clients > 0 {
			counts[s.item] = s.clients
		}
	}
	return counts
}

func (l *learning) factsOf(facts []int32, t *Traits, from *networks) []int32 {
	for place, trait := range l.traits {
		n, listed := l.number.of(item{trait, t.value(from, trait)})
		if !listed {
			n = int32(place)
		}
		facts = append(facts, n)
	}
	return facts
}

// lessons are the rows to learn from, each suspect client counted once. Whoever the site knows is none
// of the attack's, however it looks.
func (a *analysis) lessons(l *learning) (all []*lesson) {
	type key struct {
		fold   int
		traits Traits
		from   networks
	}
	of := make(map[key]*lesson)
	at := func(id uint64, t *Traits, from *networks) *lesson {
		k := key{foldOf(id), *t, *from}
		for i, network := range schemas.Networks { // what is not listed is all the same
			if _, listed := l.number.of(item{network, from[i]}); !listed {
				k.from[i] = 0
			}
		}
		x := of[k]
		if x == nil {
			x = &lesson{traits: *t, from: k.from, key: t.key(1 + mix(uint64(k.from[0])<<32|uint64(k.from[1]))), fold: k.fold, facts: l.factsOf(nil, t, from)}
			of[k] = x
			all = append(all, x)
		}
		return x
	}
	known := a.normalSample.Guests()
	regular := make(map[uint64]bool)
	for i := range a.suspectSample.clients {
		if c := &a.suspectSample.clients[i]; c.regular {
			regular[c.id] = true
		}
	}
	requests := make([]float64, len(a.suspect.clients))
	for i, owner := range a.suspect.owner {
		requests[owner] += a.suspect.weight[i]
	}
	for i, owner := range a.suspect.owner {
		if id := a.suspect.hashes[owner]; !known[id] && !regular[id] {
			at(id, &a.suspect.rows[i], &a.suspect.nets[owner]).suspect += a.suspect.weight[i] / requests[owner]
		}
	}
	for i, owner := range a.normal.owner {
		if a.normal.served[i/64]>>(i%64)&1 == 1 {
			at(a.normal.hashes[owner], &a.normal.rows[i], &a.normal.nets[owner]).ordinary++
		}
	}
	order(all)
	return all
}

// shrink is how much each fact's weight shrinks at a step.
func (l *learning) shrink(lessons []*lesson) []float64 {
	shrink := make([]float64, len(l.traits)+len(l.values))
	for _, x := range lessons {
		for _, f := range x.facts {
			shrink[f]++
		}
	}
	for f, n := range shrink {
		shrink[f] = learnDecay
		if l.traitOf(f).IsNetwork() {
			shrink[f] += networkDecay / max(n, 1)
		}
	}
	return shrink
}

// traitOf is the trait that a fact is a value of.
func (l *learning) traitOf(fact int) schemas.Trait {
	if fact < len(l.traits) {
		return l.traits[fact]
	}
	return l.values[fact-len(l.traits)].trait
}

// regression is weights while they are learned: what a step needs of a fact lies together.
type regression struct {
	bias  float64
	facts []learned
}

type learned struct {
	weight, shrink       float64
	squares, step, until float64 // the step holds until the squares come to more
}

// step is what one side of a lesson teaches.
type step struct {
	facts      []int32
	is, weight float64
}

// train learns from lessons in their order, but for those of one part (-1: of none); both sides weigh alike together.
func train(all []*lesson, without int, shrink []float64) weights {
	n, suspect, ordinary := 0.0, 0.0, 0.0
	for _, x := range all {
		if x.fold != without {
			n, suspect, ordinary = n+1, suspect+x.suspect, ordinary+x.ordinary
		}
	}
	steps := make([]step, 0, len(all)+len(all)/8) // few lessons are both sides'
	for _, x := range all {
		if x.fold == without {
			continue
		}
		if x.suspect > 0 {
			steps = append(steps, step{x.facts, 1, min(x.suspect*n/max(suspect, 1), learnWeight)})
		}
		if x.ordinary > 0 {
			steps = append(steps, step{x.facts, 0, min(x.ordinary*n/max(ordinary, 1), learnWeight)})
		}
	}
	r := regression{facts: make([]learned, len(shrink))}
	for f := range shrink {
		r.facts[f].shrink = shrink[f]
	}
	passes := learnPasses
	if without >= 0 { // as many steps as of all
		passes = learnPasses * learnFolds / (learnFolds - 1)
	}
	for range passes {
		for i := range steps {
			r.learn(&steps[i])
		}
	}
	w := weights{bias: r.bias, of: make([]float64, len(shrink))}
	for f := range r.facts {
		w.of[f] = r.facts[f].weight
	}
	return w
}

// order mixes lessons, the same way each time: by a hash of their traits.
func order(all []*lesson) {
	slices.SortFunc(all, func(x, y *lesson) int { // no two are alike
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.fold, y.fold), slices.Compare(x.traits[:], y.traits[:]), slices.Compare(x.from[:], y.from[:]))
	})
}

// learn makes what a row is likelier by a step. All that it reads and writes is train's own; watched for races it took a third of what some tests of the
// processor take.
//
//go:norace
func (r *regression) learn(x *step) {
	facts, weight := x.facts, x.weight
	sum := r.bias
	for _, f := range facts {
		sum += r.facts[f].weight
	}
	gradient := (1/(1+math.Exp(-sum)) - x.is) * weight
	r.bias -= learnRate / 10 * gradient / math.Sqrt(1+weight*weight)
	for _, f := range facts {
		of := &r.facts[f]
		d := gradient + of.shrink*of.weight
		if of.squares += d * d; of.squares > of.until {
			of.step, of.until = learnRate/(math.Sqrt(of.squares)+.1), learnStale*of.squares
		}
		of.weight -= of.step * d
	}
}

// pointsOf is a weight in points.
func pointsOf(weight float64) int {
	return int(math.Round(min(max(weight, -mostNats), mostNats) * perNat))
}

func (w *weights) points(facts []int32) (sum int) {
	for _, f := range facts {
		sum += pointsOf(w.of[f])
	}
	return sum
}

// score is what an edge is told, for a least sum of points: those of each trait are shifted so that none is below 0.
func (l *learning) score(least int) *schemas.Score {
	s := &schemas.Score{Least: least}
	for place, trait := range l.traits {
		t := schemas.ScoreTrait{Trait: trait, Other: pointsOf(l.all.of[place])}
		low := t.Other
		for n, it := range l.values {
			if points := pointsOf(l.all.of[len(l.traits)+n]); it.trait == trait && points != t.Other {
				t.Values = append(t.Values, schemas.ScoreValue{Value: l.text[n], Points: points})
				low = min(low, points)
			}
		}
		t.Other -= low
		for i := range t.Values {
			t.Values[i].Points -= low
		}
		s.Least -= low
		if len(t.Values) > 0 { // else it tells nothing apart
			s.Traits = append(s.Traits, t)
		}
	}
	s.Sort()
	return s
}
