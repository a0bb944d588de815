package processor

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"

	"github.com/weir-project/weir/processor/sketch"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// Knowledge is what the Detector has learned of the sites and a Counter needs to mark
// clients by. Counters that run beside each other may share one that follows a
// Detector's by Apply; one that a Detector writes to itself is for one goroutine.
type Knowledge struct {
	mu    sync.Mutex // the map
	sites map[string]*siteKnowledge
	names []string // in the order in which they came

	data   sync.RWMutex // what is in the map, between shared Counters and Apply
	noting bool         // what is learned is noted, for Changes

	branched *Knowledge // that is told all, see branch
	lessons  []lesson   // since it was last told
	left     []string   // sites that are gone since then, or since Changes
}

// siteKnowledge is that of one site.
type siteKnowledge struct {
	known     *sketch.Seen // paths served in normal traffic
	familiar  *sketch.Seen // client programs of at least two normal clients
	sure      pathSet      // paths that at least two clients were served, their agents and query keys
	decisions []*decision  // in force, of this and earlier incidents: those on signatures
	scored    scoredList   // and those on clients
	troubled  int64        // unix second in which the open incident began, 0 where there is none

	news siteNews
	twin *siteKnowledge // of the branch

	holders   int  // counters and detectors here that have the site
	elsewhere bool // a detector that told of it has it
}

// siteNews is what was learned since it was last told.
type siteNews struct {
	paths, programs, sure []uint64
	decided               bool // the decisions, or the incident, are others
}

// NewKnowledge knows nothing yet.
func NewKnowledge() *Knowledge { return &Knowledge{sites: make(map[string]*siteKnowledge)} }

// has reports whether anything is known of a site.
func (k *Knowledge) has(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.sites[name]
	return ok
}

// of is what is known of a site. Whoever has the site holds it, see hold.
func (k *Knowledge) of(name string) *siteKnowledge {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.locked(name)
}

// locked is of for who has the lock.
func (k *Knowledge) locked(name string) *siteKnowledge {
	s, ok := k.sites[name]
	if !ok {
		s = &siteKnowledge{known: sketch.NewSeen(knownMax), familiar: sketch.NewSeen(familiarMax)}
		k.sites[name] = s
		k.names = append(k.names, name)
	}
	return s
}

// learnPath and learnProgram add to what a site knows.
func (k *Knowledge) learnPath(s *siteKnowledge, path uint64) {
	k.lesson(s, lessonPath, path)
	if !s.known.Add(path) && k.noting {
		s.news.paths = append(s.news.paths, path)
	}
}

func (k *Knowledge) learnProgram(s *siteKnowledge, program uint64) {
	k.lesson(s, lessonProgram, program)
	if !s.familiar.Add(program) && k.noting {
		s.news.programs = append(s.news.programs, program)
	}
}

func (k *Knowledge) learnSure(s *siteKnowledge, path uint32) {
	k.lesson(s, lessonSure, uint64(path))
	if s.sure.add(path) && k.noting {
		s.news.sure = append(s.news.sure, uint64(path))
	}
}

// noLonger marks a hash that is sure no more, where sure ones are told: they are of 32 bits.
const noLonger = 1 << 32

func (k *Knowledge) forgetSure(s *siteKnowledge, path uint32) {
	k.lesson(s, lessonSure, noLonger|uint64(path))
	if s.sure.remove(path); k.noting {
		s.news.sure = append(s.news.sure, noLonger|uint64(path))
	}
}

// learnSure takes what was told of one that is sure, or is no longer.
func (s *siteKnowledge) learnSure(told uint64) {
	if told >= noLonger {
		s.sure.remove(uint32(told))
		return
	}
	s.sure.add(uint32(told))
}

// Bounds of a message of knowledge.
const (
	knowledgeVersion = 2
	knowledgeLeft    = 3                      // in its place: the sites that follow are gone
	knowledgeFull    = schemas.MaxMessage / 2 // bytes, from which on another is begun
	knowledgeValues  = 1 << 17                // paths or programs of one site in one message
)

// ErrKnowledge is wrapped by every error about knowledge that does not hold together.
var ErrKnowledge = errors.New("malformed knowledge")

