-- How are all sites, in the last day that there is anything of? (Needs no incident.)
SELECT site, sum(r.requests) AS requests, sum(successes) AS answered, sum(r.not_found) AS not_found, sum(r.errors) AS errors, sum(throttled + challenged + blocked) AS stopped
FROM rollup_1h AS r WHERE time > (SELECT max(time) FROM rollup_1h) - INTERVAL 1 DAY GROUP BY site ORDER BY requests DESC, site
