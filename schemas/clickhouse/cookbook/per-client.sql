-- Would a limit per address have seen it? How many attackers sent how many requests.
SELECT least(n, 20) AS requests_or_more, count() AS clients FROM
    (SELECT client, sum(weight) AS n FROM requests WHERE {during} AND client IN ({attackers}) GROUP BY client)
GROUP BY requests_or_more ORDER BY requests_or_more