// Changes tells what was learned since it was last asked, in messages for Apply: none
// where nothing was.
func (k *Knowledge) Changes() (messages [][]byte) {
	w := &state.Writer{}
	flush := func() {
		if len(w.Bytes) > 0 {
			messages, w = append(messages, w.Bytes), &state.Writer{}
		}
	}
	messages, k.left = writeLeft(nil, k.left), nil
	for _, name := range k.names {
		s := k.sites[name]
		if len(s.news.paths)+len(s.news.programs)+len(s.news.sure) == 0 && !s.news.decided {
			continue
		}
		if 5*len(s.news.sure) > knowledgeFull/2 { // a list of pages was given up
			flush()
		}
		if len(w.Bytes) == 0 {
			w.Uint(knowledgeVersion)
		}
		w.Text(name)
		s.news.write(w)
		s.writeOpen(w)
		s.news = siteNews{}
		if len(w.Bytes) > knowledgeFull {
			flush()
		}
	}
	flush()
	return messages
}

func (n *siteNews) write(w *state.Writer) {
	for _, list := range [][]uint64{n.paths, n.programs, n.sure} {
		w.Uint(uint64(len(list)))
		for _, hash := range list {
			w.Uint(hash)
		}
	}
}

func (s *siteKnowledge) writeOpen(w *state.Writer) {
	w.Int(s.troubled)
	w.Uint(uint64(len(s.decisions) + len(s.scored.list)))
	for _, list := range [][]*decision{s.decisions, s.scored.list} {
		for _, d := range list {
			id := d.ID
			if d.Scope == schemas.ScopeClient || d.ofClient() {
				id = "" // there are many, and nobody is told which it was
			}
			w.Text(id)
			w.Text(d.Probes)
			w.Text(string(d.Action))
			w.Bool(d.signature != nil) // a score is told by its text: who knows none takes it for a client that nobody is
			w.Text(d.Value)
		}
	}
}

// Apply learns what Changes told. It may be told twice, and in any order but for what is
// open and in force, and what is known for sure, of which the last told counts. What does not hold together is refused
// with an error that wraps ErrKnowledge; a part of it may have been learned.
func (k *Knowledge) Apply(message []byte) error {
	r := state.NewReader(message)
	switch r.Uint(math.MaxUint32) {
	case knowledgeVersion:
	case knowledgeLeft:
		k.applyLeft(r)
	default:
		r.Fail("it is of another version")
	}
	for r.Err() == nil && r.More() {
		name := r.Text(schemas.MaxSite)
		var n siteNews
		for _, list := range []*[]uint64{&n.paths, &n.programs, &n.sure} {
			for range r.Count(knowledgeValues) {
				*list = append(*list, r.Uint(math.MaxUint64))
			}
		}
		troubled, decisions := r.Int(), readDecisions(r)
		if r.Err() == nil {
			k.apply(name, &n, troubled, decisions)
		}
	}
	if r.Err() != nil {
		return fmt.Errorf("%w: %w", ErrKnowledge, r.Err())
	}
	return nil
}

func (k *Knowledge) apply(name string, n *siteNews, troubled int64, decisions []*decision) {
	s := k.told(name)
	k.data.Lock()
	defer k.data.Unlock()
	for _, path := range n.paths {
		s.known.Add(path)
	}
	for _, program := range n.programs {
		s.familiar.Add(program)
	}
	for _, path := range n.sure {
		s.learnSure(path)
	}
	s.troubled = troubled
	s.setDecisions(decisions)
}

// setDecisions puts decisions in force in the place of those before.
func (s *siteKnowledge) setDecisions(all []*decision) {
	s.decisions, s.scored = nil, scoredList{}
	for _, d := range all {
		if d.ofClient() {
			s.scored.add(d)
		} else {
			s.decisions = append(s.decisions, d)
		}
	}
}

func readDecisions(r *state.Reader) (out []*decision) {
	for range r.Count(maxDecisions + maxScored) {
		d := &decision{}
		d.ID, d.Probes = r.Text(schemas.MaxID), r.Text(schemas.MaxID)
		d.Action = schemas.Action(r.Text(schemas.MaxID))
		isSignature := r.Bool()
		d.Value = r.Text(schemas.MaxSentence + schemas.MaxSignatureTraits*4*schemas.MaxText)
		var err error
		if isScore := strings.Contains(d.Value, " of "); r.Err() == nil && isScore && schemas.IsScore(d.Value) {
			d.score, err = schemas.ParseScore(d.Value)
		} else if r.Err() == nil && isSignature {
			d.signature, err = schemas.ParseSignature(d.Value)
		} else if prefix, err := netip.ParsePrefix(d.Value); err == nil {
			d.prefix = prefix
		}
		if err == nil { // else it is of a newer weir: what else is told is taken all the same
			out = append(out, d)
		}
	}
	return out
}

