package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Retain makes tables keep their rows for so long after they were stored, also those that
// are there. No row is rewritten: of what is stored only the time to leave is computed anew,
// beside what goes on, and whole parts leave when theirs has come.
func (db *DB) Retain(ctx context.Context, ages map[string]time.Duration) error {
	for _, table := range slices.Sorted(maps.Keys(ages)) {
		if err := db.retain(ctx, table, ages[table]); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) retain(ctx context.Context, table string, age time.Duration) error {
	seconds := int64(age.Seconds())
	ttl := fmt.Sprintf("stored_at + toIntervalSecond(%d)", seconds)
	// Parts that stay for longer than anything may are of another time to keep: whoever
	// changed that last ended before it was computed, or was a weir that did not.
	var engine string
	var later uint64
	err := db.conn.QueryRow(ctx, fmt.Sprintf(`SELECT (SELECT any(engine_full) FROM system.tables WHERE database = currentDatabase() AND name = '%s'),
(SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = '%s' AND active AND toInt64(delete_ttl_info_max) > toInt64(now()) + %d)`,
		table, table, seconds)).Scan(&engine, &later)
	if err != nil {
		return fmt.Errorf("%s: how long %s are kept: %w", db.where, table, brief{err})
	}
	kept := strings.Contains(engine, ttl)
	if kept && later == 0 {
		return nil
	}
	db.log.Info("retention changed", "table", table, "rows_are_kept", age)
	change := "MATERIALIZE TTL"
	if !kept {
		change = "MODIFY TTL " + ttl + " SETTINGS materialize_ttl_after_modify = 1"
	}
	for _, statement := range []string{"MODIFY SETTING materialize_ttl_recalculate_only = 1", change} {
		if err := db.conn.Exec(ctx, "ALTER TABLE "+table+" "+statement); err != nil {
			return fmt.Errorf("%s: how long %s are kept: %w", db.where, table, brief{err})
		}
	}
	return nil
}
