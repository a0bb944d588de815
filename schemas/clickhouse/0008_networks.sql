-- The sorting key has the network after the hour and the status: the parts of a table that
-- may hold a client are found by the least and the greatest network of 8,192 rows. What was
-- stored before gets it when parts are merged.
ALTER TABLE requests ADD INDEX IF NOT EXISTS networks network TYPE minmax GRANULARITY 1;
