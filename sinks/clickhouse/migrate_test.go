package clickhouse

import "testing"

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
