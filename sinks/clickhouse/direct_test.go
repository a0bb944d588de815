package clickhouse

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestDirectWithoutAStore: what was written while the store was being opened is not taken for
// stored where that fails, and the error says why.
func TestDirectWithoutAStore(t *testing.T) {
	gone, may := errors.New("somebody else has it"), make(chan struct{})
	d, err := OpenDirect(t.Context(), DirectOptions{Stream: "replay:test"}, Privacy{}, func(context.Context) (*DB, error) {
		<-may
		return nil, gone
	})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2015, 5, 17, 22, 0, 0, 0, time.UTC)
	if err := d.Write(t.Context(), batchOf(1, start, time.Second, 5000)); err != nil {
		t.Fatal(err)
	}
	if close(may); d.DB() != nil || d.Stored() {
		t.Error("there is a store")
	}
	if err := d.Write(t.Context(), batchOf(2, start, time.Second, 5000)); !errors.Is(err, gone) {
		t.Errorf("write after it failed: %v", err)
	}
	if err := d.Close(t.Context()); !errors.Is(err, gone) {
		t.Errorf("close: %v", err)
	}
}

// TestDirectOpensBeside: blocks that were full before the store was open are in it.
func TestDirectOpensBeside(t *testing.T) {
	dir, may := t.TempDir(), make(chan struct{})
	var db *DB
	d, err := OpenDirect(t.Context(), DirectOptions{Stream: "replay:test"}, Privacy{}, func(context.Context) (*DB, error) {
		<-may
		db = client(t, home(t, dir))
		return db, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2015, 5, 17, 0, 0, 0, 0, time.UTC)
	for n := range uint64(60) { // more than a block
		if err := d.Write(t.Context(), batchOf(n+1, start, time.Millisecond, 5000)); err != nil {
			t.Fatal(err)
		}
	}
	close(may)
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, db, "SELECT count(), uniqExact(request_id) FROM requests"); got != "300000\t300000" {
		t.Errorf("count and ids are %s", got)
	}
}

// TestAReplaysBlocksAreTheSameInEveryBuild: what names a block of a replay must not change, or a
// log that an older weir stored is stored again.
func TestAReplaysBlocksAreTheSameInEveryBuild(t *testing.T) {
	if directRows != 196_608 {
		t.Errorf("a replay's block ends with the batch that brings it to %d rows", directRows)
	}
	if token := (identity{stream: "replay:0123", first: 1, last: 48, day: 20000}).token(); token != "replay:0123/0/1-48/20000" {
		t.Errorf("token %s", token)
	}
}
