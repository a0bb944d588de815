package nginx

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// File is one generated file.
type File struct {
	Name    string // within the directory
	Content []byte
}

// Files is one rendering.
type Files struct {
	// Current is the content of current.conf.
	Current []byte
	// Lists are the files that Current includes, directly or not, named by
	// their content.
	Lists []File
	// InForce counts the measures that the files carry, by scope.
	InForce map[schemas.Scope]int
	// Refused are those that they do not, ordered by id.
	Refused []Refusal
	// Main is that of the lists which Current includes itself; empty where nothing is in force.
	Main string
	// Version names the content, the lease left out.
	Version string
}

// Total is the number of measures that the files carry.
func (f Files) Total() int {
	n := 0
	for _, count := range f.InForce {
		n += count
	}
	return n
}

// CurrentName is the one generated file whose name is stable.
const CurrentName = "current.conf"

// noVersion is the version where nothing is in force, as in http.conf's default.
const noVersion = "none"

// nothing is current.conf where no measure is in force: the defaults of
// http.conf hold.
const nothing = "# weir: nothing is in force.\n"

// Render turns what is to be in force into nginx's files, for the directory dir
// (absolute, because nginx reads other paths from where its main file is).
// Expired measures (at lease.From or before) are left out; what cannot be carried
// exactly is refused. An error is about dir or lease alone.
func Render(set Set, dir string, lease Lease, now time.Time) (Files, error) {
	if err := checkDir(dir); err != nil {
		return Files{}, err
	}
	span, err := lease.pattern()
	if err != nil {
		return Files{}, err
	}
	l := collect(set, now)
	files := Files{InForce: l.inForce, Refused: l.refused}
	if files.Total() == 0 {
		files.Current, files.Version = []byte(nothing), noVersion
		return files, nil
	}
	include := func(name string, content []byte) string {
		if len(content) == 0 {
			return ""
		}
		file := File{Name: versioned(name, content), Content: content}
		files.Lists = append(files.Lists, file)
		return fmt.Sprintf("    include %s;\n", filepath.Join(dir, file.Name))
	}
	var b bytes.Buffer
	b.WriteString("# Written by weir; a change here is lost.\n")
	l.write(&b, "weir", set, include)
	l.writeVerdict(&b, "weir", set, include)
	main := File{Name: versioned("decisions.conf", b.Bytes()), Content: b.Bytes()}
	files.Lists = append(files.Lists, main)
	files.Version = strings.TrimSuffix(strings.TrimPrefix(main.Name, "decisions-"), ".conf")
	files.Main = main.Name
	files.Current = current(dir, files.Main, files.Version, lease, span)
	return files, nil
}

// current is the content of current.conf: a lease, with its pattern, on a version.
func current(dir, main, version string, lease Lease, span string) []byte {
	return fmt.Appendf(nil, "# Written by weir; a change here is lost.\n"+
		"# The lease: from %s until %s nginx enforces what follows, then it lets go by itself.\n"+
		"map $msec $weir_lease {\n    default 0;\n    \"~%s\" 1;\n}\n"+
		"map \"\" $weir_version {\n    default %s;\n}\ninclude %s;\n",
		lease.From.UTC().Format(time.RFC3339), lease.Until.UTC().Format(time.RFC3339),
		span, version, filepath.Join(dir, main))
}

// versioned puts a hash of the content into a file's name.
func versioned(name string, content []byte) string {
	sum := sha256.Sum256(content)
	extension := filepath.Ext(name)
	return fmt.Sprintf("%s-%x%s", strings.TrimSuffix(name, extension), sum[:8], extension)
}

// checkDir refuses a directory that cannot stand in nginx's include as it is.
func checkDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("nginx directory %q: want an absolute path", dir)
	}
	for _, c := range []byte(dir) {
		if !plain(c) && !strings.ContainsRune("/._-+@:,=~", rune(c)) {
			return fmt.Errorf("nginx directory %q: holds %q, which nginx's include would take for something else", dir, c)
		}
	}
	return nil
}

