package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/weir-project/weir/schemas"
)

func TestFollow(t *testing.T) {
	b := open(t, Options{})
	for i := range 200 { // several requests for messages
		publish(t, b, schemas.SubjectPanes(i%2), "", fmt.Sprint(i))
	}
	var got []string
	caughtUp := false
	finished := errors.New("finished")
	err := b.Follow(t.Context(), FollowOptions{
		Stream: schemas.StreamPanes, Subjects: []string{schemas.SubjectPanes(1)}, From: 91,
		CaughtUp: func() { caughtUp = true },
	}, func(_ context.Context, m *Message) error {
		got = append(got, string(m.Data()))
		if string(m.Data()) == "199" {
			return finished
		}
		return nil
	})
	if !errors.Is(err, finished) {
		t.Fatal(err)
	}
	if len(got) != 55 || got[0] != "91" { // sequence 92 holds "91"
		t.Errorf("%d messages from %v on", len(got), got[:1])
	}
	if caughtUp {
		t.Error("caught up before the last message was handled")
	}
	if last, err := b.LastSequence(t.Context(), schemas.StreamPanes); err != nil || last != 200 {
		t.Errorf("last sequence %d, %v", last, err)
	}
}

func TestFollowCatchesUp(t *testing.T) {
	b := open(t, Options{})
	for _, n := range []int{0, 3} {
		for i := range n {
			publish(t, b, schemas.SubjectPanes(0), "", fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		err := b.Follow(ctx, FollowOptions{Stream: schemas.StreamPanes, CaughtUp: cancel},
			func(_ context.Context, m *Message) error {
				got = append(got, string(m.Data()))
				return nil
			})
		if err != nil || len(got) != n {
			t.Errorf("%d messages, %v; want %d and no error", len(got), err, n)
		}
	}
}

func TestFollowCountsWhatWasDiscarded(t *testing.T) {
	b := open(t, Options{})
	for i := range 10 {
		publish(t, b, schemas.SubjectPanes(0), "", fmt.Sprint(i))
	}
	s, err := b.js.Stream(t.Context(), schemas.StreamPanes)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSequence(8)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	o := FollowOptions{Stream: schemas.StreamPanes, From: 3, Reader: "r", CaughtUp: cancel}
	if err := b.Follow(ctx, o, func(_ context.Context, m *Message) error {
		got = append(got, string(m.Data()))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	wantStrings(t, got, "7", "8", "9")
	if lost := counted(t, b.metrics.lost.WithLabelValues(o.Stream, "r")); lost != 5 {
		t.Errorf("%v counted as lost, want 5", lost)
	}
}

func TestSnapshotStart(t *testing.T) {
	b := open(t, Options{})
	start := func(want uint64, about string) {
		t.Helper()
		if got, err := b.SnapshotStart(t.Context(), schemas.StreamDecisions, schemas.SubjectSnapshot); err != nil || got != want {
			t.Errorf("%s: start at %d, %v; want %d", about, got, err, want)
		}
	}
	snapshot := func(parts ...string) {
		t.Helper()
		var data [][]byte
		for _, p := range parts {
			data = append(data, []byte(p))
		}
		if err := b.PublishSnapshot(t.Context(), schemas.SubjectSnapshot, data); err != nil {
			t.Fatal(err)
		}
	}
	start(1, "an empty stream")
	publish(t, b, schemas.SubjectDecisions, "", "change")
	start(1, "changes only")
	snapshot("all")
	start(2, "a snapshot in one part")
	publish(t, b, schemas.SubjectDecisions, "", "change")
	snapshot("one", "two", "three")
	start(4, "a snapshot in three parts")
	cut := message(schemas.SubjectSnapshot, "", []byte("one"))
	cut.Header = map[string][]string{headerPart: {"1"}, headerParts: {"2"}}
	if _, err := b.publish(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	start(1, "a snapshot that was cut short")

	sequence, data, err := b.Last(t.Context(), schemas.StreamDecisions, schemas.SubjectDecisions)
	if err != nil || sequence != 3 || string(data) != "change" {
		t.Errorf("last: %d %q %v", sequence, data, err)
	}
	sequence, data, err = b.Last(t.Context(), schemas.StreamIncidents, schemas.SubjectIncidents)
	if err != nil || sequence != 0 || data != nil {
		t.Errorf("last of none: %d %q %v", sequence, data, err)
	}
}
