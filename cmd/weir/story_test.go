package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-project/weir/internal/simulate"
)

// weirRun runs a command and fails the test where it does not succeed.
func weirRun(t *testing.T, args ...string) string {
	t.Helper()
	var out, err bytes.Buffer
	if code := run(context.Background(), args, screen{strings.NewReader(""), &out, &err}); code != exitDone {
		t.Fatalf("weir %s: exit code %d: %s", strings.Join(args, " "), code, err.String())
	}
	return out.String()
}

// story writes the opening story of a seed: the log's path.
func story(t *testing.T, seed int, flags ...string) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "access.log")
	weirRun(t, append([]string{"simulate", log, "--seed", fmt.Sprint(seed)}, flags...)...)
	return log
}

// TestOpeningStory holds the whole pipeline to what it is for: an incident of kind
// flood at the attacked site and no other within 20 s; of the attack's requests
// later than a minute at least 85 % blocked; of the visitors at that site during the
// attack at most 1 % with a request blocked that would have succeeded; nothing
// decided before.
func TestOpeningStory(t *testing.T) {
	seeds := []int{101, 102, 103}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			log := story(t, seed)
			checkStory(t, score(t, log, replayed(t, log)))
		})
	}
}

func checkStory(t *testing.T, card simulate.Scorecard) {
	t.Helper()
	e := card.Events
	if e.Flood == nil || *e.Flood > 20 {
		t.Errorf("no flood noticed within 20 s: %+v", *e)
	} else {
		t.Logf("noticed after %.1f s; blocked %.1f %% after a minute; %d of %d visitors hurt, %d slowed; until the end %d of %d",
			*e.Flood, 100*card.Late.BlockShare(), card.Visitors.Blocked, card.Visitors.Actors, card.Visitors.Slowed,
			card.ToTheEnd.Blocked, card.ToTheEnd.Actors)
	}
	if len(e.False) > 0 {
		t.Errorf("false incidents: %v", e.False)
	}
	if e.DecisionsBefore > 0 {
		t.Errorf("%d decisions before the attack", e.DecisionsBefore)
	}
	if card.Late.BlockShare() < 0.85 {
		t.Errorf("blocked %.1f %% of the attack's requests after a minute, want at least 85 %%", 100*card.Late.BlockShare())
	}
	if card.Visitors.BlockedShare() > 0.01 {
		t.Errorf("%d of %d visitors had a request blocked that would have succeeded, want at most 1 %%", card.Visitors.Blocked, card.Visitors.Actors)
	}
}

// replayFiles are what a replay wrote.
type replayFiles struct{ verdicts, events string }

func replayed(t *testing.T, log string, flags ...string) replayFiles {
	t.Helper()
	dir := t.TempDir()
	f := replayFiles{filepath.Join(dir, "verdicts.tsv"), filepath.Join(dir, "events.ndjson")}
	weirRun(t, append([]string{"replay", "--quiet", "--verdicts", f.verdicts, "--events", f.events, log}, flags...)...)
	return f
}

func score(t *testing.T, log string, f replayFiles) simulate.Scorecard {
	t.Helper()
	var readers [3]io.Reader
	for i, path := range []string{log + ".truth.tsv", f.verdicts, f.events} {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		readers[i] = file
	}
	card, err := simulate.Score(readers[0], readers[1], readers[2])
	if err != nil {
		t.Fatal(err)
	}
	return card
}

// TestVerdictsDependOnThePastAlone replays a story whole, again, on one core, and cut
// in the middle of the attack: what is in common is equal byte for byte.
func TestVerdictsDependOnThePastAlone(t *testing.T) {
	log := story(t, 104, "--hours", "1.5", "--tail", "1m", "--duration", "5m")
	whole := replayed(t, log)
	again := replayed(t, log)
	before := runtime.GOMAXPROCS(1)
	oneCore := replayed(t, log)
	runtime.GOMAXPROCS(before)
	for _, pair := range [][2]string{
		{whole.verdicts, again.verdicts}, {whole.events, again.events},
		{whole.verdicts, oneCore.verdicts}, {whole.events, oneCore.events},
	} {
		if a, b := read(t, pair[0]), read(t, pair[1]); !bytes.Equal(a, b) {
			t.Errorf("two replays differ: %s", firstDifference(a, b))
		}
	}

	lines := bytes.SplitAfter(read(t, log), []byte("\n"))
	n := len(lines) - 2500 // in the attack
	if err := os.WriteFile(log, bytes.Join(lines[:n], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	cut := read(t, replayed(t, log).verdicts)
	if !bytes.Contains(cut, []byte("\tblock\t")) {
		t.Error("nothing was blocked in the part: the test shows nothing")
	}
	if all := read(t, whole.verdicts); !bytes.HasPrefix(all, cut) {
		t.Errorf("the first %d lines alone have other verdicts: %s", n, firstDifference(all[:min(len(all), len(cut))], cut))
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func firstDifference(a, b []byte) string {
	as, bs := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(as), len(bs)) {
		if !bytes.Equal(as[i], bs[i]) {
			return fmt.Sprintf("line %d: %q and %q", i+1, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}
