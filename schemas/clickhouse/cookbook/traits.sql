-- What sets the attack apart? Values of single traits by the bits of evidence that one request with it gives: log2 of its share during to its share on the day before.
SELECT trait, value, round(100 * before / all_before, 2) AS percent_before, round(100 * during / all_during, 2) AS percent_during,
    round(log2((during + 0.5) / (all_during + 1)) - log2((before + 0.5) / (all_before + 1)), 1) + 0 AS bits
FROM (
    SELECT multiIf(grouping(user_agent) = 0, ('user_agent', toString(user_agent)), grouping(accept_language) = 0, ('accept_language', toString(accept_language)),
        grouping(accept_encoding) = 0, ('accept_encoding', toString(accept_encoding)), grouping(tls) = 0, ('tls', toString(tls)), grouping(protocol) = 0, ('protocol', toString(protocol)),
        grouping(method) = 0, ('method', toString(method)), grouping(cookie) = 0, ('cookie', toString(cookie)), ('referer', if(referred, 'some', ''))) AS named,
        tupleElement(named, 1) AS trait, tupleElement(named, 2) AS value, sum(was) AS before, sum(is) AS during,
        sumIf(before, trait = 'method') OVER () AS all_before, sumIf(during, trait = 'method') OVER () AS all_during
    FROM (SELECT user_agent, accept_language, accept_encoding, tls, protocol, method, cookie, notEmpty(referer) AS referred, if({isbefore}, weight, 0) AS was, if({isduring}, weight, 0) AS is
        FROM requests WHERE {both})
    GROUP BY GROUPING SETS ((user_agent), (accept_language), (accept_encoding), (tls), (protocol), (method), (cookie), (referred)))
WHERE during >= 0.05 * all_during
ORDER BY bits DESC, trait, value LIMIT 20
