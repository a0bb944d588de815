-- Which attackers came back in the week after the incident had closed?
SELECT client, min(time) AS first, max(time) AS last, sum(weight) AS requests, countIf(action IN ('block', 'challenge', 'throttle')) AS stopped, groupUniqArray(5)(site) AS sites
FROM requests_readable WHERE time > {end} AND time <= {end} + INTERVAL 7 DAY AND toIPv6(client) IN ({attackers})
GROUP BY client ORDER BY requests DESC, client LIMIT 100
