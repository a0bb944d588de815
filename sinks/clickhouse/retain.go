package clickhouse

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Retain makes tables keep their rows for so long after they were stored. What is
// stored is not rewritten: whole parts leave when their time has come.
func (db *DB) Retain(ctx context.Context, ages map[string]time.Duration) error {
	for _, table := range slices.Sorted(maps.Keys(ages)) {
		ttl := fmt.Sprintf("stored_at + toIntervalSecond(%d)", int64(ages[table].Seconds()))
		var engine bytes.Buffer
		query := "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '" + table + "'"
		if err := db.Query(ctx, query, QueryOptions{Write: true}, &engine); err != nil {
			return err
		}
		if strings.Contains(engine.String(), ttl) {
			continue
		}
		db.log.Info("retention changed", "table", table, "rows_are_kept", ages[table])
		if err := db.Query(ctx, "ALTER TABLE "+table+" MODIFY TTL "+ttl, QueryOptions{
			Write: true, Settings: map[string]any{"materialize_ttl_after_modify": 0},
		}, io.Discard); err != nil {
			return err
		}
	}
	return nil
}
