-- Whom may we have wronged? Clients that were answered well on the day before and stopped during.
SELECT client, countIf(action IN ('block', 'challenge', 'throttle')) AS stopped, countIf(status BETWEEN 200 AND 399 AND action NOT IN ('block', 'challenge', 'throttle')) AS answered,
    min(time) AS first, any(user_agent) AS user_agent, groupUniqArrayIf(5)(decision, decision != '') AS decisions
FROM requests_readable WHERE {during} AND toIPv6(client) IN ({known})
GROUP BY client HAVING stopped > 0 ORDER BY stopped DESC, client LIMIT 100
