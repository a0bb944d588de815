package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// Who says that an incident was normal is who the kernel says, and only of one that is known.
func TestAnIncidentIsCalledNormal(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	board := newBoard()
	opened := schemas.Event{Type: schemas.IncidentOpened, Time: time.Now().UTC(), Opened: time.Now().UTC(), Incident: "i261122-050812", Kind: schemas.Flood, Sites: []string{"www.example.org"}}
	board.apply(opened)
	decided := func(id, incident, origin string) {
		board.apply(schemas.Event{Type: schemas.DecisionAdded, Time: opened.Time, Incident: incident, Decision: &schemas.Decision{
			ID: id, Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.7", Origin: origin, Expires: time.Now().Add(time.Hour)}})
	}
	decided(opened.Incident+"-1", opened.Incident, schemas.OriginWeir) // the detector ends it
	decided("m261122-050900-1", opened.Incident, "anna")
	decided("m261122-050900-2", "", "anna")
	decided("m261122-050900-3", "i261122-000000", "anna")
	var lifted []string
	var got []processor.Correction
	publish := func(_ context.Context, events []schemas.Event) error {
		for _, e := range events {
			if e.Type != schemas.DecisionRemoved || e.Reason != schemas.RemovedBy+me.Username {
				t.Errorf("published %+v", e)
			}
			lifted = append(lifted, e.ID)
			board.apply(e)
		}
		return nil
	}
	s := &server{board: board, log: slog.New(slog.DiscardHandler), publish: publish, correct: func(_ context.Context, c processor.Correction) error {
		got = append(got, c)
		closed := opened
		closed.Type, closed.Time, closed.Closed = schemas.IncidentClosed, opened.Time.Add(time.Second), opened.Time.Add(time.Second)
		board.apply(closed)
		return nil
	}}
	data := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(data, controlSocket))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/incidents/{incident}/close", s.closeIncident)
	mux.HandleFunc("GET /api/incidents", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, board.allIncidents()) })
	h := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second, ConnContext: withPeer}
	defer h.Close()
	go func() { _ = h.Serve(socket) }()

	say := func(id string) (string, error) {
		var out strings.Builder
		c := closeIncidentCommand{Incident: id, As: "normal", dataFlag: dataFlag{Data: data}}
		err := c.Run(t.Context(), screen{out: &out, err: io.Discard}, &program{})
		return out.String(), err
	}
	if said, err := say(opened.Incident); err != nil || !strings.Contains(said, "is closed, and its decisions have ended") {
		t.Errorf("said %q, %v", said, err)
	}
	if len(lifted) != 1 || lifted[0] != "m261122-050900-1" {
		t.Errorf("of what people accepted these are lifted: %v", lifted)
	}
	if len(got) != 1 || got[0].Incident != opened.Incident || got[0].By != me.Username || got[0].Time.IsZero() {
		t.Errorf("corrections: %+v", got)
	}
	if said, err := say(opened.Incident); err != nil || !strings.Contains(said, "had closed already") {
		t.Errorf("said %q, %v", said, err)
	}
	for _, id := range []string{"i000101-000000", "*", "../x", "a b"} {
		if _, err := say(id); err == nil {
			t.Errorf("%q was called normal", id)
		}
		if _, err := newControlClient(data).do(t.Context(), http.MethodPost, "/api/incidents/"+strings.ReplaceAll(id, "/", "%2F")+"/close?as=normal", nil); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
	if _, err := newControlClient(data).do(t.Context(), http.MethodPost, "/api/incidents/"+opened.Incident+"/close?as=attack", nil); err == nil {
		t.Error("closed as something else")
	}
}

// TestALiftingIsPassedOn: which of weir's own decisions a person has lifted is told to the detector, by whom the
// kernel says; what a person decided, and what is added, is not.
func TestALiftingIsPassedOn(t *testing.T) {
	var told []processor.Correction
	s := &server{correct: func(_ context.Context, c processor.Correction) error { told = append(told, c); return nil }}
	lifted := func(id, origin string) schemas.Event {
		return schemas.Lift(added(id, "i1", origin, "a"), "x", time.Now())
	}
	events := []schemas.Event{lifted("i1-1", "weir"), lifted("m1", "anna"), added("i1-2", "i1", "weir", "a"), lifted("../i1", "weir"), lifted("i1-3", "weir")}
	if err := s.rejected(t.Context(), events); err != nil || len(told) != 1 {
		t.Fatalf("%v, told %d times", err, len(told))
	}
	if c := told[0]; len(c.Decisions) != 2 || c.Decisions[0] != "i1-1" || c.Decisions[1] != "i1-3" || c.By == "" || correctionKey(&c) != "rejected.i1-1" {
		t.Errorf("%+v", c)
	}
}
