package nginx

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// Measure is what nginx needs of one decision.
type Measure struct {
	ID      string
	Action  schemas.Action
	Scope   schemas.Scope
	Value   string   // as in schemas.Decision
	Sites   []string // empty is every site
	Expires time.Time
	Hand    bool   // a person took it: it counts for regulars and for probes too
	Probes  string // the key by which clients are let through, see schemas.Probe; "": none are
}

// MeasureOf takes a measure out of an event about a decision; ok is false for
// every other event.
func MeasureOf(e schemas.Event) (m Measure, ok bool) {
	if e.Decision == nil {
		return Measure{}, false
	}
	d := e.Decision
	return Measure{ID: d.ID, Action: d.Action, Scope: d.Scope, Value: d.Value, Sites: e.Sites, Expires: d.Expires, Hand: d.Origin != "" && d.Origin != "weir", Probes: d.Probes}, true
}

// Check says why nginx can never carry a measure whole, by itself; nil where it can, or could if it had the
// lists of the measure's sites.
func Check(m Measure) error {
	rest := m
	if signature, err := schemas.ParseSignature(m.Value); m.Scope == schemas.ScopeSignature && err == nil {
		signature = slices.DeleteFunc(signature, func(t schemas.TraitValue) bool { _, listed := schemas.ListedOf(t.Trait); return listed })
		if len(signature) == 0 {
			rest.Scope, rest.Value = schemas.ScopeSite, "site"
		} else {
			rest.Value = signature.String()
		}
	}
	if m.Scope == schemas.ScopeScore {
		p, err := prepareScore(m.Value)
		if err == nil {
			err = p.left
		}
		if err != nil {
			return err
		}
		rest.Scope, rest.Value = schemas.ScopeSite, "site"
	}
	l := collect(Set{Measures: []Measure{rest}}, time.Time{})
	if len(l.refused) > 0 {
		return errors.New(l.refused[0].Reason)
	}
	return nil
}

// Set is what is to be in force.
type Set struct {
	Measures []Measure      // in any order
	Allow    []netip.Prefix // never touched, whatever the measures say
	// AllowPaths are, by site, paths that no measure touches: exact, or all below where they end in "/".
	AllowPaths map[string][]string
	// Regulars pass before every measure that is not Hand; nil: none are known.
	Regulars *RegularList
	// Lists are what is known of sites. A measure that asks for what is known of a site without a list is
	// refused.
	Lists Lists
	// Machines are, by site, rules of what machines call: no measure on the whole site
	// touches that.
	Machines map[string][]profile.Rule
	// Limit says that the snippets have a limit for what a measure throttles because the site is
	// not known to have it (SnippetOptions.UnknownRate): such a measure is left to that.
	Limit bool
}

// Refusal is a measure that nginx cannot carry as it was meant. It is not
// enforced; the others are.
type Refusal struct {
	ID     string
	Reason string
}

// maxID bounds a decision's id, in bytes.
const maxID = 80

// checkID refuses what could mean anything to nginx's configuration language or
// to the regular expressions of the verdict chain: ids stand in map values.
func checkID(id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("an id of %d bytes, want 1 to %d", len(id), maxID)
	}
	for _, c := range []byte(id) {
		if !plain(c) && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("the id %q: want letters, digits, '.', '_' and '-'", id)
		}
	}
	return nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// siteOf checks a site's name: what nginx's $host can be.
func siteOf(name string) (string, error) {
	if name == "" || len(name) > schemas.MaxSite {
		return "", fmt.Errorf("a site's name of %d bytes, want 1 to %d", len(name), schemas.MaxSite)
	}
	for _, c := range []byte(name) {
		if c >= 'A' && c <= 'Z' {
			return "", fmt.Errorf("site %q: nginx's $host is lower case", name)
		}
		if c <= ' ' || c == 0x7f {
			return "", fmt.Errorf("site %q: holds a space or a control character", name)
		}
	}
	return name, nil
}
