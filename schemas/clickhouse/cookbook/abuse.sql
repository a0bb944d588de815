-- For an abuse report: every attacker with its first and last request, UTC. All of them: use --format CSVWithNames.
SELECT client, network, min(time) AS first, max(time) AS last, sum(weight) AS requests, uniqExact(path) AS paths, any(user_agent) AS user_agent
FROM requests_readable WHERE {during} AND toIPv6(client) IN ({attackers})
GROUP BY client, network ORDER BY requests DESC, client
