package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Route sends some messages to some channels. An empty list is all.
type Route struct {
	Sites    []string // names, or "*.example.org"; a message without sites matches every route
	Severity Severity // the least; empty is all
	Kinds    []Kind
	Channels []string
}

// Quiet is when what can wait waits. From and To are minutes of the day; equal is never.
type Quiet struct {
	From, To int
	Zone     *time.Location // nil is UTC
	// Hold is the most urgent that waits.
	Hold Severity
}

// until is when a quiet time that holds at a moment ends; ok is false where none does.
func (q Quiet) until(now time.Time) (end time.Time, ok bool) {
	if q.From == q.To {
		return time.Time{}, false
	}
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	local := now.In(zone)
	minute := local.Hour()*60 + local.Minute()
	within := minute >= q.From && minute < q.To
	if q.From > q.To {
		within = minute >= q.From || minute < q.To
	}
	if !within {
		return time.Time{}, false
	}
	end = time.Date(local.Year(), local.Month(), local.Day(), q.To/60, q.To%60, 0, 0, zone)
	for !end.After(now) {
		end = end.AddDate(0, 0, 1)
	}
	return end, true
}

func (r *Route) kind(k Kind) bool {
	return len(r.Kinds) == 0 || slices.Contains(r.Kinds, k)
}

// about reports whether the route is for a message's severity and sites. Sites that only
// somebody's Host header knows match "*" as others do.
func (r *Route) about(m *Message) bool {
	if r.Severity != "" && m.Severity.rank() < r.Severity.rank() {
		return false
	}
	if len(r.Sites) == 0 || len(m.Sites) == 0 {
		return true
	}
	for _, site := range m.Sites {
		for _, pattern := range r.Sites {
			if matchSite(pattern, plain(site)) {
				return true
			}
		}
	}
	return false
}

func matchSite(pattern, site string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*."); ok {
		return strings.HasSuffix(site, "."+suffix)
	}
	return pattern == "*" || pattern == site
}

// channelsOf says who is to have a message. Who has had one of the thread has the others
// too, whatever their severity: nobody is left with an alarm that never ended.
func (n *Notifier) channelsOf(m *Message) []string {
	var names []string
	t := n.state.Threads[m.Thread]
	for _, name := range n.names {
		if public(n.o.Channels[name].Type) != (m.Kind == Public) {
			continue
		}
		wanted := m.Kind == Public || len(n.o.Routes) == 0
		for i := range n.o.Routes {
			r := &n.o.Routes[i]
			if slices.Contains(r.Channels, name) && r.kind(m.Kind) && (r.about(m) || t != nil && t.Told[name]) {
				wanted = true
			}
		}
		if wanted {
			names = append(names, name)
		}
	}
	return names
}

// public reports whether a type of channel is for everybody: it gets what a person has
// published and nothing else.
func public(kind string) bool { return kind == "mastodon" }

// checkRoutes says which route cannot work.
func checkRoutes(routes []Route, channels map[string]ChannelOptions) error {
	for i, r := range routes {
		where := fmt.Sprintf("routes[%d]", i)
		if len(r.Channels) == 0 {
			return fmt.Errorf("%s: without channels", where)
		}
		for _, name := range r.Channels {
			c, ok := channels[name]
			if !ok {
				return fmt.Errorf("%s.channels: there is no channel %q", where, name)
			}
			if public(c.Type) {
				return fmt.Errorf("%s.channels: %s is for the public, and gets what a person publishes: leave it out", where, name)
			}
		}
		for _, k := range r.Kinds {
			if !slices.Contains(Kinds(), string(k)) {
				return fmt.Errorf("%s.kinds: there is no %q; one of %s", where, k, strings.Join(Kinds(), ", "))
			}
		}
		if r.Severity != "" && !slices.Contains(Severities(), string(r.Severity)) {
			return fmt.Errorf("%s.severity: there is no %q; one of %s", where, r.Severity, strings.Join(Severities(), ", "))
		}
	}
	return nil
}

// ParseClock reads "22:00" as minutes of the day.
func ParseClock(text string) (int, error) {
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, errors.New("want a time of day such as 22:00")
	}
	return t.Hour()*60 + t.Minute(), nil
}
