package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

// identity is what makes a block the same block again: its rows are those of this
// day in the messages first to last of a partition of a stream, less the repeated
// batches. The token is made from it, so that ClickHouse drops a second one.
type identity struct {
	stream      string
	partition   int
	first, last uint64
	day         int64
}

func (i identity) token() string {
	return fmt.Sprintf("%s/%d/%d-%d/%d", i.stream, i.partition, i.first, i.last, i.day)
}

var insertColumns = slices.Concat(
	[]string{"time", "client", "network"}, textNames[:],
	[]string{"edge", "status", "bytes", "duration", "upstream_duration", "cookie", "fields", "weight",
		"stream", "partition", "sequence"})

var insertSQL = "INSERT INTO requests (" + strings.Join(insertColumns, ", ") + ")"

// insertSettings make an insert one block that is stored when it returns.
func insertSettings(token string) driver.Settings {
	return driver.Settings{
		"insert_deduplication_token": token,
		"insert_deduplicate":         1,
		"async_insert":               0,
		// Plain strings over the wire: the server makes dictionaries of them faster than
		// clickhouse-go does.
		"low_cardinality_allow_in_native_format": 0,
	}
}

// insert stores a block, once however often it is called with the same identity.
func (db *DB) insert(ctx context.Context, id identity, b *block) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	batch, err := db.conn.PrepareBatch(driver.Context(ctx, driver.WithSettings(insertSettings(id.token()))), insertSQL)
	if err != nil {
		return err
	}
	defer batch.Close()
	columns := batch.Columns()
	if len(columns) != len(insertColumns) {
		return fmt.Errorf("the table requests has %d of %d columns: the schema is not this program's", len(columns), len(insertColumns))
	}
	for i, values := range b.columns(id) {
		if err := appendColumn(columns[i], values); err != nil {
			return fmt.Errorf("column %s: %w", insertColumns[i], err)
		}
	}
	return batch.Send()
}

func appendColumn(c column.Interface, values any) error {
	_, err := c.Append(values)
	return err
}

// columns are the block's columns in the order of insertColumns.
func (b *block) columns(id identity) []any {
	all := []any{b.time, b.client, b.network}
	for i := range b.texts {
		all = append(all, b.texts[i])
	}
	streams, partitions := make([]string, b.rows()), make([]uint16, b.rows())
	for i := range streams {
		streams[i], partitions[i] = id.stream, uint16(id.partition)
	}
	return append(all, b.edge, b.status, b.bytes, b.duration, b.upstream, b.cookie, b.fields, b.weight,
		streams, partitions, b.sequence)
}

// stored is how many rows of a block the table holds: all or none, because an
// insert of one block of one day is one part.
func (db *DB) stored(ctx context.Context, id identity) (rows uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	err = db.conn.QueryRow(ctx, `SELECT count() FROM requests
WHERE stream = ? AND partition = ? AND sequence BETWEEN ? AND ?
AND time >= fromUnixTimestamp64Milli(toInt64(?), 'UTC') AND time < fromUnixTimestamp64Milli(toInt64(?), 'UTC')`,
		id.stream, uint16(id.partition), id.first, id.last, id.day*dayMs, (id.day+1)*dayMs).Scan(&rows)
	return rows, err
}

// latest are the greatest stored sequences of a stream, by partition.
func (db *DB) latest(ctx context.Context, stream string) (map[int]uint64, error) {
	rows, err := db.conn.Query(ctx, "SELECT partition, max(sequence) FROM requests WHERE stream = ? GROUP BY partition", stream)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[int]uint64)
	for rows.Next() {
		var partition uint16
		var sequence uint64
		if err := rows.Scan(&partition, &sequence); err != nil {
			return nil, err
		}
		all[int(partition)] = sequence
	}
	return all, rows.Err()
}
