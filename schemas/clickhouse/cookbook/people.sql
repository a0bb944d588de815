-- How did known visitors fare, minute by minute? Shares in percent of their requests.
SELECT toStartOfMinute(time) AS minute, uniq(client) AS clients, sum(weight) AS requests, round(100 * sumIf(weight, status BETWEEN 200 AND 399) / requests, 1) AS answered,
    round(100 * sumIf(weight, action IN ('block', 'challenge', 'throttle')) / requests, 1) AS stopped,
    round(100 * sumIf(weight, status >= 499 AND action NOT IN ('block', 'challenge', 'throttle')) / requests, 1) AS failed
FROM requests WHERE {during} AND client IN ({known}) GROUP BY minute ORDER BY minute
