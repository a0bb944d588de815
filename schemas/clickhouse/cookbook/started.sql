-- Who started it? The first attackers, with what they asked for first.
SELECT client, min(time) AS first, argMin(path, time) AS first_path, sum(weight) AS requests, any(user_agent) AS user_agent
FROM requests_readable WHERE {during} AND toIPv6(client) IN ({attackers})
GROUP BY client ORDER BY first, client LIMIT 20
