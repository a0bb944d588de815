-- How long did clients wait, by status, on the day before and during? Seconds.
SELECT status, sumIf(weight, {isduring}) AS during, round(quantileIf(0.5)(duration, {isbefore}) / 1e6, 3) AS median_before, round(quantileIf(0.5)(duration, {isduring}) / 1e6, 3) AS median_during,
    round(quantileIf(0.95)(duration, {isduring}) / 1e6, 3) AS p95_during
FROM requests WHERE {both} AND duration > 0 GROUP BY status ORDER BY during DESC, status
