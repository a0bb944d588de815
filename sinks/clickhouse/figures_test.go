package clickhouse

import (
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Figures are stored once however often they are, and ClickHouse says what it takes itself.
func TestFigures(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	at := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	rows := []schemas.Figure{
		{Time: at, Name: "weir_memory", Process: "edge-1", Value: 1 << 20},
		{Time: at, Name: "load_seconds", Process: "edge-1", Part: "nginx", Value: 0.25},
	}
	for range 2 {
		if err := db.RecordFigures(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, db, "SELECT toUnixTimestamp(time), name, process, part, value FROM figures FINAL ORDER BY name"); got != "1795237200\tload_seconds\tedge-1\tnginx\t0.25\n1795237200\tweir_memory\tedge-1\t\t1048576" {
		t.Errorf("%q", got)
	}
	memory, disk, err := db.Footprint(t.Context())
	if err != nil || memory < 1<<20 || disk <= 0 {
		t.Errorf("memory %v, disk %v, %v", memory, disk, err)
	}
}
