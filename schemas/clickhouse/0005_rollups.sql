-- Requests come in by `incoming`, which keeps nothing: views hand each block on to
-- `requests` and to the rollups. Every table drops a block that it has, by the token
-- that the block came with, so that an insert which was cut short completes itself
-- when it is repeated, and one that was not adds nothing. A row of weight 0 counts in
-- the rollups and is in no other table.
CREATE TABLE IF NOT EXISTS incoming
(
    time DateTime64(3, 'UTC'),
    site LowCardinality(String),
    edge LowCardinality(String),
    client IPv6,
    network IPv6,
    method LowCardinality(String),
    path String,
    query String,
    status UInt16,
    bytes UInt64,
    duration UInt64,
    upstream_duration UInt64,
    protocol LowCardinality(String),
    referer String,
    user_agent LowCardinality(String),
    accept_language LowCardinality(String),
    accept_encoding LowCardinality(String),
    tls LowCardinality(String),
    cookie Enum8('' = 0, 'none' = 1, 'some' = 2),
    action LowCardinality(String),
    decision LowCardinality(String),
    request_id String,
    cache_status LowCardinality(String),
    extra String,
    fields UInt32,
    weight Float64 COMMENT 'as in requests; 0: only counted',
    counted Float64 DEFAULT weight COMMENT 'how many requests the row is in the rollups',
    stream LowCardinality(String),
    partition UInt16,
    sequence UInt64,
    stored_at DateTime('UTC') DEFAULT now()
)
ENGINE = Null
COMMENT 'where requests come in; the other columns are as in requests';

CREATE MATERIALIZED VIEW IF NOT EXISTS incoming_to_requests TO requests AS
SELECT
    time, site, edge, client, network, method, path, query, status, bytes, duration, upstream_duration,
    protocol, referer, user_agent, accept_language, accept_encoding, tls, cookie, action, decision,
    request_id, cache_status, extra, fields, weight, stream, partition, sequence, stored_at
FROM incoming
WHERE weight > 0;

CREATE TABLE IF NOT EXISTS rollup_10s
(
    site LowCardinality(String) COMMENT 'virtual host',
    time DateTime('UTC') COMMENT 'start of the 10 seconds' CODEC(DoubleDelta, ZSTD(1)),
    requests SimpleAggregateFunction(sum, Float64) COMMENT 'all of them, also those that were not kept as rows',
    bytes SimpleAggregateFunction(sum, Float64) COMMENT 'of the answers'' bodies',
    duration SimpleAggregateFunction(sum, Float64) COMMENT 'microseconds, of all requests together',
    upstream_duration SimpleAggregateFunction(sum, Float64) COMMENT 'microseconds that the application worked, of all requests together',
    successes SimpleAggregateFunction(sum, Float64) COMMENT 'status 200 to 399',
    not_found SimpleAggregateFunction(sum, Float64) COMMENT 'status 404 and 410',
    abandoned SimpleAggregateFunction(sum, Float64) COMMENT 'status 499: the client had gone',
    errors SimpleAggregateFunction(sum, Float64) COMMENT 'status 500 and above',
    throttled SimpleAggregateFunction(sum, Float64) COMMENT 'action throttle',
    challenged SimpleAggregateFunction(sum, Float64) COMMENT 'action challenge',
    blocked SimpleAggregateFunction(sum, Float64) COMMENT 'action block',
    without_referer SimpleAggregateFunction(sum, Float64),
    clients AggregateFunction(uniqCombined64(14), IPv6) COMMENT 'distinct; uniqCombined64(14)Merge gives their number, to 0.8 %',
    networks AggregateFunction(uniqCombined64(12), IPv6) COMMENT 'distinct, to 1.6 %',
    paths AggregateFunction(uniqCombined64(14), String) COMMENT 'distinct, to 0.8 %',
    user_agents AggregateFunction(uniqCombined64(12), LowCardinality(String)) COMMENT 'distinct, to 1.6 %',
    durations AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), UInt64) COMMENT 'DDSketch of microseconds, to 1 %; requests without a duration are left out',
    stored_at SimpleAggregateFunction(max, DateTime('UTC')) COMMENT 'from when the time to keep it counts'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (site, time)
TTL stored_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'each site in 10 seconds: sums and mergeable states; traffic_10s has the numbers';

CREATE TABLE IF NOT EXISTS rollup_1m AS rollup_10s
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (site, time)
TTL stored_at + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'each site in a minute: as rollup_10s';

ALTER TABLE rollup_1m COMMENT COLUMN time 'start of the minute';

