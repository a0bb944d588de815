-- When people lifted everything everywhere, and enforced again.
CREATE TABLE IF NOT EXISTS panics
(
    time DateTime64(3, 'UTC') COMMENT 'when it was asked for',
    off Bool COMMENT 'nothing is enforced from then on; false: everything again',
    by String COMMENT 'who asked: a login, or grafana:LOGIN',
    stored_at DateTime DEFAULT now() COMMENT 'when weir stored the row'
)
ENGINE = MergeTree
ORDER BY time
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'weir panic off and on, for every edge'
