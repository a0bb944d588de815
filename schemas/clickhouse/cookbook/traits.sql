-- What sets the attack apart? Values of single traits by the bits of evidence that one request with it gives: log2 of its share during to its share on the day before.
WITH (SELECT (sumIf(weight, {isbefore}), sumIf(weight, {isduring})) FROM requests WHERE {both}) AS all
SELECT trait, value, round(100 * before / all.1, 2) AS percent_before, round(100 * during / all.2, 2) AS percent_during,
    round(log2((during + 0.5) / (all.2 + 1)) - log2((before + 0.5) / (all.1 + 1)), 1) + 0 AS bits
FROM (
    SELECT 'user_agent' AS trait, toString(user_agent) AS value, sumIf(weight, {isbefore}) AS before, sumIf(weight, {isduring}) AS during FROM requests WHERE {both} GROUP BY user_agent
    UNION ALL SELECT 'accept_language', toString(accept_language), sumIf(weight, {isbefore}), sumIf(weight, {isduring}) FROM requests WHERE {both} GROUP BY accept_language
    UNION ALL SELECT 'accept_encoding', toString(accept_encoding), sumIf(weight, {isbefore}), sumIf(weight, {isduring}) FROM requests WHERE {both} GROUP BY accept_encoding
    UNION ALL SELECT 'tls', toString(tls), sumIf(weight, {isbefore}), sumIf(weight, {isduring}) FROM requests WHERE {both} GROUP BY tls
    UNION ALL SELECT 'protocol', toString(protocol), sumIf(weight, {isbefore}), sumIf(weight, {isduring}) FROM requests WHERE {both} GROUP BY protocol
    UNION ALL SELECT 'method', toString(method), sumIf(weight, {isbefore}), sumIf(weight, {isduring}) FROM requests WHERE {both} GROUP BY method
    UNION ALL SELECT 'cookie', toString(cookie), sumIf(weight, {isbefore}), sumIf(weight, {isduring}) FROM requests WHERE {both} GROUP BY cookie
    UNION ALL SELECT 'referer', if(empty(referer), '', 'some') AS value, sumIf(weight, {isbefore}), sumIf(weight, {isduring}) FROM requests WHERE {both} GROUP BY value)
WHERE during >= 0.05 * all.2
ORDER BY bits DESC, trait, value LIMIT 20
