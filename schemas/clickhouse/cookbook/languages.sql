-- Which languages did clients say, in percent of requests, on the day before and during?
SELECT accept_language, round(100 * before / sum(before) OVER (), 2) AS percent_before, round(100 * during / sum(during) OVER (), 2) AS percent_during, during AS requests_during
FROM (SELECT accept_language, sumIf(weight, {isbefore}) AS before, sumIf(weight, {isduring}) AS during FROM requests WHERE {both} GROUP BY accept_language)
ORDER BY during DESC, accept_language LIMIT 30
