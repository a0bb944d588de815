-- Every column says what it is, also where people seldom look.
ALTER TABLE schema_migrations
    COMMENT COLUMN version 'of the step, from 1',
    COMMENT COLUMN name 'of the step',
    COMMENT COLUMN applied_at 'when';

ALTER TABLE incoming
    COMMENT COLUMN time 'when the edge logged it: for nginx, when it had answered',
    COMMENT COLUMN site 'virtual host, lower case, no port',
    COMMENT COLUMN edge 'the server that logged it',
    COMMENT COLUMN client 'address, or what privacy.addresses keeps of it; IPv4 as ::ffff:a.b.c.d',
    COMMENT COLUMN network 'first address of the client''s IPv4 /24 or IPv6 /48',
    COMMENT COLUMN method 'as sent',
    COMMENT COLUMN path 'as sent, without the query',
    COMMENT COLUMN query 'without the question mark; of values, what privacy keeps',
    COMMENT COLUMN status '0: unknown',
    COMMENT COLUMN bytes 'of the answer''s body',
    COMMENT COLUMN duration 'microseconds; 0: unknown',
    COMMENT COLUMN upstream_duration 'microseconds; 0: unknown',
    COMMENT COLUMN protocol 'HTTP/1.1, HTTP/2.0, ...',
    COMMENT COLUMN referer 'of values in its query, what privacy keeps; see fields for whether the format carries it',
    COMMENT COLUMN user_agent 'as sent',
    COMMENT COLUMN accept_language 'as sent',
    COMMENT COLUMN accept_encoding 'as sent',
    COMMENT COLUMN tls 'protocol, cipher, curves, normalised',
    COMMENT COLUMN cookie 'whether it carried any; empty: unknown',
    COMMENT COLUMN action 'what the edge did: allow, throttle, challenge, block; empty: not logged',
    COMMENT COLUMN decision 'the decision that it did it for',
    COMMENT COLUMN request_id 'as the edge numbered it',
    COMMENT COLUMN cache_status 'what the edge''s cache did, as logged: HIT, MISS, ...; empty: not logged',
    COMMENT COLUMN extra 'other named fields of the format, name=value each, tab-separated',
    COMMENT COLUMN fields 'bits of the fields that the log format carries; what is not carried is unknown, not absent',
    COMMENT COLUMN stream 'what it was read from: a NATS stream, or a replay',
    COMMENT COLUMN partition 'of the stream',
    COMMENT COLUMN sequence 'of its batch in the stream',
    COMMENT COLUMN stored_at 'from when the time to keep it counts';

ALTER TABLE requests
    COMMENT COLUMN client 'address, or what privacy.addresses keeps of it; IPv4 as ::ffff:a.b.c.d',
    COMMENT COLUMN query 'without the question mark; of values, what privacy keeps',
    COMMENT COLUMN referer 'of values in its query, what privacy keeps; see fields for whether the format carries it';
