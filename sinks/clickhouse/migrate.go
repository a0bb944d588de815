package clickhouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	migrations "github.com/weir-project/weir/schemas/clickhouse"
)

const createMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations
(version UInt32, name String, applied_at DateTime('UTC') DEFAULT now())
ENGINE = ReplacingMergeTree ORDER BY version COMMENT 'steps of the schema that have been applied'`

// Migrate brings the schema up to what this program knows. It can be repeated and
// may run in several processes at once, and goes on where the server ended in the
// middle and is there again. A schema that is newer is refused: a newer
// program wrote it, and what it means by its tables is not known here.
func (db *DB) Migrate(ctx context.Context) error {
	return db.patiently(ctx, "the schema could not be migrated; trying again", db.migrate)
}

// patiently does what may be repeated again where the server has ended in the middle of it.
func (db *DB) patiently(ctx context.Context, trouble string, do func(context.Context) error) error {
	for pause := retryMin; ; pause *= 2 {
		err := do(ctx)
		if !brokenOff(err) || pause > longestBreak || ctx.Err() != nil || db.Gone() != nil {
			return err
		}
		db.log.Warn(trouble, "pause", pause, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// longestBreak is after which pause a server that breaks off is given up.
const longestBreak = 5 * time.Second

// brokenOff reports whether the connection ended in the middle of a statement.
func brokenOff(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// brief is a server's error as one line.
type brief struct{ error }

func (b brief) Error() string { return oneLine(b.error) }
func (b brief) Unwrap() error { return b.error }

func (db *DB) migrate(ctx context.Context) error {
	all, err := migrations.Migrations()
	if err != nil {
		return err
	}
	if err := db.conn.Exec(ctx, createMigrations); err != nil {
		return fmt.Errorf("%s: create schema_migrations: %w", db.where, brief{err})
	}
	version, err := db.version(ctx, len(all))
	if err != nil || version == len(all) {
		return err
	}
	unlock, err := db.lockSchema(ctx)
	if err != nil {
		return err
	}
	err = db.applyAll(ctx, all)
	return errors.Join(err, unlock())
}

// version is the schema's.
func (db *DB) version(ctx context.Context, known int) (int, error) {
	var version uint32
	if err := db.conn.QueryRow(ctx, "SELECT max(version) FROM schema_migrations").Scan(&version); err != nil {
		return 0, fmt.Errorf("%s: read the schema's version: %w", db.where, brief{err})
	}
	if int(version) > known {
		return 0, fmt.Errorf("%s has schema version %d, and this weir knows up to %d: use a newer weir", db.where, version, known)
	}
	return int(version), nil
}

// applyAll applies what nobody has applied before; the caller holds the schema's lock.
func (db *DB) applyAll(ctx context.Context, all []migrations.Migration) error {
	version, err := db.version(ctx, len(all)) // who held the lock before may have done it all
	if err != nil {
		return err
	}
	for _, step := range all[version:] {
		if err := db.apply(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// The lock of the schema is a table that only one of several can create. One that is older
// than lockAge is of a process that ended in the middle: a step takes well under a second, and
// can be repeated. Who finds it moves it aside, to a name made of that one lock's id, so
// that of several only one does, and none takes the next one's lock for it. Its comment has
// the id, and when it was made by the server's clock: clickhouse-local knows neither.
const (
	schemaLock = "schema_migrating"
	lockAge    = 30 // seconds
)

// lockSchema waits until no other process migrates.
func (db *DB) lockSchema(ctx context.Context) (unlock func() error, err error) {
	aside := "" // where an old lock is
	for {
		switch created, err := db.createLock(ctx, 0); {
		case err != nil:
			return nil, fmt.Errorf("%s: lock the schema: %w", db.where, brief{err})
		case created:
			return func() error { return db.unlockSchema(context.WithoutCancel(ctx), aside) }, nil
		}
		var old string
		if err := db.conn.QueryRow(ctx, fmt.Sprintf(`SELECT anyIf(splitByChar(' ', comment)[2], toUnixTimestamp(now()) > toUInt64OrZero(splitByChar(' ', comment)[1]) + %d) AS old
FROM system.tables WHERE database = currentDatabase() AND name = '%s'`, lockAge, schemaLock)).Scan(&old); err != nil {
			return nil, fmt.Errorf("%s: lock the schema: %w", db.where, brief{err})
		}
		if lockID.MatchString(old) {
			name := schemaLock + "_" + old
			if db.conn.Exec(ctx, "RENAME TABLE "+schemaLock+" TO "+name) == nil { // else another did
				aside = name
				continue
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retryMin):
		}
	}
}

var lockID = regexp.MustCompile(`^[A-Z0-9]+$`)

// createLock makes the lock as of so many seconds ago. It is false where the lock is there.
func (db *DB) createLock(ctx context.Context, ago uint32) (created bool, err error) {
	var now uint32
	if err := db.conn.QueryRow(ctx, "SELECT toUnixTimestamp(now())").Scan(&now); err != nil {
		return false, err
	}
	err = db.conn.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (nothing UInt8) ENGINE = Null COMMENT '%d %s'", schemaLock, now-ago, rand.Text()))
	if hasCode(err, tableExists) {
		return false, nil
	}
	return err == nil, err
}

func (db *DB) unlockSchema(ctx context.Context, aside string) error {
	for _, table := range []string{schemaLock, aside} {
		if table == "" {
			continue
		}
		if err := db.conn.Exec(ctx, "DROP TABLE IF EXISTS "+table+" SYNC"); err != nil {
			return fmt.Errorf("%s: unlock the schema: %w", db.where, brief{err})
		}
	}
	return nil
}

// tableExists is ClickHouse's code for that.
const tableExists = 57

// hasCode reports whether a server's error has a code, whose form depends on the protocol.
func hasCode(err error, code int) bool {
	return err != nil && strings.Contains(strings.ToLower(err.Error()), fmt.Sprintf("code: %d,", code))
}

func (db *DB) apply(ctx context.Context, step migrations.Migration) error {
	for _, statement := range step.Statements {
		if err := db.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: migration %d (%s): %w", db.where, step.Version, step.Name, brief{err})
		}
	}
	if err := db.conn.Exec(ctx, "INSERT INTO schema_migrations (version, name) VALUES (?, ?)", step.Version, step.Name); err != nil {
		return fmt.Errorf("%s: migration %d (%s): %w", db.where, step.Version, step.Name, brief{err})
	}
	db.log.Info("schema migrated", "version", step.Version, "name", step.Name)
	return nil
}
