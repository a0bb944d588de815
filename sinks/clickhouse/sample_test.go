package clickhouse

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// Where the stream fills up, some clients are kept with all of their requests and a
// weight, the others are counted only: the rollups stay exact. A span that a crash cut
// short is sampled again as it was.
func TestWhereTheStreamFillsUpRowsAreSampled(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	s := newStream(t, 2, 40, 300, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), time.Millisecond)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	j := watch(journalIn(t, dir), s)
	j.n, j.after, j.crash = 1, true, cancel // once the first span is journaled
	w := s.writer(db, j)
	w.grace, w.rows = 0, 500
	w.options.Waiting = func(context.Context, uint64) float64 { return 0.62 }
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	cut := 0
	for partition := range 2 {
		position, err := journalIn(t, dir).Load(partition)
		if err != nil {
			t.Fatal(err)
		}
		if position.Last > 0 && position.Sample == 8 {
			cut++
		}
	}
	if cut == 0 {
		t.Errorf("%d journaled spans that are sampled, want one at least", cut)
	}
	j = watch(journalIn(t, dir), s)
	w = s.writer(db, j)
	w.rows = 500
	w.options.Waiting = func(_ context.Context, after uint64) float64 {
		if after < 30 {
			return 0.52
		}
		return 0.3
	}
	runUntil(t, w, j.all)
	for sql, want := range map[string]string{
		"SELECT sum(requests) FROM rollup_1h":                                                      "12000",
		"SELECT arraySort(groupUniqArray(weight)) FROM requests":                                   "[1,2,8]",
		"SELECT count() > 5000 AND count() < 11500, uniqExact(request_id) = count() FROM requests": "1\t1",
		"SELECT abs(sum(weight) / 12000 - 1) < 0.2 FROM requests":                                  "1",
	} {
		if got := ask(t, db, sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}

// Which clients are kept as rows hangs on the key: nobody else can choose addresses that are not.
func TestWhichClientsAreSampledIsSecret(t *testing.T) {
	var keys [2]place
	for i, key := range []string{"key", "other"} {
		keys[i] = place{sample: 8, seed: sampleSeed(Privacy{Key: []byte(key)})}
	}
	if again := sampleSeed(Privacy{Key: []byte("key")}); again != keys[0].seed {
		t.Error("the same key chooses others after a restart")
	}
	const clients = 1 << 16
	var kept, both int
	for i := range clients {
		client := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}).As16()
		if keys[0].keeps(client[:]) {
			if kept++; keys[1].keeps(client[:]) {
				both++
			}
		}
	}
	if kept < clients/9 || kept > clients/7 || both < kept/10 || both > kept/6 {
		t.Errorf("of %d clients %d are kept by a key, and of these %d by another", clients, kept, both)
	}
}

func TestSampleOf(t *testing.T) {
	for waiting, want := range map[float64]uint32{0: 1, 0.49: 1, 0.5: 2, 0.56: 4, 0.62: 8, 1: 1024} {
		if got := sampleOf(waiting); got != want {
			t.Errorf("%v: %d, want %d", waiting, got, want)
		}
	}
}
