-- How weir itself is, every ten seconds: one number a row, so that a new one needs no
-- new column. What is stored again takes the place of itself.
CREATE TABLE IF NOT EXISTS figures
(
    time DateTime('UTC') COMMENT 'when it was measured' CODEC(Delta, ZSTD(1)),
    name LowCardinality(String) COMMENT 'weir_memory, clickhouse_memory, lines_refused, load_seconds, ...',
    process LowCardinality(String) COMMENT 'whose it is: an edge, nats, clickhouse, or the weir that stores',
    part LowCardinality(String) COMMENT 'of an edge: nginx, nftables, haproxy; else empty',
    value Float64 COMMENT 'bytes, seconds or decisions; of what is counted, how many since the row before' CODEC(Gorilla, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now() COMMENT 'when weir stored the row' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (name, process, part, time)
TTL stored_at + INTERVAL 30 DAY
COMMENT 'how weir, NATS, ClickHouse and what edges hold are, every 10 seconds'
