package clickhouse

import (
	"context"
	"time"

	"github.com/weir-project/weir/schemas"
)

// RecordFigures stores how weir itself is. Storing the same again changes nothing. One
// attempt: what is lost is a point of a curve.
func (db *DB) RecordFigures(ctx context.Context, figures []schemas.Figure) error {
	return record(ctx, db, "figures", "time, name, process, part, value", "", figures, func(f schemas.Figure) ([]any, error) {
		return []any{clamp(f.Time).Truncate(time.Second), f.Name, f.Process, f.Part, f.Value}, nil
	})
}

// Footprint is what ClickHouse has allocated in memory, and what the store takes on disk, in bytes.
func (db *DB) Footprint(ctx context.Context) (memory, disk float64, err error) {
	const sql = "SELECT (SELECT toFloat64(any(value)) FROM system.metrics WHERE metric = 'MemoryTracking'), (SELECT toFloat64(sum(bytes_on_disk)) FROM system.parts WHERE active)"
	err = db.conn.QueryRow(ctx, sql).Scan(&memory, &disk)
	return memory, disk, err
}
