package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// modeTable is how far decisions go, by site; that of "" is of all which are not named.
type modeTable map[string]config.Mode

func (t modeTable) of(site string) config.Mode {
	if mode, named := t[site]; named {
		return mode
	}
	return t[""]
}

func modesOf(c config.Config) modeTable {
	t := modeTable{"": c.ModeOf("")}
	for name := range c.Sites {
		t[name] = c.ModeOf(name)
	}
	return t
}

// table are the modes of this moment.
func (m *modes) table() modeTable {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return modesOf(m.current)
}

// most is how many of weir's own decisions may be in force, 0 where nobody knows.
func (m *modes) most() int {
	if m == nil {
		return 0
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.current.Decisions.Max
}

// modesNow are those of the running weir, or else of the configuration.
func modesNow(ctx context.Context, data string, p *program) (modeTable, error) {
	answer, err := newControlClient(data).do(ctx, http.MethodGet, "/api/modes", nil)
	var t modeTable
	if err == nil && json.Unmarshal(answer, &t) == nil && len(t) > 0 {
		return t, nil
	}
	c, err := p.configuration()
	return modesOf(c), err
}

// unenforced are weir's own decisions that are in force in name: no edge holds them, as their sites are observed, or
// wait for a person.
type unenforced struct {
	proposed, observed int
	incidents          []string // of the proposed ones, each once
}

// holder tells decisions that do the same from others.
type holder struct{ scope, value, sites string }

func holderOf(e *schemas.Event) holder {
	return holder{string(e.Scope), e.Value, strings.Join(e.Sites, " ")}
}

// unenforcedOf looks for them among what is in force, which is gone through twice.
func unenforcedOf(events iter.Seq[*schemas.Event], modes modeTable, now time.Time) (u unenforced) {
	if len(modes) == 0 {
		return u
	}
	accepted := make(map[holder]int)
	for e := range events {
		if decisionOf(*e) != "" && e.Incident != "" && e.Origin != schemas.OriginWeir && !ended(e, now) {
			accepted[holderOf(e)] = max(accepted[holderOf(e)], e.Action.Severity())
		}
	}
	for e := range events {
		if decisionOf(*e) == "" || e.Origin != schemas.OriginWeir || ended(e, now) || accepted[holderOf(e)] >= e.Action.Severity() {
			continue
		}
		switch modes.furthest(e.Sites) {
		case config.Propose:
			u.proposed++
			if e.Incident != "" && !slices.Contains(u.incidents, e.Incident) {
				u.incidents = append(u.incidents, e.Incident)
			}
		case config.Observe:
			u.observed++
		}
	}
	return u
}

// each goes through a list.
func each(events []schemas.Event) iter.Seq[*schemas.Event] {
	return func(yield func(*schemas.Event) bool) {
		for i := range events {
			if !yield(&events[i]) {
				return
			}
		}
	}
}

// furthest is the mode that goes furthest of a decision's sites.
func (t modeTable) furthest(sites []string) config.Mode {
	if len(sites) == 0 {
		return t.of("")
	}
	furthest := config.Observe
	for _, site := range sites {
		switch mode := t.of(site); {
		case mode == config.Enforce:
			return mode
		case mode == config.Propose:
			furthest = mode
		}
	}
	return furthest
}

// lines say so, and what a person can do; none where all is enforced.
func (u *unenforced) lines() (lines []string) {
	if u.proposed > 0 {
		what := strings.Join(u.incidents[:min(len(u.incidents), 3)], " ")
		if what == "" {
			what = "DECISION"
		}
		lines = append(lines, fmt.Sprintf("Not enforced, as mode propose waits for a person: %s. To enforce: weir decisions accept %s. To reject: weir decisions rm %s", plural(u.proposed, "decision"), what, what))
	}
	if u.observed > 0 {
		lines = append(lines, fmt.Sprintf("Not enforced, as mode observe only tells: %s. To enforce them all the same: weir decisions accept DECISION (or an INCIDENT)", plural(u.observed, "decision")))
	}
	return lines
}
