package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/sinks/notify"
)

const (
	// sayStrangeAgain is after how long requests for hosts that are no site's are told of again.
	sayStrangeAgain = 5 * time.Minute
	// strangeTold is for how long they must come before people are told, and strangeOver after how long without
	// any it is over. A new site is known after some seven minutes.
	strangeTold, strangeOver = 10 * time.Minute, time.Minute
)

// strangers is what is known of requests for hosts that are no site's. The zero value knows of none. Safe for concurrent use.
type strangers struct {
	mu          sync.Mutex
	since, last time.Time // of the clock; zero for never
	found       processor.Strange
}

func (s *strangers) take(found processor.Strange, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last) > strangeOver {
		s.since = now
	}
	s.last, s.found = now, found
}

// ailing says so where it lasts: of one name that nobody has, and of many where there is room for none, no incident opens.
func (s *strangers) ailing(now time.Time) []notify.Ailment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.IsZero() || now.Sub(s.last) > strangeOver || now.Sub(s.since) < strangeTold {
		return nil
	}
	return []notify.Ailment{{Key: "strange hosts", Severity: notify.Warning,
		What: fmt.Sprintf("%.1f of %.1f requests/s are for hosts that are no site's, for %s now (%s): no attack is noticed there, and nothing decided",
			s.found.Rate, s.found.All, short(now.Sub(s.since)), printable(strings.Join(s.found.Hosts, ", "), 200)),
		Mend: "have nginx refuse names that it does not know, or name the host under sites", Command: "weir top"}}
}

// strange tells of many requests for hosts that are no site's. The detector's goroutine alone calls it.
func (r *processing) strange(s processor.Strange) {
	now := time.Now()
	r.strangers.take(s, now)
	if now.Sub(r.strangeAt) < sayStrangeAgain {
		return
	}
	r.strangeAt = now
	r.log.Warn("many requests are for hosts that are no site's: of one name no attack is noticed there, and nothing decided; have nginx refuse names that it does not know (docs/edges.md), or name the host under sites",
		"hosts", strings.Join(s.Hosts, " "), "requests_per_second", fmt.Sprintf("%.1f", s.Rate), "of", fmt.Sprintf("%.1f", s.All))
}
