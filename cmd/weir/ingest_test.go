package main

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/internal/bus"
)

// TestOnlyOneCollectorOfASubjectWrites has two collectors share a journal: who has not
// written last cannot write any more, until it has read what the other wrote.
func TestOnlyOneCollectorOfASubjectWrites(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	journal := func(owner string) *sharedJournal {
		return &sharedJournal{open: nearBus{b}.open, key: "ingest.test", owner: owner}
	}
	first, second := journal("first"), journal("second")
	if err := first.wait(t.Context()); err != nil { // nobody has written
		t.Fatal(err)
	}
	if state, err := first.Load(); err != nil || state.Format != "" {
		t.Fatalf("%+v, %v", state, err)
	}
	for _, format := range []string{"combined", "common"} {
		if err := first.Save(ship.State{Format: format}); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.wait(short); !errors.Is(err, context.Canceled) {
		t.Errorf("the second one does not wait for the first, who has just written: %v", err)
	}
	// It is taken for dead, and is not.
	if state, err := second.Load(); err != nil || state.Format != "common" {
		t.Fatalf("%+v, %v", state, err)
	}
	if err := second.Save(ship.State{Format: "weir"}); err != nil {
		t.Fatal(err)
	}
	if err := first.Save(ship.State{Format: "caddy"}); err == nil {
		t.Error("the first one wrote over what the second wrote")
	}
	if state, err := first.Load(); err != nil || state.Format != "weir" {
		t.Errorf("%+v, %v", state, err)
	}
}
