package clickhouse

import (
	"strconv"
	"sync"
	"testing"

	"github.com/weir-project/weir/internal/embedded"
	migrations "github.com/weir-project/weir/schemas/clickhouse"
)

// TestSeveralMigrateAtOnce: several processes find an empty server, and one of before has left
// its lock behind. Each step is applied once.
func TestSeveralMigrateAtOnce(t *testing.T) {
	steps, err := migrations.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	s := home(t, t.TempDir())
	var all []*DB
	for i := range 6 {
		db, err := Open(t.Context(), Options{Logger: logger(t), Dial: dialTo(s), Reader: embedded.Reader, HTTPOnly: i%2 == 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		all = append(all, db)
	}
	if created, err := all[0].createLock(t.Context(), 2*lockAge); err != nil || !created {
		t.Fatalf("the lock of before: %v, %v", created, err)
	}
	var migrating sync.WaitGroup
	for i, db := range all {
		migrating.Go(func() {
			if err := db.Migrate(t.Context()); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	migrating.Wait()
	want := strconv.Itoa(len(steps))
	if got := ask(t, all[0], "SELECT count(), max(version), uniqExact(version) FROM schema_migrations"); got != want+"\t"+want+"\t"+want {
		t.Errorf("steps, greatest, distinct: %s, want %s each", got, want)
	}
	if got := ask(t, all[0], "SELECT count() FROM system.tables WHERE name LIKE 'schema_migrating%'"); got != "0" {
		t.Error("the lock is still there")
	}
}

// TestABlockAgainAfterTheMigration: a block that the process stored that made the schema, and that
// comes again to the next one, counts once in each table.
func TestABlockAgainAfterTheMigration(t *testing.T) {
	dir := t.TempDir()
	blocks := traffic(2, 1000)
	for _, name := range []string{"first", "again"} {
		t.Run(name, func(t *testing.T) {
			db := client(t, home(t, dir))
			d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:again"})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range blocks {
				if err := d.Write(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows := ask(t, db, "SELECT count() FROM requests")
			for _, view := range []string{"traffic_10s", "traffic_1m", "traffic_1h"} {
				if got := ask(t, db, "SELECT toUInt64(sum(requests)) FROM "+view); got != rows {
					t.Errorf("%s: %s of %s requests", view, got, rows)
				}
			}
			if hits, acted := ask(t, db, "SELECT toUInt64(sum(requests)) FROM decision_hits"), ask(t, db, "SELECT count() FROM requests WHERE decision != ''"); hits != acted {
				t.Errorf("decision_hits: %s of %s requests", hits, acted)
			}
		})
	}
}
