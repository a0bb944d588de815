-- What were the attackers' first requests?
SELECT time, client, method, path, status, user_agent
FROM requests_readable WHERE {during} AND toIPv6(client) IN ({attackers})
ORDER BY time, client, path LIMIT 50
