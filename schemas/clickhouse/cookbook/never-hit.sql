-- What did attackers ask for that visitors never asked for on the day before?
SELECT path, sum(weight) AS requests, uniq(client) AS clients, arraySort(groupUniqArray(3)(status)) AS statuses
FROM requests WHERE {during} AND client IN ({attackers})
    AND cityHash64(site, path) NOT IN (SELECT cityHash64(site, path) AS page FROM requests WHERE {before} GROUP BY page)
GROUP BY path ORDER BY requests DESC, path LIMIT 30