CREATE TABLE IF NOT EXISTS rollup_1h AS rollup_10s
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (site, time)
TTL stored_at + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'each site in an hour: as rollup_10s';

ALTER TABLE rollup_1h COMMENT COLUMN time 'start of the hour';

CREATE MATERIALIZED VIEW IF NOT EXISTS incoming_to_rollup_10s TO rollup_10s AS
SELECT
    incoming.site AS site,
    toStartOfInterval(incoming.time, INTERVAL 10 SECOND) AS time,
    sum(counted) AS requests,
    sum(counted * incoming.bytes) AS bytes,
    sum(counted * incoming.duration) AS duration,
    sum(counted * incoming.upstream_duration) AS upstream_duration,
    sumIf(counted, status BETWEEN 200 AND 399) AS successes,
    sumIf(counted, status IN (404, 410)) AS not_found,
    sumIf(counted, status = 499) AS abandoned,
    sumIf(counted, status >= 500) AS errors,
    sumIf(counted, action = 'throttle') AS throttled,
    sumIf(counted, action = 'challenge') AS challenged,
    sumIf(counted, action = 'block') AS blocked,
    sumIf(counted, referer = '') AS without_referer,
    uniqCombined64State(14)(client) AS clients,
    uniqCombined64State(12)(network) AS networks,
    uniqCombined64State(14)(path) AS paths,
    uniqCombined64State(12)(user_agent) AS user_agents,
    quantilesDDStateIf(0.01, 0.5, 0.95, 0.99)(incoming.duration, incoming.duration > 0) AS durations,
    max(incoming.stored_at) AS stored_at
FROM incoming
GROUP BY site, time;

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_10s_to_1m TO rollup_1m AS
SELECT
    rollup_10s.site AS site,
    toStartOfMinute(rollup_10s.time) AS time,
    sum(rollup_10s.requests) AS requests, sum(rollup_10s.bytes) AS bytes,
    sum(rollup_10s.duration) AS duration, sum(rollup_10s.upstream_duration) AS upstream_duration,
    sum(rollup_10s.successes) AS successes, sum(rollup_10s.not_found) AS not_found,
    sum(rollup_10s.abandoned) AS abandoned, sum(rollup_10s.errors) AS errors,
    sum(rollup_10s.throttled) AS throttled, sum(rollup_10s.challenged) AS challenged, sum(rollup_10s.blocked) AS blocked,
    sum(rollup_10s.without_referer) AS without_referer,
    uniqCombined64MergeState(14)(rollup_10s.clients) AS clients,
    uniqCombined64MergeState(12)(rollup_10s.networks) AS networks,
    uniqCombined64MergeState(14)(rollup_10s.paths) AS paths,
    uniqCombined64MergeState(12)(rollup_10s.user_agents) AS user_agents,
    quantilesDDMergeState(0.01, 0.5, 0.95, 0.99)(rollup_10s.durations) AS durations,
    max(rollup_10s.stored_at) AS stored_at
FROM rollup_10s
GROUP BY site, time;

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_1m_to_1h TO rollup_1h AS
SELECT
    rollup_1m.site AS site,
    toStartOfHour(rollup_1m.time) AS time,
    sum(rollup_1m.requests) AS requests, sum(rollup_1m.bytes) AS bytes,
    sum(rollup_1m.duration) AS duration, sum(rollup_1m.upstream_duration) AS upstream_duration,
    sum(rollup_1m.successes) AS successes, sum(rollup_1m.not_found) AS not_found,
    sum(rollup_1m.abandoned) AS abandoned, sum(rollup_1m.errors) AS errors,
    sum(rollup_1m.throttled) AS throttled, sum(rollup_1m.challenged) AS challenged, sum(rollup_1m.blocked) AS blocked,
    sum(rollup_1m.without_referer) AS without_referer,
    uniqCombined64MergeState(14)(rollup_1m.clients) AS clients,
    uniqCombined64MergeState(12)(rollup_1m.networks) AS networks,
    uniqCombined64MergeState(14)(rollup_1m.paths) AS paths,
    uniqCombined64MergeState(12)(rollup_1m.user_agents) AS user_agents,
    quantilesDDMergeState(0.01, 0.5, 0.95, 0.99)(rollup_1m.durations) AS durations,
    max(rollup_1m.stored_at) AS stored_at
FROM rollup_1m
GROUP BY site, time;

