package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// TestACapIsSaid: that weir decides no more is said where people look, and in the log once in a while.
func TestACapIsSaid(t *testing.T) {
	now := time.Now()
	var events []schemas.Event
	for n := range 16 {
		events = append(events, added(fmt.Sprint("i1-", n), "i1", "weir", "a"))
	}
	events = append(events, added("m1", "", "anna", "a"))
	for most, want := range map[int]string{16: "decisions.max is reached (16 of weir's own in force)", 18: "no more single addresses", 100: "", 0: ""} {
		if got := capLine(each(events), most, now); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("of %d: %q", most, got)
		}
	}
	var told bytes.Buffer
	r := &processing{log: slog.New(slog.NewTextHandler(&told, nil))}
	for range 9 {
		r.leftOut("a", processor.CapAll, 7)
	}
	r.leftOut("a", processor.CapClients, 7)
	if text := told.String(); strings.Count(text, "a cap keeps weir from deciding more") != 2 || !strings.Contains(text, "cap=decisions.max left_out=7") {
		t.Errorf("said %q", text)
	}
}