// lists are the measures of a set, sorted into what nginx makes of them.
type lists struct {
	sets       siteSets
	clients    clientList
	prefixes   prefixList
	signatures *signatureList
	sites      map[string][]hit
	inForce    map[schemas.Scope]int
	hand       bool   // some were taken by persons
	probes     string // the key of those that let probes through, "" where none do
	known      Lists
	asked      [schemas.NumListed]bool // some ask for it
	limit      bool                    // what throttles unknown ones is left to limit_req
	limited    bool                    // and some does
	refused    []Refusal
}

func collect(set Set, now time.Time) *lists {
	measures := set.Measures
	l := &lists{
		known:      set.Lists,
		limit:      set.Limit,
		sets:       newSiteSets(measures),
		prefixes:   prefixList{},
		signatures: newSignatureList(),
		sites:      map[string][]hit{},
		inForce:    map[schemas.Scope]int{},
	}
	var signatures []*Measure
	for i := range measures {
		m := &measures[i]
		switch {
		case !m.Expires.After(now):
			continue
		case m.Scope == schemas.ScopeSignature || m.Scope == schemas.ScopeScore:
			signatures = append(signatures, m) // their order numbers the values
			continue
		}
		l.take(m)
	}
	sort.Slice(signatures, func(i, j int) bool { return signatures[i].ID < signatures[j].ID })
	for _, m := range signatures {
		l.take(m)
	}
	sort.Slice(l.refused, func(i, j int) bool { return l.refused[i].ID < l.refused[j].ID })
	return l
}

func (l *lists) take(m *Measure) {
	if err := l.add(m); err != nil {
		l.refused = append(l.refused, Refusal{ID: m.ID, Reason: err.Error()})
		return
	}
	l.inForce[m.Scope]++
	l.hand = l.hand || m.Hand
	if !m.Hand && m.Scope != schemas.ScopeClient { // of several keys, which only another processor's can be, one
		l.probes = max(l.probes, m.Probes)
	}
}

func (l *lists) add(m *Measure) error {
	if err := checkID(m.ID); err != nil {
		return err
	}
	if err := schemas.CheckProbeKey(m.Probes); err != nil {
		return err
	}
	if m.Action.Severity() == 0 {
		return fmt.Errorf("the action %q is none of throttle, challenge, block", m.Action)
	}
	number, err := l.sets.number(m.Sites)
	if err != nil {
		return err
	}
	h := hit{sites: number, hand: m.Hand, action: m.Action, id: m.ID}
	switch m.Scope {
	case schemas.ScopeClient, schemas.ScopePrefix:
		network, err := (&schemas.Decision{Scope: m.Scope, Value: m.Value}).Network()
		if err != nil {
			return err
		}
		if m.Scope == schemas.ScopePrefix {
			l.prefixes.add(network, h)
		} else {
			l.clients.add(network.Addr(), h)
		}
	case schemas.ScopeSignature:
		signature, keys, err := prepare(m.Value)
		if err != nil {
			return err
		}
		if asksAnything(signature) {
			if err := l.ask(signature.Asks, m.Sites); err != nil {
				return err
			}
			h.limited = l.limit && m.Action == schemas.Throttle && slices.Contains(signature, schemas.TraitValue{Trait: schemas.TraitPathKnown, Value: schemas.PathUnknown})
			l.limited = l.limited || h.limited
		}
		l.signatures.add(signature, keys, h)
	case schemas.ScopeScore:
		p, err := prepareScore(m.Value)
		if err != nil {
			return err
		}
		if err := l.ask(p.score.Asks, m.Sites); err != nil {
			return err
		}
		l.signatures.addScore(p, h)
	case schemas.ScopeSite:
		site, err := siteOf(m.Value)
		if err != nil {
			return err
		}
		h.sites = 0 // the value is the site
		l.sites[site] = append(l.sites[site], h)
	default:
		return fmt.Errorf("the scope %q is none of client, prefix, signature, score, site", m.Scope)
	}
	return nil
}

