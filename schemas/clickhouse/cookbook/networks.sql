-- Do the attackers sit in few networks?
SELECT network, uniqExact(client) AS clients, sum(weight) AS requests
FROM requests_readable WHERE {during} AND toIPv6(client) IN ({attackers}) GROUP BY network ORDER BY clients DESC, requests DESC, network LIMIT 30
