-- Half the bytes of what is the same for many rows in a row, by `weir bench store`.
ALTER TABLE requests
    MODIFY COLUMN user_agent CODEC(ZSTD(1)),
    MODIFY COLUMN tls CODEC(ZSTD(1)),
    MODIFY COLUMN accept_language CODEC(ZSTD(1)),
    MODIFY COLUMN accept_encoding CODEC(ZSTD(1)),
    MODIFY COLUMN protocol CODEC(ZSTD(1)),
    MODIFY COLUMN cookie CODEC(ZSTD(1));
