-- What a format carries beyond the common fields.
ALTER TABLE requests
    ADD COLUMN IF NOT EXISTS cache_status LowCardinality(String)
        COMMENT 'what the edge''s cache did, as logged: HIT, MISS, ...; empty: not logged' AFTER request_id,
    ADD COLUMN IF NOT EXISTS extra String
        COMMENT 'other named fields of the format, name=value each, tab-separated' CODEC(ZSTD(1)) AFTER cache_status;

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
    protocol, referer, user_agent, accept_language, accept_encoding, tls, cookie, action, decision, request_id,
    cache_status, extra, edge, weight
FROM requests
COMMENT 'requests as a person reads them: IPv4 clients as IPv4, durations in seconds';
