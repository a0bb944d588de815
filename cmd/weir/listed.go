package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
)

// knownOf is what a list is of.
type knownOf struct {
	site string
	of   schemas.Listed
}

// takeKnown takes what is known of a site, for the edges: the newest list counts.
func (d *detecting) takeKnown(at time.Time, list *schemas.SiteList) {
	if d.known == nil {
		d.known = make(map[knownOf]schemas.ListPart)
	}
	d.known[knownOf{list.Site, list.Of}] = schemas.ListPart{Token: d.token, Version: uint64(at.UnixMilli()), Time: at, SiteList: *list}
}

// sendKnown publishes the lists, before the decisions that need them: detector ->
// weir.edges.paths, .agents, .queries -> edges. What cannot be published stays, and is tried again; an edge
// without a list does nothing of what asks for it.
func (d *detecting) sendKnown(ctx context.Context) {
	var all []knownOf
	for of := range d.known {
		all = append(all, of)
	}
	slices.SortFunc(all, func(a, b knownOf) int { return cmp.Or(cmp.Compare(a.site, b.site), cmp.Compare(a.of, b.of)) })
	for _, of := range all {
		messages, err := schemas.EncodeList(d.known[of])
		for part, message := range messages {
			if err == nil {
				err = d.bus.Publish(ctx, schemas.SubjectOfList(of.of, of.site, part+1), "", message)
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				d.log.Warn("edges were not told what is known of a site", "site", of.site, "of", of.of, "error", err)
			}
			return
		}
		delete(d.known, of)
	}
}

// followKnown tells this machine's nginx what is known of the sites.
func (r *enforcing) followKnown(ctx context.Context) error {
	b, err := r.bus.open()
	if err != nil {
		return err
	}
	var book schemas.ListBook
	return b.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamEdges, Subjects: schemas.SubjectsOfLists(), Reader: "known"},
		func(_ context.Context, m *bus.Message) error {
			part, err := schemas.DecodeList(m.Data())
			if err != nil || m.Subject() != schemas.SubjectOfList(part.Of, part.Site, part.Part) {
				r.log.Warn("a list of what is known of a site was passed over", "sequence", m.Sequence(), "error", err)
				return nil
			}
			if list := book.Take(part); list != nil {
				r.enforcer.Known(list)
			}
			return nil
		})
}
