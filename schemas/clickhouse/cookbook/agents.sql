-- Which agents came, in percent of requests, on the day before and during?
SELECT user_agent, round(100 * before / sum(before) OVER (), 2) AS percent_before, round(100 * during / sum(during) OVER (), 2) AS percent_during, during AS requests_during
FROM (SELECT user_agent, sumIf(weight, {isbefore}) AS before, sumIf(weight, {isduring}) AS during FROM requests WHERE {both} GROUP BY user_agent)
ORDER BY during DESC, user_agent LIMIT 30
