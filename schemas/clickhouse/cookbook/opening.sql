-- What was out of its range when it opened?
SELECT JSONExtractString(s, 'name') AS signal, JSONExtractString(s, 'group') AS `group`, JSONExtractFloat(s, 'value') AS value,
    JSONExtractFloat(s, 'normal') AS normal, round(JSONExtractFloat(s, 'score'), 1) AS score
FROM incidents ARRAY JOIN JSONExtractArrayRaw(signals) AS s
WHERE incident = {incident} AND type = 'incident.opened' ORDER BY score DESC, signal
