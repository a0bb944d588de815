-- What did it cost? Of attackers and of everybody else: requests, bytes sent, seconds that the application worked.
SELECT if(client IN ({attackers}), 'attackers', 'others') AS who, sum(weight) AS requests, sum(weight * bytes) AS bytes,
    round(sum(weight * if(upstream_duration > 0, upstream_duration, duration)) / 1e6, 1) AS backend_seconds
FROM requests WHERE {during} GROUP BY who ORDER BY who
