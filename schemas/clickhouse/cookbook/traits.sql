-- What sets the attack apart? Values of single traits by the bits of evidence that one request with it gives: log2 of its share during to its share on the day before.
SELECT pair.1 AS trait, pair.2 AS value, round(100 * before / (SELECT sum(weight) FROM requests WHERE {before}), 2) AS percent_before,
    round(100 * during / (SELECT sum(weight) FROM requests WHERE {during}), 2) AS percent_during,
    round(log2((during + 0.5) / (SELECT sum(weight) + 1 FROM requests WHERE {during})) - log2((before + 0.5) / (SELECT sum(weight) + 1 FROM requests WHERE {before})), 1) + 0 AS bits
FROM (
    SELECT arrayJoin([('user_agent', toString(user_agent)), ('accept_language', toString(accept_language)), ('accept_encoding', toString(accept_encoding)),
        ('tls', toString(tls)), ('protocol', toString(protocol)), ('method', toString(method)), ('cookie', toString(cookie)), ('referer', if(no_referer, '', 'some'))]) AS pair,
        sumIf(w, is_before) AS before, sumIf(w, NOT is_before) AS during
    FROM (SELECT user_agent, accept_language, accept_encoding, tls, protocol, method, cookie, referer = '' AS no_referer, {isbefore} AS is_before, sum(weight) AS w
        FROM requests WHERE {both} GROUP BY ALL)
    GROUP BY pair)
WHERE during >= 0.05 * (SELECT sum(weight) FROM requests WHERE {during})
ORDER BY bits DESC, trait, value LIMIT 20