CREATE TABLE IF NOT EXISTS decision_hits
(
    decision LowCardinality(String),
    site LowCardinality(String),
    time DateTime('UTC') COMMENT 'start of the 10 seconds' CODEC(DoubleDelta, ZSTD(1)),
    action LowCardinality(String) COMMENT 'what the edge did; allow: let through as a probe',
    requests SimpleAggregateFunction(sum, Float64) COMMENT 'that the decision matched',
    bytes SimpleAggregateFunction(sum, Float64) COMMENT 'of the answers'' bodies',
    clients AggregateFunction(uniqCombined64(14), IPv6) COMMENT 'distinct, to 0.8 %',
    stored_at SimpleAggregateFunction(max, DateTime('UTC')) COMMENT 'from when the time to keep it counts'
)
ENGINE = AggregatingMergeTree
ORDER BY (decision, site, time, action)
TTL stored_at + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'what each decision did at the edges, in 10 seconds; decision_effect has the numbers';

CREATE MATERIALIZED VIEW IF NOT EXISTS incoming_to_decision_hits TO decision_hits AS
SELECT
    incoming.decision AS decision,
    incoming.site AS site,
    toStartOfInterval(incoming.time, INTERVAL 10 SECOND) AS time,
    incoming.action AS action,
    sum(counted) AS requests,
    sum(counted * incoming.bytes) AS bytes,
    uniqCombined64State(14)(client) AS clients,
    max(incoming.stored_at) AS stored_at
FROM incoming
WHERE incoming.decision != ''
GROUP BY decision, site, time, action;

CREATE OR REPLACE VIEW traffic_10s AS
SELECT
    site, time,
    sum(rollup_10s.requests) AS requests,
    uniqCombined64Merge(14)(rollup_10s.clients) AS clients,
    uniqCombined64Merge(12)(rollup_10s.networks) AS networks,
    uniqCombined64Merge(14)(rollup_10s.paths) AS paths,
    uniqCombined64Merge(12)(rollup_10s.user_agents) AS user_agents,
    sum(rollup_10s.successes) AS successes, sum(rollup_10s.not_found) AS not_found,
    sum(rollup_10s.abandoned) AS abandoned, sum(rollup_10s.errors) AS errors,
    sum(rollup_10s.throttled) AS throttled, sum(rollup_10s.challenged) AS challenged, sum(rollup_10s.blocked) AS blocked,
    sum(rollup_10s.without_referer) AS without_referer,
    sum(rollup_10s.bytes) AS bytes,
    sum(rollup_10s.upstream_duration) / 1e6 AS upstream_seconds,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(rollup_10s.durations) AS quantiles,
    quantiles[1] / 1e6 AS median_seconds, quantiles[2] / 1e6 AS p95_seconds, quantiles[3] / 1e6 AS p99_seconds
FROM rollup_10s
GROUP BY site, time
COMMENT 'each site in 10 seconds, as numbers';

CREATE OR REPLACE VIEW traffic_1m AS
SELECT
    site, time,
    sum(rollup_1m.requests) AS requests,
    uniqCombined64Merge(14)(rollup_1m.clients) AS clients,
    uniqCombined64Merge(12)(rollup_1m.networks) AS networks,
    uniqCombined64Merge(14)(rollup_1m.paths) AS paths,
    uniqCombined64Merge(12)(rollup_1m.user_agents) AS user_agents,
    sum(rollup_1m.successes) AS successes, sum(rollup_1m.not_found) AS not_found,
    sum(rollup_1m.abandoned) AS abandoned, sum(rollup_1m.errors) AS errors,
    sum(rollup_1m.throttled) AS throttled, sum(rollup_1m.challenged) AS challenged, sum(rollup_1m.blocked) AS blocked,
    sum(rollup_1m.without_referer) AS without_referer,
    sum(rollup_1m.bytes) AS bytes,
    sum(rollup_1m.upstream_duration) / 1e6 AS upstream_seconds,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(rollup_1m.durations) AS quantiles,
    quantiles[1] / 1e6 AS median_seconds, quantiles[2] / 1e6 AS p95_seconds, quantiles[3] / 1e6 AS p99_seconds
FROM rollup_1m
GROUP BY site, time
COMMENT 'each site in a minute, as numbers';

