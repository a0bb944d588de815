-- What got through? Attackers' requests that no edge stopped, by status.
SELECT status, sum(weight) AS requests, uniq(client) AS clients, min(time) AS first, max(time) AS last
FROM requests WHERE {during} AND client IN ({attackers}) AND action NOT IN ('block', 'challenge', 'throttle')
GROUP BY status ORDER BY requests DESC, status
