-- Every request, one row. A block of rows is within one day of `time`, because a
-- part is; `stored_at` and not `time` decides when a row may go, or a log of last
-- year would vanish at its first merge. `client` is in no sorting key, so that it
-- can be shortened later.
CREATE TABLE IF NOT EXISTS requests
(
    time DateTime64(3, 'UTC') COMMENT 'when the edge logged it: for nginx, when it had answered' CODEC(Delta, ZSTD(1)),
    site LowCardinality(String) COMMENT 'virtual host, lower case, no port',
    edge LowCardinality(String) COMMENT 'the server that logged it',
    client IPv6 COMMENT 'address; IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    network IPv6 COMMENT 'first address of the client''s IPv4 /24 or IPv6 /48' CODEC(ZSTD(1)),
    method LowCardinality(String),
    path String COMMENT 'as sent, without the query' CODEC(ZSTD(1)),
    query String COMMENT 'as sent, without the question mark' CODEC(ZSTD(1)),
    status UInt16 COMMENT '0: unknown',
    bytes UInt64 COMMENT 'of the answer''s body' CODEC(T64, ZSTD(1)),
    duration UInt64 COMMENT 'microseconds; 0: unknown' CODEC(T64, ZSTD(1)),
    upstream_duration UInt64 COMMENT 'microseconds; 0: unknown' CODEC(T64, ZSTD(1)),
    protocol LowCardinality(String),
    referer String CODEC(ZSTD(1)),
    user_agent LowCardinality(String),
    accept_language LowCardinality(String),
    accept_encoding LowCardinality(String),
    tls LowCardinality(String) COMMENT 'protocol, cipher, curves, normalised',
    cookie Enum8('' = 0, 'none' = 1, 'some' = 2) COMMENT 'whether it carried any; empty: unknown',
    action LowCardinality(String) COMMENT 'what the edge did: allow, throttle, challenge, block; empty: not logged',
    decision LowCardinality(String) COMMENT 'the decision that it did it for',
    request_id String CODEC(ZSTD(1)),
    fields UInt32 COMMENT 'bits of the fields that the log format carries; what is not carried is unknown, not absent' CODEC(T64, ZSTD(1)),
    weight Float64 COMMENT 'how many requests the row stands for' CODEC(ZSTD(1)),
    stream LowCardinality(String) COMMENT 'what it was read from: a NATS stream, or a replay',
    partition UInt16 COMMENT 'of the stream',
    sequence UInt64 COMMENT 'of its batch in the stream' CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX sequences (stream, partition, sequence) TYPE minmax GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(time)
ORDER BY (site, toStartOfHour(time), status, network, time)
TTL stored_at + INTERVAL 90 DAY
SETTINGS
    -- ClickHouse ignores insert_deduplication_token without it.
    non_replicated_deduplication_window = 10000,
    ttl_only_drop_parts = 1,
    -- A stored block survives a power cut, too.
    fsync_after_insert = 1, fsync_part_directory = 1,
    -- A new block is one file rather than one for each column: a quarter less processor
    -- time for storing and merging.
    min_bytes_for_wide_part = 134217728
COMMENT 'requests as the edges logged them';

CREATE OR REPLACE VIEW requests_readable AS
SELECT
    time, site,
    if(isIPAddressInRange(toString(requests.client), '::ffff:0.0.0.0/96'),
        IPv4NumToString(toIPv4(requests.client)), IPv6NumToString(requests.client)) AS client,
    if(isIPAddressInRange(toString(requests.network), '::ffff:0.0.0.0/96'),
        IPv4NumToString(toIPv4(requests.network)) || '/24', IPv6NumToString(requests.network) || '/48') AS network,
    method, path, query, status, bytes,
    requests.duration / 1e6 AS duration,
    requests.upstream_duration / 1e6 AS upstream_duration,
    protocol, referer, user_agent, accept_language, accept_encoding, tls, cookie, action, decision, request_id, edge
FROM requests
COMMENT 'requests as a person reads them: IPv4 clients as IPv4, durations in seconds';
