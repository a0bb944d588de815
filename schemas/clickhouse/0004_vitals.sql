-- How edges are, once a second. Rates of a longer time are sums over it. What is stored
-- again after a crash takes the place of itself.
CREATE TABLE IF NOT EXISTS vitals
(
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    edge LowCardinality(String),
    interval Float32 COMMENT 'seconds that the counts are of; 0: just started',
    nginx_answered Nullable(Bool) COMMENT 'stub_status in time; null: not asked',
    nginx_active Int64 COMMENT 'connections' CODEC(T64, ZSTD(1)),
    nginx_reading Int64 COMMENT 'connections whose request header is being read' CODEC(T64, ZSTD(1)),
    nginx_writing Int64 CODEC(T64, ZSTD(1)),
    nginx_waiting Int64 CODEC(T64, ZSTD(1)),
    nginx_accepted UInt64 COMMENT 'connections, of the interval' CODEC(T64, ZSTD(1)),
    nginx_requests UInt64 COMMENT 'of the interval' CODEC(T64, ZSTD(1)),
    listen_waiting Int64 COMMENT 'connections that wait to be accepted, of all sockets' CODEC(T64, ZSTD(1)),
    listen_overflows UInt64 COMMENT 'connections refused, a queue was full' CODEC(T64, ZSTD(1)),
    listen_drops UInt64 CODEC(T64, ZSTD(1)),
    syncookies UInt64 CODEC(T64, ZSTD(1)),
    sockets Int64 COMMENT 'of TCP, in use' CODEC(T64, ZSTD(1)),
    time_wait Int64 CODEC(T64, ZSTD(1)),
    conntrack Int64 CODEC(T64, ZSTD(1)),
    conntrack_max Int64 CODEC(T64, ZSTD(1)),
    received_bytes UInt64 COMMENT 'of all interfaces but the loopback, of the interval' CODEC(T64, ZSTD(1)),
    received_packets UInt64 CODEC(T64, ZSTD(1)),
    received_dropped UInt64 CODEC(T64, ZSTD(1)),
    sent_bytes UInt64 CODEC(T64, ZSTD(1)),
    sent_packets UInt64 CODEC(T64, ZSTD(1)),
    load Float32 CODEC(Gorilla, ZSTD(1)),
    cores UInt16,
    memory_total Int64 COMMENT 'bytes' CODEC(T64, ZSTD(1)),
    memory_available Int64 COMMENT 'bytes' CODEC(T64, ZSTD(1)),
    cpu_pressure Float32 COMMENT 'share of ten seconds' CODEC(Gorilla, ZSTD(1)),
    memory_pressure Float32 CODEC(Gorilla, ZSTD(1)),
    io_pressure Float32 CODEC(Gorilla, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (edge, time)
TTL stored_at + INTERVAL 30 DAY
COMMENT 'how edges are, once a second, beside their requests';
