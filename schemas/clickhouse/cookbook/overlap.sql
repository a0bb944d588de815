-- How many attackers were in an earlier incident's time and place? (--other names it; else the last one before.)
SELECT {other} AS other_incident, count() AS attackers, countIf(client IN (SELECT client FROM requests WHERE {otherduring})) AS there_before,
    uniqExact(network) AS networks, uniqExactIf(network, network IN (SELECT network FROM requests WHERE {otherduring})) AS networks_there_before
FROM (SELECT client, any(network) AS network FROM requests WHERE {during} AND client IN ({attackers}) GROUP BY client)
