package main

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/weir-project/weir/sinks/statuspage"
)

// next says what to try on what the demo leaves.
func (d *demonstration) next(ctx context.Context) {
	events, err := d.control.events(ctx, "/api/events")
	if err != nil {
		return
	}
	incident, decision := "", ""
	for _, e := range events {
		if e.Decision != nil && e.ID != "" && e.Origin == "weir" {
			decision = e.ID
		} else if e.Decision == nil && e.Kind.Attack() {
			incident = e.Incident
		}
	}
	weir := filepath.Base(d.self)
	if relative, err := filepath.Rel(mustGetwd(), d.self); err == nil && !strings.HasPrefix(relative, "..") {
		weir = relative
	}
	d.sayStatus(ctx)
	d.say("\nTry next, on what it leaves:")
	if incident != "" {
		d.say("  %s incidents --data %s", weir, d.path("data"))
	}
	if decision != "" {
		d.say("  %s why --data %s %s", weir, d.path("data"), incident)
		d.say("  %s why --data %s %s", weir, d.path("data"), decision)
	}
	d.say("  %s sql --data %s \"SELECT action, count(), uniqExact(client) FROM requests GROUP BY action\"", weir, d.path("data"))
}

// sayStatus says where the status page is, and what waits to be published on it.
func (d *demonstration) sayStatus(ctx context.Context) {
	d.say("\nThe status page is %s", d.path("status/index.html"))
	answer, err := d.control.do(ctx, http.MethodGet, "/api/status", nil)
	var posts []statuspage.Listed
	if err != nil || json.Unmarshal(answer, &posts) != nil {
		return
	}
	for i := range posts {
		if posts[i].Standing == statuspage.Draft {
			d.say("This draft waits for a person (weir status publish, while weir runs):")
			if d.Output == "text" {
				printWords(d.screen.out, statuspage.Words{"en": posts[i].NewTitle.In("en", "")}, statuspage.Words{"en": posts[i].NewText.In("en", "")})
			}
			return
		}
	}
}
