package clickhouse

import (
	"strings"
	"testing"
	"time"
)

// What is there when the time to keep it changes leaves by the new one: no earlier, nor later.
func TestRetentionChangesForWhatIsStored(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:kept"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), batchOf(1, time.Unix(1.7e9, 0), time.Millisecond, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	tables := []string{"requests", "rollup_10s", "rollup_1h"}
	for _, c := range []struct {
		name string
		age  time.Duration
		do   func() error
	}{
		{"shorter", 2 * day, nil},
		{"longer", 200 * day, nil},
		{"shortened by a weir that left it to new rows", 3 * day, func() error {
			for _, table := range tables {
				if err := db.conn.Exec(t.Context(), "ALTER TABLE "+table+" MODIFY TTL stored_at + toIntervalSecond(259200) SETTINGS materialize_ttl_after_modify = 0"); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		if c.do != nil {
			if err := c.do(); err != nil {
				t.Fatal(err)
			}
		}
		ages := make(map[string]time.Duration)
		for _, table := range tables {
			ages[table] = c.age
		}
		for range 2 { // a start with the same changes nothing
			if err := db.Retain(t.Context(), ages); err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range tables {
			for ask(t, db, "SELECT count() FROM system.mutations WHERE table = '"+table+"' AND NOT is_done") != "0" {
				if t.Context().Err() != nil {
					t.Fatal(t.Context().Err())
				}
			}
			var leaves time.Time
			if err := db.conn.QueryRow(t.Context(), "SELECT max(delete_ttl_info_max) FROM system.parts WHERE active AND rows > 0 AND table = '"+table+"'").Scan(&leaves); err != nil {
				t.Fatal(err)
			}
			var stored time.Time
			if err := db.conn.QueryRow(t.Context(), "SELECT max(stored_at) FROM "+table).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			if got := leaves.Sub(stored); got != c.age {
				t.Errorf("%s: what is in %s leaves %s after it was stored, want %s", c.name, table, got, c.age)
			}
		}
	}
	if got := ask(t, db, everyRequest); got != "1000\t1000\t1000" {
		t.Errorf("rows, requests, weight are %s", got)
	}
	if n := strings.Count(ask(t, db, "SELECT command FROM system.mutations WHERE table = 'requests'"), "MATERIALIZE TTL"); n != 3 {
		t.Errorf("the time to leave was computed %d times, want 3", n)
	}
}

// What is older than is kept from now on goes, and what the same table has beside it stays.
func TestWhatIsTooOldByTheNewRetentionLeaves(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	for _, values := range []string{"'2026-11-20 05:08:00', now() - 7200", "'2026-11-21 05:08:00', now()"} {
		if err := db.conn.Exec(t.Context(), "INSERT INTO incoming (time, stored_at, weight) SELECT "+values+", 1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Retain(t.Context(), map[string]time.Duration{"requests": time.Hour}); err != nil {
		t.Fatal(err)
	}
	for ask(t, db, "SELECT groupArray(toDate(time)) FROM requests") != "['2026-11-21']" {
		if t.Context().Err() != nil {
			t.Fatal("rows of two hours ago stay, and are to be kept for one")
		}
	}
}
