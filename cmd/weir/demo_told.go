package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/demo"
)

const (
	// closeWait is how long an incident may take to close: two minutes of quiet, and the
	// clock of a log that says nothing any more.
	closeWait = 4 * time.Minute
	draftSeen = 90 * time.Second
)

// told shows what weir told the on-call engineer, and waits for the end of the attack's
// incident: its message, and the draft of its post-mortem.
func (d *demonstration) told(ctx context.Context) error {
	d.say("\nWhat weir told, signed, to a webhook at %s:", d.inbox.URL())
	shown := 0
	show := func() {
		for _, m := range d.inbox.Told()[shown:] {
			shown++
			d.say("\n  %s  %s: %s\n  %s", m.At.UTC().Format("15:04:05"), m.Kind, printable(m.Subject, 100), printable(m.Headline, 300))
			for _, line := range m.Lines {
				d.say("    %s", printable(line, 200))
			}
		}
	}
	show()
	opening, ok := find(d.inbox.Told(), "opened", "")
	if !ok {
		return errors.New("the demo did not do what it promises: nobody was told that the attack had begun")
	}
	d.say("\nThe incident closes after two quiet minutes.")
	if !poll(ctx, closeWait, func() bool { _, ok := find(d.inbox.Told(), "closed", opening.Thread); return ok }) {
		return errors.Join(ctx.Err(), errors.New("the demo did not do what it promises: nobody was told that the attack is over"))
	}
	show()
	closed, _ := find(d.inbox.Told(), "closed", opening.Thread)
	d.ending.Closed = closed.At
	if n := len(d.inbox.Told()); n != 2 {
		return fmt.Errorf("the demo did not do what it promises: %d messages, want one on opening and one on closing", n)
	}
	incident := strings.TrimPrefix(opening.Thread, "weir-")
	path := d.path("data/postmortems/" + incident + ".md")
	if !poll(ctx, draftSeen, func() bool { _, err := os.Stat(path); return err == nil }) {
		return errors.Join(ctx.Err(), errors.New("the demo did not do what it promises: no post-mortem was drafted"))
	}
	d.say("\nThe draft of its post-mortem: %s", path)
	return nil
}

// find is the first message of a kind, of a thread where one is given.
func find(told []demo.Told, kind, thread string) (demo.Told, bool) {
	for _, m := range told {
		if m.Kind == kind && (thread == "" || m.Thread == thread) {
			return m, true
		}
	}
	return demo.Told{}, false
}

// poll asks until it is so, the time is over or ctx ends.
func poll(ctx context.Context, limit time.Duration, so func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
