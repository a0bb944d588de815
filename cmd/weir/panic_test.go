package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// What was last said counts after weir has started again: here or everywhere, while it ran or
// while it did not.
func TestPanicIsRemembered(t *testing.T) {
	b, c := busAndEnforce(t)
	near := &enforcing{bus: nearBus{b}}
	// run is a weir that has heard what there is, and ends when it is told to.
	run := func() (r *enforcing, end func()) {
		t.Helper()
		r, err := newEnforcing(nearBus{b}, c, newApplications(c), slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var roles stage
		roles.keep(ctx, r.log, "panic", r.followPanic)
		return r, func() { cancel(); roles.wait() }
	}
	off := func(r *enforcing) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.off
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	everywhere := func(state bool) {
		t.Helper()
		if err := near.panicEverywhere(t.Context(), state, "somebody"); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(r *enforcing) func() bool {
		last, _, err := b.Last(t.Context(), schemas.StreamEdges, schemas.SubjectPanic)
		if err != nil || last == 0 {
			t.Fatal(last, err)
		}
		return func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.panicked.Sequence >= last }
	}

	// again has a weir hear the last message for sure: it may not have read it yet.
	again := func(r *enforcing) {
		t.Helper()
		last, data, err := b.Last(t.Context(), schemas.StreamEdges, schemas.SubjectPanic)
		var p schemas.Panic
		if err == nil {
			err = json.Unmarshal(data, &p)
		}
		if err == nil {
			err = r.hearPanic(&p, last, p.Time)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	everywhere(true)
	r, end := run()
	until("panic off is not heard", func() bool { return off(r) })
	everywhere(false)
	until("panic on is not heard", func() bool { return !off(r) })
	until("it is not noted", heard(r))
	if err := r.panic(true, nil); err != nil { // here alone
		t.Fatal(err)
	}
	end()

	r, end = run()
	again(r)
	if !off(r) {
		t.Fatal("an old message undid what was said here since")
	}
	end()
	everywhere(false)
	r, end = run()
	until("what was said while it did not run is not heard", func() bool { return !off(r) })
	end()

	// While it did not run, by the command on this machine, which knows no sequence.
	if err := setPanic(c.Data, panicState{Off: true, Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	r, end = run()
	again(r)
	if !off(r) {
		t.Fatal("an old message undid what the command said")
	}
	end()

	// A file of an older weir, or one cut short, says off.
	if err := os.WriteFile(filepath.Join(c.Data, panicFile), []byte("2026-11-29T18:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !panicked(c.Data).Off {
		t.Error("a file that is not understood says on")
	}
}

func TestPanicNewer(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		state    panicState
		sequence uint64
		sent     time.Time
		want     bool
	}{
		{panicState{}, 1, now, true},                                          // nothing was ever said
		{panicState{Sequence: 5, Time: now}, 5, now.Add(time.Hour), false},    // the same, by whatever clock
		{panicState{Sequence: 5, Time: now}, 6, now.Add(-time.Hour), true},    // a later one, likewise
		{panicState{Sequence: 5, Time: now}, 4, now.Add(-time.Second), false}, // an older one
		{panicState{Sequence: 500, Time: now}, 1, now.Add(time.Second), true}, // the stream was made anew
		{panicState{Time: now}, 7, now.Add(-time.Second), false},              // said by the command since
		{panicState{Time: now.Add(-time.Minute)}, 7, now, true},               // and before
	} {
		if got := c.state.newer(c.sequence, c.sent); got != c.want {
			t.Errorf("%+v, message %d of %s: %t", c.state, c.sequence, c.sent.Sub(now), got)
		}
	}
}

// A weir that is killed while it is asked gives no answer: the command goes on as where none is
// running, or where one is stuck if another has begun.
func TestPanicOffWhereWeirHangsUp(t *testing.T) {
	for _, again := range []bool{false, true} {
		data := t.TempDir()
		socket, err := net.Listen("unix", filepath.Join(data, controlSocket))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		go func() {
			for {
				c, err := socket.Accept()
				if err != nil {
					return
				}
				if !again {
					socket.Close() // and its name with it: nobody is there any more
				}
				c.Close()
			}
		}()
		var out strings.Builder
		c := panicOffCommand{panicFlags{dataFlag: dataFlag{Data: data}}}
		err = c.Run(t.Context(), screen{out: &out, err: io.Discard}, &program{})
		if again {
			if err != nil || !strings.HasPrefix(out.String(), "Off: nothing is enforced on this machine") || !panicked(data).Off {
				t.Errorf("it says %q, %v, and weir will enforce when it starts: %t", out.String(), err, !panicked(data).Off)
			}
		} else if !errors.Is(err, errNotRunning) { // nothing of this machine's edges is configured
			t.Errorf("nobody is there any more, and it says %q, %v", out.String(), err)
		}
	}
}
