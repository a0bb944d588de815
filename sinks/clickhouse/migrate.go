package clickhouse

import (
	"context"
	"fmt"

	migrations "github.com/weir-project/weir/schemas/clickhouse"
)

const createMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations
(version UInt32, name String, applied_at DateTime('UTC') DEFAULT now())
ENGINE = ReplacingMergeTree ORDER BY version COMMENT 'steps of the schema that have been applied'`

// Migrate brings the schema up to what this program knows. It can be repeated and
// may run in several processes at once. A schema that is newer is refused: a newer
// program wrote it, and what it means by its tables is not known here.
func (db *DB) Migrate(ctx context.Context) error {
	all, err := migrations.Migrations()
	if err != nil {
		return err
	}
	if err := db.conn.Exec(ctx, createMigrations); err != nil {
		return fmt.Errorf("%s: create schema_migrations: %s", db.where, oneLine(err))
	}
	var version uint32
	if err := db.conn.QueryRow(ctx, "SELECT max(version) FROM schema_migrations").Scan(&version); err != nil {
		return fmt.Errorf("%s: read the schema's version: %s", db.where, oneLine(err))
	}
	if int(version) > len(all) {
		return fmt.Errorf("%s has schema version %d, and this weir knows up to %d: use a newer weir", db.where, version, len(all))
	}
	for _, step := range all[version:] {
		if err := db.apply(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) apply(ctx context.Context, step migrations.Migration) error {
	for _, statement := range step.Statements {
		if err := db.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: migration %d (%s): %s", db.where, step.Version, step.Name, oneLine(err))
		}
	}
	if err := db.conn.Exec(ctx, "INSERT INTO schema_migrations (version, name) VALUES (?, ?)", step.Version, step.Name); err != nil {
		return fmt.Errorf("%s: migration %d (%s): %s", db.where, step.Version, step.Name, oneLine(err))
	}
	db.log.Info("schema migrated", "version", step.Version, "name", step.Name)
	return nil
}
