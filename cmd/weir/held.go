package main

import (
	"fmt"
	"time"

	"github.com/weir-project/weir/schemas"
)

// lack is a part of an edge that does not hold a decision which it is to hold, and why.
type lack struct {
	Edge   string `json:"edge"`
	Part   string `json:"part"`
	Reason string `json:"reason"`
}

// holding is what edges hold of decisions, as far as they say: which of them it is where a part holds some and
// not others they say of the first that it cannot carry, and of no other. The zero value knows nothing.
type holding struct {
	edges []*edgeSeen
	now   time.Time
}

// lacks are the parts that do not hold a decision, and whether there is no part that holds it; nothing where it has ended.
func (h *holding) lacks(e *schemas.Event) (list []lack, nowhere bool) {
	if e.Decision == nil || ended(e, h.now) {
		return nil, false
	}
	able := 0
	for _, seen := range h.edges {
		if seen.EdgeReport == nil || seen.Off || h.now.Sub(seen.Received) > edgeGone {
			continue
		}
		for i := range seen.Parts {
			p := &seen.Parts[i]
			if !holds(p.Name, e.Decision) {
				continue
			}
			able++
			if reason, lacking := lackOf(p, e.ID); lacking {
				list = append(list, lack{seen.Edge, p.Name, reason})
			}
		}
	}
	return list, able > 0 && len(list) == able
}

// nowhere is how many of the decisions no edge holds.
func (h *holding) nowhere(events []schemas.Event) (n int) {
	for i := range events {
		if _, none := h.lacks(&events[i]); none {
			n++
		}
	}
	return n
}

// holds reports whether a part can hold a decision: all but nginx know addresses alone, and a firewall asks nobody.
func holds(part string, d *schemas.Decision) bool {
	if part == partNftables && d.Action != schemas.Block && d.Action != schemas.Allow {
		return false
	}
	return part == partNginx || d.Scope == schemas.ScopeClient || d.Scope == schemas.ScopePrefix
}

// lackOf is why a part does not hold a decision; lacking is false where it does or nobody knows.
func lackOf(p *schemas.EdgePart, id string) (reason string, lacking bool) {
	for _, l := range p.Without {
		if l.ID == id {
			return l.Reason, true
		}
	}
	return p.Error, p.Loaded == 0 && p.Lacks()
}

// of is where a decision stops nothing.
func (h *holding) of(e *schemas.Event) notHeld {
	list, nowhere := h.lacks(e)
	return notHeld{list, nowhere}
}

// incidentHeld is an incident with how many of its decisions that are in force are held at no edge.
type incidentHeld struct {
	schemas.Event
	InForce int `json:"decisions_in_force"`
	Nowhere int `json:"decisions_held_nowhere"`
}

// withHeld counts for each incident. What a person has accepted is weir's own once more, and counts in its place: in mode
// propose edges have that alone.
func withHeld(incidents, decisions []schemas.Event, edges *holding) []incidentHeld {
	list, at := make([]incidentHeld, len(incidents)), make(map[string]int, len(incidents))
	for i, e := range incidents {
		list[i], at[e.Incident] = incidentHeld{Event: e}, i
	}
	type same struct {
		incident string
		action   schemas.Action
		holder
	}
	accepted := make(map[same]bool)
	for i := range decisions {
		if e := &decisions[i]; e.Incident != "" && e.Origin != schemas.OriginWeir && !ended(e, edges.now) {
			accepted[same{e.Incident, e.Action, holderOf(e)}] = true
		}
	}
	for i := range decisions {
		e := &decisions[i]
		of, ok := at[e.Incident]
		if !ok || ended(e, edges.now) || e.Origin == schemas.OriginWeir && accepted[same{e.Incident, e.Action, holderOf(e)}] {
			continue
		}
		list[of].InForce++
		if _, nowhere := edges.lacks(e); nowhere {
			list[of].Nowhere++
		}
	}
	return list
}

// line says so of an incident; "" where everything is held.
func (i *incidentHeld) line() string {
	if i.Nowhere == 0 {
		return ""
	}
	return fmt.Sprintf("of its %s in force no edge holds %s, which stop nothing: weir decisions list says why.", plural(i.InForce, "decision"), count(i.Nowhere))
}
