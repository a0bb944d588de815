-- Which pages were asked for most, and how often on the day before?
SELECT site, path, sumIf(weight, {isbefore}) AS day_before, sumIf(weight, {isduring}) AS during
FROM requests WHERE {both}
    AND path IN (SELECT path FROM requests WHERE {during} GROUP BY site, path ORDER BY sum(weight) DESC, site, path LIMIT 30)
GROUP BY site, path HAVING during > 0 ORDER BY during DESC, site, path LIMIT 30
