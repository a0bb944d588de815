package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

// lacksOf are nginx's refusals as an edge reports them.
func lacksOf(refused []nginx.Refusal) (lacks []schemas.EdgeLack) {
	for _, r := range refused[:min(len(refused), maxLacksTold)] {
		lacks = append(lacks, schemas.EdgeLack{ID: r.ID, Reason: r.Reason})
	}
	return lacks
}

// maxLacksTold is how many decisions that an edge cannot carry are named.
const maxLacksTold = 32

// reportedEdges are the edges as they have said they are; nil where that is not known, as weir is not running here.
func reportedEdges(ctx context.Context, data string) (edges []*edgeSeen) {
	body, err := newControlClient(data).do(ctx, http.MethodGet, "/api/edges", nil)
	if err != nil || json.Unmarshal(body, &edges) != nil {
		return nil
	}
	return edges
}

// notLoaded says of decisions which of them edges do not hold: those that one cannot carry, and all that one could not
// take, as nginx refused the files with them in. What no edge holds stops nothing.
func notLoaded(edges []*edgeSeen, shown []schemas.Event, now time.Time) (lines []string) {
	asked := make(map[string]bool)
	for i := range shown {
		if shown[i].Decision != nil && !ended(&shown[i], now) {
			asked[shown[i].ID] = true
		}
	}
	if len(asked) == 0 {
		return nil
	}
	for _, e := range edges {
		if e.EdgeReport == nil || e.Off || now.Sub(e.Received) > edgeGone {
			continue
		}
		if len(lines) >= maxLacksTold {
			return append(lines[:maxLacksTold], "And more at other edges: GET /api/edges has them.")
		}
		for i := range e.Parts {
			p := &e.Parts[i]
			at := fmt.Sprintf("%s of edge %s", printable(p.Name, 40), printable(e.Edge, 80))
			for _, lack := range p.Without {
				if asked[lack.ID] {
					lines = append(lines, fmt.Sprintf("NOT IN FORCE at %s: it cannot carry %s: %s", at, printable(lack.ID, 60), printable(lack.Reason, 200)))
				}
			}
			if p.Lacks() {
				lines = append(lines, fmt.Sprintf("%s holds %s of %s decisions%s", at, count(uint64(p.Loaded)), count(uint64(p.Intended)), because(p.Error)))
			}
		}
	}
	return lines
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + printable(reason, 300)
}
