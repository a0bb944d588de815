-- Which other sites did the attackers visit in the same hours?
SELECT site, sum(weight) AS requests, uniq(client) AS clients FROM requests
WHERE time >= {begin} AND time <= {end} AND site NOT IN ({sites}) AND client IN ({attackers}) GROUP BY site ORDER BY requests DESC, site
