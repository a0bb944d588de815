package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// served is a data directory on whose socket a board is asked, and the board, of so many decisions in
// force and as many that have ended.
func served(t *testing.T, n int) (data string, b *board) {
	t.Helper()
	b = newBoard()
	now := time.Now().UTC()
	for i := range 2 * n {
		id, end := fmt.Sprintf("m%06d", i), now.Add(time.Hour)
		if i%2 == 0 {
			end = now.Add(-time.Second)
		}
		b.apply(schemas.Event{Type: schemas.DecisionAdded, Time: now, Decision: &schemas.Decision{
			ID: id, Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.7", Origin: "somebody", Expires: end,
		}})
	}
	s := &server{board: b, log: slog.New(slog.DiscardHandler)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/decisions", s.answerDecisions)
	mux.HandleFunc("GET /api/events", s.answerEvents)
	data = t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(data, controlSocket))
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	t.Cleanup(func() { _ = h.Close() })
	go func() { _ = h.Serve(socket) }()
	return data, b
}

// However many are in force, people are shown the newest, and told of the rest.
func TestManyDecisionsAreListed(t *testing.T) {
	data, _ := served(t, 3*walkedAtOnce)
	for _, x := range []struct {
		limit       int
		output      string
		lines, more int
	}{
		{-1, "text", 1000, 500},
		{7, "text", 7, 1493},
		{0, "text", 1500, 0},
		{1500, "text", 1500, 0},
	} {
		var out, told bytes.Buffer
		c := listDecisionsCommand{dataFlag: dataFlag{data}, Limit: x.limit, Output: x.output}
		shown, more, err := c.newest(t.Context(), data, time.Now())
		if err != nil || len(shown) != x.lines || more != x.more {
			t.Errorf("limit %d: %d shown, %d more, %v; want %d, %d", x.limit, len(shown), more, err, x.lines, x.more)
			continue
		}
		if shown[0].ID != "m002999" || shown[1].ID != "m002997" {
			t.Errorf("limit %d begins with %s, %s", x.limit, shown[0].ID, shown[1].ID)
		}
		if err := c.Run(t.Context(), screen{out: &out, err: &told}, &program{}); err != nil {
			t.Fatal(err)
		}
		said := strings.Contains(told.String(), fmt.Sprintf("And %s more", count(x.more)))
		if lines := strings.Count(out.String(), "\n"); lines != x.lines+1 || said != (x.more > 0) {
			t.Errorf("limit %d: %d lines, told %q", x.limit, lines, &told)
		}
	}
	if _, more, err := (&listDecisionsCommand{Limit: -1, Output: "json"}).newest(t.Context(), data, time.Now()); err != nil || more != 0 {
		t.Errorf("as JSON %d are left out, %v", more, err)
	}
	if shown, more, err := (&listDecisionsCommand{Limit: 10, All: true, Output: "json"}).newest(t.Context(), data, time.Now()); err != nil || len(shown) != 10 || more != 2990 {
		t.Errorf("with those that ended %d, %d more, %v", len(shown), more, err)
	}
}

// A list takes as long as it does, while it comes.
func TestLongListHasItsTime(t *testing.T) {
	data, _ := served(t, walkedAtOnce)
	client := newControlClient(data)
	client.http.Timeout = time.Nanosecond // of all else
	events, err := client.events(t.Context(), "/api/decisions")
	if err != nil || len(events) != walkedAtOnce {
		t.Errorf("%d, %v", len(events), err)
	}
	if all, err := client.events(t.Context(), "/api/events"); err != nil || len(all) != 2*walkedAtOnce {
		t.Errorf("%d, %v", len(all), err)
	}
	total, err := client.each(t.Context(), "/api/decisions?limit=0", func(*schemas.Event) error { return errors.New("came") })
	if err != nil || total != walkedAtOnce {
		t.Errorf("%d, %v", total, err)
	}
	if _, err := client.events(t.Context(), "/api/decisions?limit=-1"); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("%v", err)
	}
}

// Who reads the board holds up nobody.
func TestBoardIsFreeWhileItIsRead(t *testing.T) {
	_, b := served(t, walkedAtOnce)
	seen := 0
	err := b.walk(&b.decisions, func(few []schemas.Event) error {
		if len(few) > walkedAtOnce {
			t.Errorf("%d at once", len(few))
		}
		if seen == 0 { // as new ones come, and others are forgotten
			b.apply(added("i9-9", "i9", "weir"))
			b.forget(func(e schemas.Event) bool { return e.Decision.ID == "m000000" })
		}
		seen += len(few)
		return nil
	})
	if err != nil || seen != 2*walkedAtOnce-1 {
		t.Errorf("%d, %v", seen, err)
	}
}

func TestHurriedGarbage(t *testing.T) {
	for used, want := range map[uint64]int{0: 100, 10 << 20: 100, 128 << 20: 50, 640 << 20: 10, 8 << 30: frugalMost} {
		if got := hurriedPercent(used); got != want {
			t.Errorf("%d bytes: %d %%, want %d", used, got, want)
		}
	}
}
