package clickhouse

import (
	"context"
	"fmt"
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

// insertSettings make an insert one block, which is in the table when it returns.
func insertSettings(token string) map[string]string {
	settings := map[string]string{"async_insert": "0"}
	if token != "" {
		settings["insert_deduplicate"], settings["insert_deduplication_token"] = "1", token
		// Every table behind the views of incoming drops what it has and takes what it lacks.
		settings["deduplicate_blocks_in_dependent_materialized_views"] = "1"
	}
	return settings
}

// insert stores a block, once however often it is called with the same identity.
func (db *DB) insert(ctx context.Context, id identity, b *block) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	return db.transport.insert(ctx, insertInto("incoming", b.input), insertSettings(id.token()), b.input)
}

// tokenBlocks is how many later blocks a token is sure to outlive: the tables remember
// 10,000 of them.
const tokenBlocks = 5000

// stored is how many rows of a block the table requests holds, all or none, because an
// insert of one block of one day is one part; and whether its token may be forgotten
// by now, so that inserting it again could store it twice.
func (db *DB) stored(ctx context.Context, id identity) (rows uint64, forgotten bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	// A part is called <partition>_<first block>_<last block>_<level>.
	var later int64
	err = db.conn.QueryRow(ctx, `SELECT count(),
(SELECT toInt64(max(max_block_number)) FROM system.parts WHERE database = currentDatabase() AND table = 'requests' AND active)
	- min(toInt64OrZero(splitByChar('_', toString(_part))[2]))
FROM requests
WHERE stream = ? AND partition = ? AND sequence BETWEEN ? AND ?
AND time >= fromUnixTimestamp64Milli(toInt64(?), 'UTC') AND time < fromUnixTimestamp64Milli(toInt64(?), 'UTC')`,
		id.stream, uint16(id.partition), id.first, id.last, id.day*dayMs, (id.day+1)*dayMs).Scan(&rows, &later)
	return rows, rows > 0 && later > db.tokenBlocks, err
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