CREATE OR REPLACE VIEW traffic_1h AS
SELECT
    site, time,
    sum(rollup_1h.requests) AS requests,
    uniqCombined64Merge(14)(rollup_1h.clients) AS clients,
    uniqCombined64Merge(12)(rollup_1h.networks) AS networks,
    uniqCombined64Merge(14)(rollup_1h.paths) AS paths,
    uniqCombined64Merge(12)(rollup_1h.user_agents) AS user_agents,
    sum(rollup_1h.successes) AS successes, sum(rollup_1h.not_found) AS not_found,
    sum(rollup_1h.abandoned) AS abandoned, sum(rollup_1h.errors) AS errors,
    sum(rollup_1h.throttled) AS throttled, sum(rollup_1h.challenged) AS challenged, sum(rollup_1h.blocked) AS blocked,
    sum(rollup_1h.without_referer) AS without_referer,
    sum(rollup_1h.bytes) AS bytes,
    sum(rollup_1h.upstream_duration) / 1e6 AS upstream_seconds,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(rollup_1h.durations) AS quantiles,
    quantiles[1] / 1e6 AS median_seconds, quantiles[2] / 1e6 AS p95_seconds, quantiles[3] / 1e6 AS p99_seconds
FROM rollup_1h
GROUP BY site, time
COMMENT 'each site in an hour, as numbers';

CREATE OR REPLACE VIEW decision_effect AS
SELECT
    decision, site, time, action,
    sum(decision_hits.requests) AS requests,
    uniqCombined64Merge(14)(decision_hits.clients) AS clients,
    sum(decision_hits.bytes) AS bytes
FROM decision_hits
GROUP BY decision, site, time, action
COMMENT 'what each decision did at the edges, in 10 seconds, as numbers';

ALTER TABLE requests
    COMMENT COLUMN weight 'how many requests the row stands for: 1, or more where requests were sampled',
    COMMENT COLUMN method 'as sent',
    COMMENT COLUMN protocol 'HTTP/1.1, HTTP/2.0, ...',
    COMMENT COLUMN referer 'as sent; see fields for whether the format carries it',
    COMMENT COLUMN user_agent 'as sent',
    COMMENT COLUMN accept_language 'as sent',
    COMMENT COLUMN accept_encoding 'as sent',
    COMMENT COLUMN request_id 'as the edge numbered it',
    COMMENT COLUMN stored_at 'from when the time to keep it counts';

ALTER TABLE signals
    COMMENT COLUMN site 'virtual host',
    COMMENT COLUMN value 'of the window',
    COMMENT COLUMN stored_at 'from when the time to keep it counts';

ALTER TABLE incidents
    COMMENT COLUMN incident 'its id',
    COMMENT COLUMN sites 'that it is on',
    COMMENT COLUMN opened 'when it was noticed',
    COMMENT COLUMN closed 'null: it goes on',
    COMMENT COLUMN stored_at 'when weir stored the row';

ALTER TABLE decisions
    COMMENT COLUMN decision 'its id',
    COMMENT COLUMN incident 'that it was made in; empty: by hand',
    COMMENT COLUMN value 'an address, a prefix, traits, or a site, by scope',
    COMMENT COLUMN expires 'unless it is renewed',
    COMMENT COLUMN reason 'one sentence',
    COMMENT COLUMN stored_at 'when weir stored the row';

ALTER TABLE decision_hits
    COMMENT COLUMN decision 'its id',
    COMMENT COLUMN site 'virtual host';

ALTER TABLE rollup_10s COMMENT COLUMN without_referer 'whose referer is empty, or not in the format';

ALTER TABLE rollup_1m COMMENT COLUMN without_referer 'whose referer is empty, or not in the format';

ALTER TABLE rollup_1h COMMENT COLUMN without_referer 'whose referer is empty, or not in the format';

ALTER TABLE vitals
    COMMENT COLUMN time 'when it was read',
    COMMENT COLUMN edge 'the server',
    COMMENT COLUMN nginx_writing 'connections whose answer is on its way',
    COMMENT COLUMN nginx_waiting 'idle connections',
    COMMENT COLUMN listen_drops 'connections dropped while being set up, of the interval',
    COMMENT COLUMN syncookies 'sent, of the interval',
    COMMENT COLUMN time_wait 'TCP sockets in that state',
    COMMENT COLUMN conntrack 'connections that the kernel tracks',
    COMMENT COLUMN conntrack_max 'that it can track',
    COMMENT COLUMN received_packets 'as received_bytes',
    COMMENT COLUMN received_dropped 'packets, as received_bytes',
    COMMENT COLUMN sent_bytes 'as received_bytes',
    COMMENT COLUMN sent_packets 'as received_bytes',
    COMMENT COLUMN load 'average of a minute',
    COMMENT COLUMN cores 'processors',
    COMMENT COLUMN memory_pressure 'share of ten seconds',
    COMMENT COLUMN io_pressure 'share of ten seconds',
    COMMENT COLUMN stored_at 'from when the time to keep it counts';
