-- Which pages were asked for most, and how often on the day before?
SELECT site, path, sumIf(weight, {isbefore}) AS day_before, sumIf(weight, {isduring}) AS during
FROM requests WHERE {both} GROUP BY site, path ORDER BY during DESC, site, path LIMIT 30
