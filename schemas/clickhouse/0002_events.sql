-- What weir saw and did. Small tables, for years: no partitions, because a replay
-- may bring events of many months in one block.
CREATE TABLE IF NOT EXISTS signals
(
    time DateTime64(3, 'UTC') COMMENT 'end of the window' CODEC(Delta, ZSTD(1)),
    site LowCardinality(String),
    window LowCardinality(String) COMMENT '10s, 1m, 10m',
    name LowCardinality(String) COMMENT 'request_rate, unique_clients, path_entropy, ...',
    `group` LowCardinality(String) COMMENT 'volume, composition, harm',
    value Float64 CODEC(Gorilla, ZSTD(1)),
    normal Float64 COMMENT 'the baseline''s level' CODEC(Gorilla, ZSTD(1)),
    score Float64 COMMENT 'spreads above the level, on the signal''s own scale' CODEC(Gorilla, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (site, name, window, time)
TTL stored_at + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'the numbers of each window beside what is normal';

CREATE TABLE IF NOT EXISTS incidents
(
    time DateTime64(3, 'UTC') COMMENT 'event time',
    type LowCardinality(String) COMMENT 'incident.opened, incident.updated, incident.closed',
    incident String,
    kind LowCardinality(String) COMMENT 'flood, scrape, scan, silent, crowd, breakage, release, crawler',
    sites Array(LowCardinality(String)),
    opened Nullable(DateTime64(3, 'UTC')),
    closed Nullable(DateTime64(3, 'UTC')),
    cause String COMMENT 'one sentence',
    signals String COMMENT 'JSON: a list of name, group, value, normal, score',
    stored_at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (time, incident)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'every change of an incident; incidents_latest has the last of each';

CREATE TABLE IF NOT EXISTS decisions
(
    time DateTime64(3, 'UTC') COMMENT 'event time',
    type LowCardinality(String) COMMENT 'decision.added, decision.renewed, decision.removed',
    decision String,
    incident String,
    sites Array(LowCardinality(String)) COMMENT 'empty: every site',
    action LowCardinality(String) COMMENT 'throttle, challenge, block',
    scope LowCardinality(String) COMMENT 'client, prefix, signature, site',
    value String,
    expires DateTime64(3, 'UTC'),
    collateral Float64 COMMENT 'upper 95 % bound of the share of the site''s people that it would touch',
    collateral_per_hour Float64 COMMENT 'the same as people an hour',
    collateral_clients UInt64 COMMENT 'how many held-out clients the bound rests on',
    reason String,
    origin LowCardinality(String) COMMENT 'weir, or who added it by hand',
    evidence String COMMENT 'JSON; empty: none',
    stored_at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (time, decision)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'every change of a decision; decisions_latest has the last of each';

CREATE OR REPLACE VIEW incidents_latest AS
SELECT * FROM incidents ORDER BY incident, time DESC, type = 'incident.closed' DESC LIMIT 1 BY incident
COMMENT 'the last state of each incident';

CREATE OR REPLACE VIEW decisions_latest AS
SELECT * FROM decisions ORDER BY decision, time DESC, type = 'decision.removed' DESC LIMIT 1 BY decision
COMMENT 'the last state of each decision';
