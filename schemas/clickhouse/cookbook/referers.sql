-- Where did they say that they came from?
SELECT if(referer = '', '', domain(referer)) AS referer_host, sumIf(weight, {isbefore}) AS day_before, sumIf(weight, {isduring}) AS during
FROM requests WHERE {both} GROUP BY referer_host ORDER BY during DESC, referer_host LIMIT 30
