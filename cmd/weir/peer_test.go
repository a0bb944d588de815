package main

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Who lifts a decision is who the kernel says, whatever the caller writes.
func TestDecisionRemovedBy(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	var got []schemas.Event
	s := &server{publish: func(_ context.Context, events []schemas.Event) error { got = events; return nil }}
	data := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(data, controlSocket))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/events", s.add)
	h := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second, ConnContext: withPeer}
	defer h.Close()
	go func() { _ = h.Serve(socket) }()

	event := func(kind schemas.EventType) schemas.Event {
		return schemas.Event{Type: kind, Time: time.Now().UTC(), Decision: &schemas.Decision{
			ID: "m1", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.7", Reason: "given", Origin: "weir", Expires: time.Now().UTC().Add(time.Hour),
		}}
	}
	if err := newControlClient(data).post(t.Context(), []schemas.Event{event(schemas.DecisionAdded), event(schemas.DecisionRemoved)}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Reason != "given" || got[1].Reason != schemas.RemovedBy+me.Username {
		t.Errorf("got %q and %q", got[0].Reason, got[1].Reason)
	}
}
