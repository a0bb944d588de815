package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
)

// takeKnown takes which paths a site is known to have, for the edges: the newest list counts.
func (d *detecting) takeKnown(at time.Time, list *schemas.SitePaths) {
	if d.known == nil {
		d.known = make(map[string]schemas.PathsPart)
	}
	d.known[list.Site] = schemas.PathsPart{Token: d.token, Version: uint64(at.UnixMilli()), Time: at, SitePaths: *list}
}

// sendKnown publishes the lists, before the decisions that need them: detector ->
// weir.edges.paths -> edges. What cannot be published stays, and is tried again; an edge
// without a list does nothing of what asks for it.
func (d *detecting) sendKnown(ctx context.Context) {
	for _, site := range slices.Sorted(maps.Keys(d.known)) {
		messages, err := schemas.EncodePaths(d.known[site])
		for part, message := range messages {
			if err == nil {
				err = d.bus.Publish(ctx, schemas.SubjectPaths(site, part+1), "", message)
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				d.log.Warn("edges were not told which paths a site has", "site", site, "error", err)
			}
			return
		}
		delete(d.known, site)
	}
}

// followPaths tells this machine's nginx which paths the sites have.
func (r *enforcing) followPaths(ctx context.Context) error {
	b, err := r.bus.open()
	if err != nil {
		return err
	}
	var book schemas.PathsBook
	return b.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamEdges, Subjects: []string{schemas.SubjectPathsAll}, Reader: "paths"},
		func(_ context.Context, m *bus.Message) error {
			part, err := schemas.DecodePaths(m.Data())
			if err != nil || m.Subject() != schemas.SubjectPaths(part.Site, part.Part) {
				r.log.Warn("a list of known paths was passed over", "sequence", m.Sequence(), "error", err)
				return nil
			}
			if list := book.Take(part); list != nil {
				r.enforcer.Paths(list)
			}
			return nil
		})
}
