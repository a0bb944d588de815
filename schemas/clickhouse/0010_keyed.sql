-- The sketches of few clients are the list of their hashes. They are made of what weir has
-- encrypted, so that nobody who has the database alone can try which addresses they are of.
-- A weir from before sends no such columns, and its clients are counted as they are.
ALTER TABLE incoming
    ADD COLUMN IF NOT EXISTS counted_client IPv6 DEFAULT client COMMENT 'what of the client the rollups count: encrypted, one for one' AFTER network,
    ADD COLUMN IF NOT EXISTS counted_network IPv6 DEFAULT network COMMENT 'the same of its network' AFTER counted_client;

-- A view that was modified gives its blocks other tokens than before and after, until it is loaded
-- anew, so that a block that comes again would count twice. Renaming mends that, and the view
-- takes what is inserted meanwhile. The first of the two is for a process that ended in the middle.
RENAME TABLE IF EXISTS incoming_to_rollup_10s_again TO incoming_to_rollup_10s;

ALTER TABLE incoming_to_rollup_10s MODIFY QUERY
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
    uniqCombined64State(14)(counted_client) AS clients,
    uniqCombined64State(12)(counted_network) AS networks,
    uniqCombined64State(14)(path) AS paths,
    uniqCombined64State(12)(user_agent) AS user_agents,
    quantilesDDStateIf(0.01, 0.5, 0.95, 0.99)(incoming.duration, incoming.duration > 0) AS durations,
    max(incoming.stored_at) AS stored_at
FROM incoming
GROUP BY site, time;

RENAME TABLE incoming_to_rollup_10s TO incoming_to_rollup_10s_again, incoming_to_rollup_10s_again TO incoming_to_rollup_10s;

RENAME TABLE IF EXISTS incoming_to_decision_hits_again TO incoming_to_decision_hits;

ALTER TABLE incoming_to_decision_hits MODIFY QUERY
SELECT
    incoming.decision AS decision,
    incoming.site AS site,
    toStartOfInterval(incoming.time, INTERVAL 10 SECOND) AS time,
    incoming.action AS action,
    sum(counted) AS requests,
    sum(counted * incoming.bytes) AS bytes,
    uniqCombined64State(14)(counted_client) AS clients,
    max(incoming.stored_at) AS stored_at
FROM incoming
WHERE incoming.decision != ''
GROUP BY decision, site, time, action;

RENAME TABLE incoming_to_decision_hits TO incoming_to_decision_hits_again, incoming_to_decision_hits_again TO incoming_to_decision_hits;

ALTER TABLE rollup_10s
    COMMENT COLUMN clients 'distinct, by what nobody without weir''s key can tell; uniqCombined64(14)Merge gives their number, to 0.8 %',
    COMMENT COLUMN networks 'distinct, likewise, to 1.6 %';

ALTER TABLE rollup_1m
    COMMENT COLUMN clients 'distinct, by what nobody without weir''s key can tell; uniqCombined64(14)Merge gives their number, to 0.8 %',
    COMMENT COLUMN networks 'distinct, likewise, to 1.6 %';

ALTER TABLE rollup_1h
    COMMENT COLUMN clients 'distinct, by what nobody without weir''s key can tell; uniqCombined64(14)Merge gives their number, to 0.8 %',
    COMMENT COLUMN networks 'distinct, likewise, to 1.6 %';

ALTER TABLE decision_hits COMMENT COLUMN clients 'distinct, by what nobody without weir''s key can tell, to 0.8 %';
