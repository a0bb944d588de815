-- Which query keys were sent, on the day before and during?
SELECT arrayJoin(arrayMap(x -> splitByChar('=', x)[1], splitByChar('&', query))) AS key, sumIf(weight, {isbefore}) AS day_before, sumIf(weight, {isduring}) AS during
FROM requests WHERE {both} AND query != '' GROUP BY key ORDER BY during DESC, key LIMIT 30