// ask refuses what asks for lists that are not here.
func (l *lists) ask(asks func(schemas.Listed) bool, sites []string) error {
	asked := l.asked
	for of := range schemas.NumListed {
		if !asks(of) {
			continue
		}
		for _, site := range sites {
			if !l.known[of].has(site) {
				return fmt.Errorf("which %s the site %q has is not known here yet", of, site)
			}
		}
		if l.known[of] == nil {
			return fmt.Errorf("no site's known %s are here", of)
		}
		asked[of] = true
	}
	l.asked = asked
	return nil
}

// write defines $<prefix>_by_client: the verdict of all scopes in their order of
// precedence, and $<prefix>_allowed. include brings a list in, in place or as a
// file of its own.
func (l *lists) write(b *bytes.Buffer, prefix string, set Set, include func(name string, content []byte) string) {
	writeAllowedAll(b, prefix, set.Allow, set.AllowPaths)
	l.sets.write(b, prefix)
	l.clients.write(b, prefix, include)
	l.prefixes.write(b, prefix)
	for of, asked := range l.asked {
		if asked {
			l.known[of].write(b, prefix, include)
		}
	}
	l.signatures.write(b, prefix)
	l.writeSites(b, prefix, set.Machines)
	mark := ""
	if l.hand {
		mark = "h?"
	}
	l.writeChoices(b, prefix, "by_", mark)
}

// writeChoices defines the verdicts of the scopes, each that of the next where none counts.
func (l *lists) writeChoices(b *bytes.Buffer, prefix, name, mark string) {
	next := func(scope string) string { return "$" + prefix + "_" + name + scope }
	l.writeChoice(b, prefix, name+"client", mark, fmt.Sprintf("${%s_client4}${%s_client4_tail}${%s_client6}", prefix, prefix, prefix), next("prefix"))
	l.writeChoice(b, prefix, name+"prefix", mark, fmt.Sprintf("${%s_prefix}", prefix), next("signature"))
	l.writeChoice(b, prefix, name+"signature", mark, fmt.Sprintf("${%s_signature}", prefix), next("site"))
	l.writeChoice(b, prefix, name+"site", mark, fmt.Sprintf("${%s_site}", prefix), `""`)
}

// writeSites defines $<prefix>_site: the hits of the request's site, none for what machines
// call there.
func (l *lists) writeSites(b *bytes.Buffer, prefix string, machines map[string][]profile.Rule) {
	var spared []string
	for _, site := range sortedKeys(l.sites) {
		if len(machines[site]) > 0 {
			spared = append(spared, site)
		}
	}
	key := "h$host"
	if len(spared) > 0 {
		for i, site := range spared {
			fmt.Fprintf(b, "map \"$uri?$args\" $%s_machine%d {\n    default \"\";\n", prefix, i)
			for _, rule := range machines[site] {
				value := `""`
				if rule.Of {
					value = "m"
				}
				if pattern, err := keyPattern(rule.Expression); err == nil { // what is longer is no path
					fmt.Fprintf(b, "    %s %s;\n", pattern, value)
				}
			}
			b.WriteString("}\n")
		}
		fmt.Fprintf(b, "map h$host $%s_machine {\n    default \"\";\n", prefix)
		for i, site := range spared {
			fmt.Fprintf(b, "    %s $%s_machine%d;\n", hostKey(site), prefix, i)
		}
		b.WriteString("}\n")
		key = fmt.Sprintf("\"${%s_machine}h$host\"", prefix)
	}
	fmt.Fprintf(b, "map %s $%s_site {\n    default \"\";\n", key, prefix)
	for _, site := range sortedKeys(l.sites) {
		fmt.Fprintf(b, "    %s %s;\n", hostKey(site), appendHits(nil, l.sites[site]))
	}
	b.WriteString("}\n")
}
