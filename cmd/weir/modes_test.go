package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// TestModesChangeWhileRunning: the modes alone are read again; what is to be in force is told anew,
// and a file that does not hold changes nothing.
func TestModesChangeWhileRunning(t *testing.T) {
	c := config.Default()
	c.Sites = map[string]config.Site{"shop.example.org": {Mode: config.Enforce}}
	m, told := newModes(c), 0
	m.changed = func() { told++ }
	edge := &enforcing{modes: m}
	events := func() []schemas.Event {
		var all []schemas.Event
		for _, site := range []string{"shop.example.org", "www.example.org"} {
			all = append(all, schemas.Event{Type: schemas.DecisionAdded, Sites: []string{site}, Decision: &schemas.Decision{ID: "i1-" + site, Origin: schemas.OriginWeir}})
		}
		return append(all, schemas.Event{Type: schemas.DecisionAdded, Decision: &schemas.Decision{ID: "hand", Origin: "anna"}})
	}
	ids := func() (list []string) {
		for _, e := range edge.enforced(events()) {
			list = append(list, e.ID)
		}
		return list
	}
	if got := ids(); !slices.Equal(got, []string{"i1-shop.example.org", "hand"}) {
		t.Errorf("enforced: %v", got)
	}
	if _, err := m.again(); err == nil {
		t.Error("it was read again, from nowhere")
	}
	next := config.Default()
	next.Mode = config.Enforce
	next.Sites = map[string]config.Site{"shop.example.org": {Mode: config.Propose}, "git.example.org": {Profile: "forgejo"}}
	m.read = func() (config.Config, error) { return next, nil }
	changes, err := m.again()
	want := []modeChange{{"", config.Observe, config.Enforce}, {"git.example.org", config.Observe, config.Enforce}, {"shop.example.org", config.Enforce, config.Propose}}
	if err != nil || !slices.Equal(changes, want) || told != 1 {
		t.Errorf("%v, %v, told %d times", changes, err, told)
	}
	if got := ids(); !slices.Equal(got, []string{"i1-www.example.org", "hand"}) {
		t.Errorf("enforced after the change: %v", got)
	}
	m.read = func() (config.Config, error) { return config.Default(), errors.New("line 3") }
	if _, err := m.again(); err == nil || m.of("www.example.org") != config.Enforce {
		t.Errorf("a file that does not hold changed the mode: %v", err)
	}
	if changes, err := func() ([]modeChange, error) {
		m.read = func() (config.Config, error) { return next, nil }
		return m.again()
	}(); err != nil || len(changes) != 0 || told != 1 {
		t.Errorf("nothing has changed, and yet %v, %v, told %d times", changes, err, told)
	}
}

// TestModesHear: a role without a control socket takes its modes at a signal.
func TestModesHear(t *testing.T) {
	next := config.Default()
	next.Mode = config.Enforce
	m, heard := newModes(config.Default()), make(chan struct{}, 1)
	m.read, m.changed = func() (config.Config, error) { return next, nil }, func() { heard <- struct{}{} }
	listening := make(chan os.Signal, 1) // before it is, the signal would end the test
	signal.Notify(listening, syscall.SIGUSR1)
	defer signal.Stop(listening)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.hear(ctx, slog.New(slog.DiscardHandler)) }()
	for end := time.After(time.Minute); ; {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
		case <-listening: // perhaps before hear was there
			select {
			case <-heard:
			case <-time.After(20 * time.Millisecond):
				continue
			}
		case <-end:
			t.Fatal("nothing was heard")
		}
		break
	}
	if cancel(); <-ended != nil || m.of("www.example.org") != config.Enforce {
		t.Error("the mode has not changed")
	}
}
