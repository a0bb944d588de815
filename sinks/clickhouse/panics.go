package clickhouse

import (
	"context"

	"github.com/weir-project/weir/schemas"
)

// RecordPanic stores that a person lifted everything, or enforced again; token as for
// RecordEvents.
func (db *DB) RecordPanic(ctx context.Context, token string, p schemas.Panic) error {
	return record(ctx, db, "panics", "time, off, by", token, []schemas.Panic{p}, func(p schemas.Panic) ([]any, error) {
		return []any{clamp(p.Time), p.Off, p.By}, nil
	})
}
