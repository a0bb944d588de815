-- Which traits come together?
SELECT accept_language, accept_encoding, protocol, tls, sum(weight) AS requests, uniq(client) AS clients
FROM requests WHERE {during} GROUP BY accept_language, accept_encoding, protocol, tls ORDER BY clients DESC, requests DESC LIMIT 20