// Snapshot appends all that is known, for Restore.
func (k *Knowledge) Snapshot(w *state.Writer) error {
	w.Uint(knowledgeVersion)
	w.Uint(uint64(len(k.names)))
	for _, name := range k.names {
		s := k.sites[name]
		w.Text(name)
		for _, f := range []*sketch.Seen{s.known, s.familiar} {
			if err := writeSeen(w, f); err != nil {
				return err
			}
		}
		s.sure.write(w)
		s.writeOpen(w)
	}
	return nil
}

// Restore learns what Snapshot wrote, and forgets the sites that are not there, unless a counter
// here has them.
func (k *Knowledge) Restore(r *state.Reader) error {
	if r.Uint(math.MaxUint32) != knowledgeVersion {
		r.Fail("it is of another version")
	}
	there := make(map[string]bool)
	for range r.Count(1 << 20) {
		name := r.Text(schemas.MaxSite)
		fresh := NewKnowledge().of(name)
		readSeen(r, fresh.known)
		readSeen(r, fresh.familiar)
		fresh.sure.read(r)
		fresh.troubled = r.Int()
		fresh.setDecisions(readDecisions(r))
		if r.Err() != nil {
			break
		}
		there[name] = true
		s := k.told(name)
		k.data.Lock()
		s.known, s.familiar, s.sure = fresh.known, fresh.familiar, fresh.sure
		s.troubled, s.decisions, s.scored = fresh.troubled, fresh.decisions, fresh.scored
		k.data.Unlock()
	}
	if r.Err() != nil {
		return fmt.Errorf("%w: %w", ErrKnowledge, r.Err())
	}
	k.only(there)
	return nil
}

// edgesRefuse reports whether edges answer so to what they stop. Applications do, too.
func edgesRefuse(status uint16) bool {
	return status == 403 || status == 429 || status == 503 || status == 444
}

// infer is what an edge did to a request whose log does not say, and for which decision:
// where one in force matches, and it was refused as edges refuse what they stop; or
// where one matches and the client is one of its probes. said is what lists would say of
// the request, probing whether its client is a probe under a key.
func (s *siteKnowledge) infer(r *schemas.Request, refused bool, probing func(key string) bool, said func(schemas.Listed) string) (schemas.Action, []byte) {
	if d := s.scored.of(r.Client); d != nil && refused {
		return d.Action, nil
	}
	if len(s.decisions) == 0 {
		return schemas.Allow, nil
	}
	if !refused && !probing(s.probeKey()) {
		return schemas.Allow, nil
	}
	var scratch []byte
	for _, d := range s.decisions {
		match := false
		if d.prefix.IsValid() {
			match = d.prefix.Contains(r.Client)
		} else if d.score != nil {
			match, scratch = adds(d.score, r, said, scratch)
		} else {
			match, scratch = matches(d.signature, r, said, scratch)
		}
		switch {
		case match && refused:
			return d.Action, nil
		case match && d.Probes != "":
			return schemas.Allow, []byte(d.ID)
		}
	}
	return schemas.Allow, nil
}

// probeKey is by what signatures and prefixes in force draw those whom they let through: all have one key, or
// none. "" is nobody.
func (s *siteKnowledge) probeKey() string {
	if n := len(s.decisions); n > 0 {
		return s.decisions[n-1].Probes
	}
	return ""
}

// matches is Signature.Match, with what lists say.
func matches(signature schemas.Signature, r *schemas.Request, said func(schemas.Listed) string, scratch []byte) (bool, []byte) {
	var memory [schemas.MaxSignatureTraits]schemas.TraitValue
	rest := memory[:0]
	for _, t := range signature {
		of, listed := schemas.ListedOf(t.Trait)
		if listed && said(of) != t.Value {
			return false, scratch
		}
		if !listed {
			rest = append(rest, t)
		}
	}
	if len(rest) == 0 {
		return len(signature) > 0, scratch
	}
	return schemas.Signature(rest).Match(r, scratch)
}
