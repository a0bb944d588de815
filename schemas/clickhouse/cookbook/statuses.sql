-- What were the answers, minute by minute?
SELECT toStartOfMinute(time) AS minute, status, sum(weight) AS requests FROM requests WHERE {during} GROUP BY minute, status ORDER BY minute, status
