-- For an abuse report: every attacker with its first and last request, UTC. All of them: use --format CSVWithNames.
SELECT replaceOne(toString(address), '::ffff:', '') AS client, replaceOne(toString(block), '::ffff:', '') || if(client = toString(address), '/48', '/24') AS network, first, last, requests, paths, agent AS user_agent
FROM (SELECT requests.client AS address, any(requests.network) AS block, min(time) AS first, max(time) AS last, sum(weight) AS requests, uniqExact(path) AS paths, any(user_agent) AS agent
    FROM requests WHERE {during} AND requests.client IN ({attackers}) GROUP BY address)
ORDER BY requests DESC, client
